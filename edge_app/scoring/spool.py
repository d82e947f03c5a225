"""Frame scores of recordings, kept on disk until they are wanted or the program ends."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import ExportScores
from edge_app.scoring.run import TakeScores

PAGE_FRAMES = 30_000
"""Frames that are read at once: 10 minutes."""


class ScoreSpool:
    """Takes raw scores in a folder of its own, 7 MB an hour for ten labels.

    A disk that is full costs the scores and not the events: `scores` is then without that recording.
    """

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._kept: dict[str, ExportScores] = {}
        self._count = 0

    @contextmanager
    def take(self, filename: str, event_labels: tuple[str, ...]) -> Iterator[TakeScores]:
        """What takes the scores of a recording; they are kept where it is left without an error."""
        self._kept.pop(filename, None)
        path = self._new_path()
        part = _Part(path)
        try:
            yield part.push
        finally:
            part.close()
        if path is not None and part.is_whole:
            self._kept[filename] = _scores(path, event_labels, part.n_frames)

    def scores(self) -> dict[str, ExportScores]:
        """The scores of every recording that is done, by filename."""
        return dict(self._kept)

    def clear(self) -> None:
        """Forget all scores, and give their space back."""
        self._kept = {}
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def _new_path(self) -> Path | None:
        """A file that nobody has; None where there is no folder for it."""
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="sedge-scores-", ignore_cleanup_errors=True)
        except OSError:
            return None
        self._count += 1
        return Path(self._folder.name) / f"{self._count}.float32"


class _Part:
    """The scores of one recording on their way to its file."""

    def __init__(self, path: Path | None) -> None:
        self.n_frames, self.is_whole = 0, path is not None
        self._handle: IO[bytes] | None = None
        if path is not None:
            self._try_open(path)

    def push(self, raw: NDArray[np.float32], _smoothed: NDArray[np.float32]) -> None:
        """Append raw scores, shape (frame, label)."""
        if self._handle is None or not self.is_whole:
            return
        try:
            self._handle.write(np.ascontiguousarray(raw, np.float32).tobytes())
            self.n_frames += len(raw)
        except OSError:
            self.is_whole = False

    def close(self) -> None:
        """Write what is left."""
        try:
            if self._handle is not None:
                self._handle.close()
        except OSError:
            self.is_whole = False

    def _try_open(self, path: Path) -> None:
        try:
            self._handle = path.open("wb")
        except OSError:
            self.is_whole = False


def _scores(path: Path, event_labels: tuple[str, ...], n_frames: int) -> ExportScores:
    n_labels = len(event_labels)

    def stretches() -> Iterator[tuple[int, NDArray[np.float32]]]:
        try:
            with path.open("rb") as handle:
                for first_frame in range(0, n_frames, PAGE_FRAMES):
                    page = handle.read(4 * n_labels * PAGE_FRAMES)
                    yield first_frame, np.frombuffer(page, np.float32).reshape(-1, n_labels)
        except OSError as error:
            raise SedgeError(f"{path}: the scores kept here cannot be read ({error.strerror})") from error

    return ExportScores(event_labels, n_frames, stretches)
