"""Tables of frame scores: `onset offset <labels>`, one row for each frame of 20 ms, without gaps."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S
from edge_app.core.labels import check_labels
from edge_app.formats.exchange import Export, ExportGap, ExportScores, tidy
from edge_app.formats.side_files import read_beside, stem, write_beside, write_gaps
from edge_app.formats.whole_file import whole_file

SCORE_DECIMALS = 5
_FRAME_MS = round(1000 * FRAME_S)
ZEROS_AT_ONCE = 3000
"""Frames, so that a gap of a day needs no memory."""
_TIME_TOLERANCE_S = 0.0006  # half of the last decimal written, and a little


def read_frame_scores(path: str | Path) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Labels and scores of a table, shape (frame, label).

    Raises SedgeError for columns or numbers that are not as written by FrameScoreWriter, and for a gap.
    """
    try:
        with Path(path).open(encoding="utf-8") as handle:
            columns = handle.readline().rstrip("\r\n").split("\t")
            rows = _numbers(path, handle)
    except (OSError, UnicodeDecodeError) as error:
        raise SedgeError(f"{path}: cannot be read ({error})") from error
    if columns[:2] != ["onset", "offset"] or len(columns) < 3:
        raise SedgeError(f"{path}: expected columns onset, offset and labels, found {columns}")
    if not len(rows):
        rows = np.empty((0, len(columns)))
    if rows.shape[1] != len(columns):
        raise SedgeError(f"{path}: expected {len(columns)} fields a row, found {rows.shape[1]}")
    _check_times(path, rows[:, :2])
    return check_labels(columns[2:]), rows[:, 2:].astype(np.float32)


def write_stretches(
    path: str | Path,
    event_labels: Sequence[str],
    stretches: Iterable[tuple[int, NDArray[np.float32]]],
    n_frames: int,
    gaps: Sequence[ExportGap] = (),
) -> None:
    """Write the scores of a live session: zeros where there are none, and its gaps beside the table.

    `stretches` are first frames with scores, shape (frame, label), in order; `n_frames` is the session's length.
    Raises SedgeError where they overlap or go beyond it.
    """
    with FrameScoreWriter(path, event_labels) as writer:
        end = 0
        for first_frame, scores in stretches:
            if not end <= first_frame <= first_frame + len(scores) <= n_frames:
                raise SedgeError(
                    f"{path}: expected scores within frames {end} to {n_frames}, "
                    f"found {first_frame} to {first_frame + len(scores)}"
                )
            writer.skip_to(first_frame)
            writer.write(scores)
            end = first_frame + len(scores)
        writer.skip_to(n_frames)
    write_gaps(path, gaps)


def write_score_export(path: str | Path, export: Export) -> int:
    """Write the scores of the one file of an export, and beside them gaps, marks and `about`; leaves out no event.

    Events have no place here. Raises SedgeError where there are scores of no file or of several.
    """
    if len(export.scores) != 1:
        raise SedgeError(
            f"{path}: expected frame scores of one recording, found {len(export.scores)} with scores"
        )
    [scores] = export.scores.values()
    export, _ = tidy(export)
    write_stretches(path, scores.event_labels, scores.stretches(), scores.n_frames)
    write_beside(path, export)
    return 0


def read_score_export(path: str | Path) -> Export:
    """The scores in a table and what lies beside it; the file's stem names the recording.

    Raises SedgeError as `read_frame_scores` does.
    """
    event_labels, scores = read_frame_scores(path)
    held = ExportScores(event_labels, len(scores), lambda: [(0, scores)])
    return replace(read_beside(path, ()), scores={stem(path): held})


