"""Scoring recordings one after the other: what is done in each, and what is told of it."""

import errno
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_app.core.detect import Detector, FileDetection
from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S

FileStage = Literal["waiting", "working", "done", "failed", "cancelled"]
TELL_S = 0.05
"""Progress within a recording is told at most so often, in seconds."""

TakeScores = Callable[[NDArray[np.float32], NDArray[np.float32]], None]
"""Is given raw and smoothed scores, each (frame, label), as they become final."""
OpenTake = Callable[[str], AbstractContextManager[TakeScores | None]]
"""Opens, by filename, what takes the scores of a recording; left through an error where the recording fails."""


@dataclass(frozen=True)
class FileNews:
    """How far a recording is."""

    filename: str
    stage: FileStage
    done_s: float = 0.0
    """Seconds of sound that are scored."""
    detection: FileDetection | None = None
    error: str = ""


class Stopped(BaseException):
    """Scoring was asked to stop within a recording."""


def score_recordings(
    detector: Detector,
    recordings: Mapping[str, Path],
    tell: Callable[[FileNews], None],
    open_take: OpenTake = lambda _: nullcontext(),
    is_stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Score recordings in order; one that fails is told, and the others are done all the same.

    Gives False where it was stopped: nothing is told of the end of the recording that this fell into.
    """
    for filename, path in recordings.items():
        if is_stopped():
            return False
        tell(FileNews(filename, "working"))
        try:
            tell(score_recording(detector, filename, path, tell, open_take, is_stopped))
        except Stopped:
            return False
    return True


def score_recording(
    detector: Detector,
    filename: str,
    path: Path,
    tell: Callable[[FileNews], None],
    open_take: OpenTake = lambda _: nullcontext(),
    is_stopped: Callable[[], bool] = lambda: False,
) -> FileNews:
    """Score one recording; what became of it, whatever went wrong with it.

    Raises Stopped where it is stopped within, and SedgeError where the disk is full: that would fail every other
    recording too.
    """
    try:
        with open_take(filename) as take:
            watch = _Watch(filename, tell, take, is_stopped)
            detection = detector.detect_file(path, watch)
    except Exception as error:  # one that nobody foresaw must not cost the other recordings
        failure = _told(path, error)
        if _is_disk_full(error):
            raise failure from error.__cause__
        return FileNews(filename, "failed", error=str(failure))
    return FileNews(filename, "done", detection.duration_s, detection)


def _told(path: Path, error: Exception) -> SedgeError:
    """An error in one line."""
    if isinstance(error, SedgeError):
        return error
    words = " ".join(str(error).split())
    return SedgeError(f"{path}: expected to be scored, found {type(error).__name__}: {words}")


def _is_disk_full(error: Exception) -> bool:
    """Whether an error comes from a disk that holds no more, or that none may write to."""
    cause = error.__cause__ or error
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class _Watch:
    """Passes scores on, tells progress now and then, and stops where that is asked for."""

    def __init__(
        self,
        filename: str,
        tell: Callable[[FileNews], None],
        take: TakeScores | None,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._filename, self._tell, self._take, self._is_stopped = filename, tell, take, is_stopped
        self._n_frames, self._told = 0, time.monotonic()

    def __call__(self, raw: NDArray[np.float32], smoothed: NDArray[np.float32]) -> None:
        if self._is_stopped():
            raise Stopped
        self._n_frames += len(raw)
        if self._take is not None:
            self._take(raw, smoothed)
        if time.monotonic() - self._told > TELL_S:
            self._told = time.monotonic()
            self._tell(FileNews(self._filename, "working", self._n_frames * FRAME_S))
