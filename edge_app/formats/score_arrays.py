"""Frame scores of one recording as a compressed array file, which NumPy reads without pickles."""

import shutil
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S
from edge_app.core.labels import check_labels
from edge_app.formats.frame_scores import ZEROS_AT_ONCE, check_scores
from edge_app.formats.spool import waiting_file
from edge_app.formats.whole_file import whole_file

_COPY_BYTES = 1 << 20
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same scores make the same bytes at any time


class ScoreArrayWriter:
    """Writes frame scores block by block into an .npz file; it appears under its name when all of it is there.

    It holds `scores` (frame, label) in float32, `event_labels` and `frame_s`. Use as a context manager: leaving it
    through an error leaves no file. Raises SedgeError where the folder cannot be written.
    """

    def __init__(self, path: str | Path, event_labels: Sequence[str]) -> None:
        self._event_labels = check_labels(event_labels)
        self._path = Path(path)
        self._stack = ExitStack()
        self._rows: IO[bytes] | None = None
        self._frames = 0

    def __enter__(self) -> Self:
        self._handle = self._stack.enter_context(whole_file(self._path))
        # An array's length stands before its numbers: they wait beside the file until it is known.
        self._rows = self._stack.enter_context(waiting_file(self._path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._finish()

    def write(self, scores: NDArray[np.float32]) -> None:
        """Append frames, shape (frame, label), scores in 0...1. Raises ValueError for others."""
        if self._rows is None:
            raise ValueError("the writer is not open: use it in a with statement")
        check_scores(scores, len(self._event_labels))
        self._rows.write(np.ascontiguousarray(scores, "<f4").tobytes())
        self._frames += len(scores)

    def skip_to(self, frame: int) -> None:
        """Append zeros up to `frame`: nothing is known there. Raises ValueError where it is already written."""
        if frame < self._frames:
            raise ValueError(f"frame {frame}: expected one from {self._frames}, the next to be written")
        while self._frames < frame:
            n_frames = min(frame - self._frames, ZEROS_AT_ONCE)
            self.write(np.zeros((n_frames, len(self._event_labels)), np.float32))

    def _finish(self) -> None:
        assert self._rows is not None
        shape = (self._frames, len(self._event_labels))
        with zipfile.ZipFile(self._handle, "w") as archive:
            with _member(archive, "scores") as member:
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)  # type: ignore[no-untyped-call]
                self._rows.seek(0)
                shutil.copyfileobj(self._rows, member, _COPY_BYTES)
            for name, array in (
                ("event_labels", np.array(self._event_labels)),
                ("frame_s", np.array(FRAME_S)),
            ):
                with _member(archive, name) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)  # type: ignore[no-untyped-call]


def read_score_array(path: str | Path) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Labels and scores of an array file, shape (frame, label).

    Raises SedgeError for a file that is not as written by ScoreArrayWriter.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as arrays:
            scores, labels, frame_s = (arrays[name] for name in ("scores", "event_labels", "frame_s"))
    except OSError as error:
        raise SedgeError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # whatever a damaged archive brings about
        words = " ".join(str(error).split())
        raise SedgeError(f"{path}: expected an array file of frame scores, found: {words}") from error
    if labels.dtype.kind != "U" or scores.dtype != np.float32 or scores.shape[1:] != labels.shape:
        found = f"{scores.dtype} {scores.shape} with labels {labels.dtype} {labels.shape}"
        raise SedgeError(
            f"{path}: expected scores float32 (frame, label) and a text for each label, found {found}"
        )
    if frame_s.shape or not abs(float(frame_s) - FRAME_S) < 1e-9:
        raise SedgeError(f"{path}: frame_s: expected {FRAME_S}, found {frame_s}")
    return check_labels(labels.tolist()), scores


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A compressed member to be written, of any size."""
    info = zipfile.ZipInfo(f"{name}.npy", _LONG_AGO)
    info.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(info, "w", force_zip64=True)