class FrameScoreWriter:
    """Writes a table of frame scores block by block; it appears under its name when all of it is there.

    Use as a context manager: leaving it through an error leaves no file. Raises SedgeError where the
    folder cannot be written.
    """

    def __init__(self, path: str | Path, event_labels: Sequence[str]) -> None:
        self._event_labels = check_labels(event_labels)
        self._path = Path(path)
        self._stack = ExitStack()
        self._handle: IO[bytes] | None = None
        self._frames = 0

    def __enter__(self) -> "FrameScoreWriter":
        self._handle = self._stack.enter_context(whole_file(self._path))
        self._handle.write("\t".join(["onset", "offset", *self._event_labels]).encode() + b"\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, scores: NDArray[np.float32]) -> None:
        """Append frames, shape (frame, label), scores in 0...1. Raises ValueError for others."""
        if self._handle is None:
            raise ValueError("the writer is not open: use it in a with statement")
        check_scores(scores, len(self._event_labels))
        self._handle.write(_table(self._frames, scores))
        self._frames += len(scores)

    def skip_to(self, frame: int) -> None:
        """Append zeros up to `frame`: nothing is known there. Raises ValueError where it is already written."""
        if frame < self._frames:
            raise ValueError(f"frame {frame}: expected one from {self._frames}, the next to be written")
        while self._frames < frame:
            n_frames = min(frame - self._frames, ZEROS_AT_ONCE)
            self.write(np.zeros((n_frames, len(self._event_labels)), np.float32))


def check_scores(scores: NDArray[np.float32], n_labels: int) -> None:
    """Raise ValueError for what are no scores of shape (frame, label) in 0...1."""
    if scores.ndim != 2 or scores.shape[1] != n_labels:
        raise ValueError(f"scores: expected shape (frame, {n_labels}), found {scores.shape}")
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError("scores: expected numbers in 0...1, found others")


def _table(first_frame: int, scores: NDArray[np.float32]) -> bytes:
    """Rows of text. All are laid out at one width, and the leading zeros of times are then left out."""
    onset_ms = _FRAME_MS * (first_frame + np.arange(len(scores), dtype=np.int64))
    n_seconds = len(str((onset_ms[-1] + _FRAME_MS) // 1000)) if len(scores) else 1
    scaled = np.rint(scores.astype(np.float64) * 10**SCORE_DECIMALS).astype(np.int64)
    fields = [_fixed(onset_ms, n_seconds, 3), _fixed(onset_ms + _FRAME_MS, n_seconds, 3)]
    fields += [_fixed(column, 1, SCORE_DECIMALS) for column in scaled.T]
    text = np.concatenate(fields, axis=1)
    text[:, -1] = ord("\n")
    keep = np.ones(text.shape, bool)
    for field, milliseconds in enumerate((onset_ms, onset_ms + _FRAME_MS)):
        for digit in range(n_seconds - 1):
            leads = milliseconds // 1000 < 10 ** (n_seconds - 1 - digit)
            keep[:, field * fields[0].shape[1] + digit] = ~leads
    rows: bytes = text[keep].tobytes()
    return rows


def _fixed(values: NDArray[np.int64], n_whole: int, n_decimals: int) -> NDArray[np.uint8]:
    """Whole numbers of the last decimal as text of one width and a tab: (row,) -> (row, character)."""
    text = np.empty((len(values), n_whole + 1 + n_decimals + 1), np.uint8)
    places = [*range(n_whole), *range(n_whole + 1, n_whole + 1 + n_decimals)]
    for place in reversed(places):
        values, digit = np.divmod(values, 10)
        text[:, place] = digit + ord("0")
    text[:, n_whole] = ord(".")
    text[:, -1] = ord("\t")
    return text


def _numbers(path: str | Path, handle: IO[str]) -> NDArray[np.float64]:
    lines = handle.readlines()
    if not lines:
        return np.empty((0, 0))
    try:
        return np.loadtxt(lines, delimiter="\t", ndmin=2, comments=None)
    except ValueError as error:
        raise SedgeError(f"{path}: expected numbers below the header: {error}") from error


def _check_times(path: str | Path, times: NDArray[np.float64]) -> None:
    frames = np.arange(len(times))
    expected = FRAME_S * np.stack([frames, frames + 1], axis=1)
    wrong = np.flatnonzero(~(np.abs(times - expected) <= _TIME_TOLERANCE_S).all(axis=1))
    if len(wrong):
        onset, offset = expected[wrong[0]]
        raise SedgeError(
            f"{path}, row {wrong[0] + 2}: expected the frame {onset:.3f} to {offset:.3f} s, "
            f"found {times[wrong[0], 0]} to {times[wrong[0], 1]}"
        )
