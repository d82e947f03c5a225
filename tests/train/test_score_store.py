"""Scores come back to the last bit, and a broken file says so in one line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from train.measuring.score_store import read_scores, write_scores

LABELS = ("Cat", "Dog", "Speech")


def random_scores(frames: list[int], seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {f"sub/{i}.wav": generator.random((n, 3), np.float32) for i, n in enumerate(frames)}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=5), st.integers(0, 9))
def test_scores_come_back_exactly(tmp_path_factory, frames: list[int], seed: int) -> None:
    path = tmp_path_factory.mktemp("scores") / "scores.npz"
    scores = random_scores(frames, seed)
    write_scores(path, scores, LABELS)
    labels, found = read_scores(path)
    assert labels == LABELS
    assert list(found) == list(scores)
    for filename, clip in scores.items():
        assert found[filename].dtype == np.float32
        np.testing.assert_array_equal(found[filename], clip)


def test_names_of_any_kind_and_the_same_bytes_for_the_same_scores(tmp_path: Path) -> None:
    names = ("file", "scores", "a b\t.wav", "\udc80undecodable.wav", "trailing\0", "ü.wav")
    scores = dict(zip(names, random_scores([3] * len(names)).values(), strict=True))
    write_scores(tmp_path / "deep" / "a.npz", scores, LABELS)
    write_scores(tmp_path / "b.npz", scores, LABELS)
    assert tuple(read_scores(tmp_path / "b.npz")[1]) == names
    assert (tmp_path / "deep" / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_what_is_no_score_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    for clip, message in (
        (np.zeros((4, 2), np.float32), r"'a.wav': expected float32 \(frame, 3\), found float32 \(4, 2\)"),
        (np.zeros((4, 3)), r"expected float32 .*found float64"),
        (np.full((4, 3), np.nan, np.float32), "expected finite numbers"),
    ):
        with pytest.raises(SedgeError, match=message):
            write_scores(path, {"a.wav": clip}, LABELS)
    assert not path.exists()


def test_a_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    with pytest.raises(SedgeError, match=r"scores\.npz: cannot be read"):
        read_scores(path)
    write_scores(path, random_scores([200, 300]), LABELS)
    whole = path.read_bytes()
    damaged = [b"", b"no archive", whole[: len(whole) // 2], whole[:200] + bytes(40) + whole[240:]]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(SedgeError, match=r"scores\.npz: expected frame scores of Sedge") as refusal:
            read_scores(path)
        assert "\n" not in str(refusal.value)


def test_other_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    about = b'{"format": "sedge frame scores 1", "event_labels": ["Cat"], "frames": {"a.wav": 3}}'
    others = [
        {"other": np.zeros(3)},
        {"scores": np.zeros((2, 1), np.float32), "about": np.frombuffer(about, np.uint8)},
        {"scores": np.zeros((3, 1)), "about": np.frombuffer(about, np.uint8)},
        {"scores": np.zeros((3, 1), np.float32), "about": np.frombuffer(b"[1]", np.uint8)},
        {"scores": np.zeros((3, 1), np.float32), "about": np.frombuffer(b'{"format": "x"}', np.uint8)},
        {"scores": np.array([{"a": 1}], object), "about": np.frombuffer(about, np.uint8)},
    ]
    for arrays in others:
        np.savez(path, **arrays)  # type: ignore[arg-type]
        with pytest.raises(SedgeError, match="expected frame scores of Sedge"):
            read_scores(path)
