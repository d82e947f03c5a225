"""Frame-score tables: streamed in any blocks, whole or absent, and read by the field's own reader."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.formats.frame_scores import FrameScoreWriter, _table, read_frame_scores

LABELS = ("Cat", "Running water", "Dog")
once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)


def scores_of(n_frames: int, seed: int = 0) -> np.ndarray:
    scores = np.random.default_rng(seed).random((n_frames, len(LABELS)), np.float32)
    scores[: n_frames // 8] = np.round(scores[: n_frames // 8])
    return scores


def write_then_fail(writer: FrameScoreWriter) -> None:
    writer.write(scores_of(50))
    writer.write(scores_of(50) + 1)


def write(path: Path, blocks: list[np.ndarray]) -> None:
    with FrameScoreWriter(path, LABELS) as writer:
        for block in blocks:
            writer.write(block)


@once
@given(n_frames=st.integers(0, 700), cuts=st.lists(st.integers(0, 700), max_size=4), seed=st.integers(0, 99))
def test_scores_survive_in_any_blocks(tmp_path: Path, n_frames: int, cuts: list[int], seed: int) -> None:
    scores = scores_of(n_frames, seed)
    write(tmp_path / "clip.tsv", np.split(scores, sorted(min(cut, n_frames) for cut in cuts)))
    labels, found = read_frame_scores(tmp_path / "clip.tsv")
    assert labels == LABELS
    assert (found.shape, found.dtype) == (scores.shape, np.float32)
    np.testing.assert_allclose(found, scores, atol=0.5e-5 + 1e-7)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.tsv"]


@pytest.mark.parametrize("first_frame", [0, 45, 499, 4_998, 179_999, 499_999, 10**9])
def test_rows_equal_plain_formatting(first_frame: int) -> None:
    scores = scores_of(120)
    rows = ""
    for frame, row in enumerate(scores, start=first_frame):
        times = [f"{frame * 20 // 1000}.{frame * 20 % 1000:03d}", f"{(frame + 1) * 20 / 1000:.3f}"]
        rows += "\t".join([*times, *(f"{score:.5f}" for score in row)]) + "\n"
    assert _table(first_frame, scores).decode() == rows


def test_the_fields_own_reader_accepts_it(tmp_path: Path) -> None:
    io = pytest.importorskip("sed_scores_eval.base_modules.io")
    write(tmp_path / "clip.tsv", [scores_of(1200)])
    assert len(io.read_sed_scores(tmp_path / "clip.tsv")) == 1200


def test_a_failure_leaves_no_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "clip.tsv", [scores_of(3)])
    with pytest.raises(ValueError, match="scores"), FrameScoreWriter(tmp_path / "clip.tsv", LABELS) as writer:
        write_then_fail(writer)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.tsv"]
    assert len(read_frame_scores(tmp_path / "clip.tsv")[1]) == 3


def test_another_files_failure_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"), FrameScoreWriter(tmp_path / "clip.tsv", LABELS):
        (tmp_path / "absent").read_bytes()


@pytest.mark.parametrize(
    "wrong", [np.full((2, 3), np.nan), np.full((2, 3), 1.1), np.zeros((2, 2)), np.zeros(3)]
)
def test_what_is_no_score_is_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="scores"), FrameScoreWriter(tmp_path / "clip.tsv", LABELS) as writer:
        writer.write(wrong.astype(np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("onset\toffset\tCat\n0.000\t0.020\t0.5\n0.040\t0.060\t0.5\n", r"row 3: expected the frame 0\.020"),
        ("onset\toffset\tCat\n0.000\t0.020\tx\n", "expected numbers"),
        ("onset\toffset\tCat\n0.000\t0.020\n", "expected 3 fields a row, found 2"),
        ("onset\tCat\n", "expected columns onset, offset"),
        ("onset\toffset\tCat\tCat\n0.000\t0.020\t0.5\t0.5\n", "no repetition"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "clip.tsv").write_text(text)
    with pytest.raises(SedgeError, match=message):
        read_frame_scores(tmp_path / "clip.tsv")
