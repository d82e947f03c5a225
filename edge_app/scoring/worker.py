"""Scores recordings with a detector of its own: in this process, in another one or on another machine."""

import faulthandler
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import Recording
from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.runtime import Runtime
from edge_app.core.runtimes import open_runtime
from edge_app.formats.frame_scores import FrameScoreWriter
from edge_app.formats.score_arrays import ScoreArrayWriter
from edge_app.scoring.run import FileNews, TakeScores, score_recording
from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task

LONG_BYTES = 4_000_000
"""From this size on it is told how long a recording is: scoring it takes a while."""


class _ScoreWriter(Protocol):
    def write(self, scores: NDArray[np.float32]) -> None:
        """Append frames, shape (frame, label)."""


class Worker:
    """Opens the model and what runs it, by itself unless a runtime is given, and scores one recording at a time.

    `is_stopped` is asked within a recording too. With `ends_when_stalled` the whole process is ended where a
    recording gets nowhere for `settings.stall_s`: nothing else ends a decoder that hangs, and it must be a process
    of the worker's own. Raises SedgeError where the model or the runtime cannot be used.
    """

    def __init__(
        self,
        settings: ScoreSettings,
        runtime: Runtime | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
        ends_when_stalled: bool = False,
    ) -> None:
        bundle = load_bundle(settings.bundle)
        if runtime is None:
            opened = open_runtime(
                bundle, settings.runtime, settings.threads, settings.engines, settings.context
            )
            runtime = opened.runtime
        self.settings = settings
        self.detector = Detector(bundle, runtime, settings.context, settings.hop_frames)
        self._is_stopped = is_stopped
        self._stall_s = settings.stall_s if ends_when_stalled else None

    def score(self, task: Task, tell: Callable[[Progress], None]) -> Outcome:
        """Score a recording and write its frame scores; a recording that cannot be scored is an outcome too.

        Raises run.Stopped where it is stopped within, and SedgeError where the disk is full.
        """
        started = time.perf_counter()
        self._watch()
        length_s = _declared_s(task)

        def pass_on(news: FileNews) -> None:
            self._watch()
            tell(Progress(task.position, news.done_s, length_s))

        try:
            news = _changed(task) or score_recording(
                self.detector, task.filename, task.path, pass_on, self._opener(task), self._is_stopped
            )
        finally:
            if self._stall_s is not None:
                faulthandler.cancel_dump_traceback_later()
        detection = news.detection
        return Outcome(
            position=task.position,
            events=tuple(detection.events) if detection else (),
            duration_s=detection.duration_s if detection else 0.0,
            error=news.error,
            wall_s=time.perf_counter() - started,
        )

    def stop(self) -> None:
        """Nothing: `is_stopped` says when."""

    def close(self) -> None:
        """Nothing: what it holds goes with it."""

    def _watch(self) -> None:
        """Begin to wait anew for the process to get somewhere."""
        if self._stall_s is not None:
            faulthandler.dump_traceback_later(self._stall_s, exit=True, file=_nowhere())

    def _opener(self, task: Task) -> Callable[[str], AbstractContextManager[TakeScores | None]]:
        return lambda _: self._open_scores(task.scores_path)

    @contextmanager
    def _open_scores(self, path: Path | None) -> Iterator[TakeScores | None]:
        """What writes the frame scores of a recording, if they are wanted."""
        if path is None:
            yield None
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # of the recording as it was before it changed: this one may fail
        except OSError as error:
            raise SedgeError(f"{error.filename}: cannot be written ({error.strerror})") from error
        kind = ScoreArrayWriter if self.settings.score_format == "npz" else FrameScoreWriter
        with kind(path, self.detector.event_labels) as writer:
            yield _taker(writer, smoothed=self.settings.frame_scores == "smoothed")


def _taker(writer: _ScoreWriter, smoothed: bool) -> TakeScores:
    def take(raw_scores: NDArray[np.float32], smoothed_scores: NDArray[np.float32]) -> None:
        writer.write(smoothed_scores if smoothed else raw_scores)

    return take


def _declared_s(task: Task) -> float:
    """Seconds that a long recording says it has, for who waits for it; 0 where it does not say, or is short."""
    if task.size < LONG_BYTES:
        return 0.0
    try:
        return Recording(task.path).declared_s or 0.0
    except SedgeError:  # told when it is scored
        return 0.0


def _changed(task: Task) -> FileNews | None:
    """What is wrong with a recording that is another than when it was listed; None where nothing is."""
    try:
        status = task.path.stat()
    except (OSError, ValueError):  # opening it says what is wrong
        return None
    found = status.st_size, status.st_mtime_ns
    if not task.modified_ns or found == (task.size, task.modified_ns):
        return None
    same_size = found[0] == task.size
    what = "one changed since then" if same_size else f"{found[0]} bytes, where there were {task.size}"
    return FileNews(
        task.filename, "failed", error=f"{task.path}: expected the recording as it was listed, found {what}"
    )


_files_to_nowhere: list[int] = []


def _nowhere() -> int:
    """A file that keeps nothing, open to the end: tracebacks are not for users."""
    if not _files_to_nowhere:
        _files_to_nowhere.append(os.open(os.devnull, os.O_WRONLY))
    return _files_to_nowhere[0]
