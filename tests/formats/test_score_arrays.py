"""Arrays of frame scores: exact, streamed in any blocks, whole or absent, read without pickles."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.formats.score_arrays import ScoreArrayWriter, read_score_array

LABELS = ("Cat", "Running water", "日本 0.5")
once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)


def write(path: Path, blocks: list[np.ndarray]) -> None:
    with ScoreArrayWriter(path, LABELS) as writer:
        for block in blocks:
            writer.write(block)


@once
@given(n_frames=st.integers(0, 700), cuts=st.lists(st.integers(0, 700), max_size=4), seed=st.integers(0, 99))
def test_scores_are_exact_in_any_blocks(tmp_path: Path, n_frames: int, cuts: list[int], seed: int) -> None:
    scores = np.random.default_rng(seed).random((n_frames, len(LABELS)), np.float32)
    write(tmp_path / "cut.npz", np.split(scores, sorted(min(cut, n_frames) for cut in cuts)))
    write(tmp_path / "whole.npz", [scores])
    assert (tmp_path / "cut.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    labels, found = read_score_array(tmp_path / "cut.npz")
    assert (labels, found.dtype) == (LABELS, np.float32)
    np.testing.assert_array_equal(found, scores)
    with np.load(tmp_path / "cut.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["event_labels", "frame_s", "scores"]
        assert arrays["frame_s"] == 0.02
        assert arrays["event_labels"].tolist() == list(LABELS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.npz", "whole.npz"]


def test_gaps_are_zeros(tmp_path: Path) -> None:
    with ScoreArrayWriter(tmp_path / "a.npz", LABELS) as writer:
        writer.skip_to(4000)
        writer.write(np.ones((2, 3), np.float32))
        with pytest.raises(ValueError, match="expected one from 4002"):
            writer.skip_to(1)
    scores = read_score_array(tmp_path / "a.npz")[1]
    assert scores.sum(axis=1).tolist() == [0.0] * 4000 + [3.0] * 2


def test_a_day_needs_little_memory(tmp_path: Path) -> None:
    block = np.random.default_rng(0).random((5000, 3), np.float32).round(2)
    tracemalloc.start()
    with ScoreArrayWriter(tmp_path / "day.npz", LABELS) as writer:
        for _ in range(100):
            writer.write(block)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4_500_000  # of 6 MB in all
    assert read_score_array(tmp_path / "day.npz")[1].shape == (500_000, 3)


def test_a_failure_leaves_no_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", [np.ones((3, 3), np.float32)])
    for wrong in (np.full((2, 3), np.nan), np.full((2, 3), 1.1), np.zeros((2, 2)), np.zeros(3)):
        with pytest.raises(ValueError, match="scores"):
            write(tmp_path / "a.npz", [np.zeros((9, 3), np.float32), wrong.astype(np.float32)])
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    assert len(read_score_array(tmp_path / "a.npz")[1]) == 3
    with pytest.raises(ValueError, match="not open"):
        ScoreArrayWriter(tmp_path / "a.npz", LABELS).write(np.ones((3, 3), np.float32))


def test_a_folder_that_is_not_there_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(SedgeError, match=r"none.a\.npz: cannot be written"):
        write(tmp_path / "none" / "a.npz", [])
    with pytest.raises(SedgeError, match=r"a\.npz: cannot be read"):
        read_score_array(tmp_path / "a.npz")


SCORES, NAMES, FRAME = np.ones((2, 2), np.float32), np.array(["Cat", "Dog"]), np.array(0.02)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"scores": SCORES}, "expected an array file of frame scores"),
        ({"scores": SCORES[:, :1], "event_labels": NAMES, "frame_s": FRAME}, r"found float32 \(2, 1\)"),
        ({"scores": SCORES.astype(float), "event_labels": NAMES, "frame_s": FRAME}, "found float64"),
        (
            {"scores": SCORES, "event_labels": np.array(["a", "b"], object), "frame_s": FRAME},
            "expected an array",
        ),
        ({"scores": SCORES, "event_labels": NAMES, "frame_s": np.array(0.01)}, "frame_s: expected 0.02"),
        ({"scores": SCORES, "event_labels": NAMES[[0, 0]], "frame_s": FRAME}, "no repetition"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SedgeError, match=message) as caught:
        read_score_array(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)
    (tmp_path / "a.npz").write_bytes(b"PK no archive")
    with pytest.raises(SedgeError, match=r"a\.npz: expected an array file"):
        read_score_array(tmp_path / "a.npz")
