"""Scoring a list of recordings beside the window: what the worker does, and what it tells."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_app.core.detect import Detector, FileDetection
from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S
from edge_app.views.background import Cancelled, Report

FileStage = Literal["waiting", "working", "done", "failed", "cancelled"]
TELL_S = 0.05
"""Progress within a recording is told at most so often, in seconds."""


@dataclass(frozen=True)
class Opened:
    """The model is ready."""

    detector: Detector


@dataclass(frozen=True)
class FileNews:
    """How far a recording is."""

    filename: str
    stage: FileStage
    done_s: float = 0.0
    """Seconds of sound that are scored."""
    detection: FileDetection | None = None
    error: str = ""


def score_recordings(
    open_detector: Callable[[], Detector],
    recordings: Mapping[str, Path],
    report: Report,
    cancelled: threading.Event,
) -> None:
    """Score recordings in order; one that fails is told, and the others are done all the same.

    Raises SedgeError where the model cannot be opened, and Cancelled within a recording.
    """
    detector = open_detector()
    report(Opened(detector))
    for filename, path in recordings.items():
        if cancelled.is_set():
            raise Cancelled
        report(FileNews(filename, "working"))
        report(_score(detector, filename, path, report, cancelled))


def _score(
    detector: Detector, filename: str, path: Path, report: Report, cancelled: threading.Event
) -> FileNews:
    n_frames, told = 0, time.monotonic()

    def on_scores(raw: NDArray[np.float32], _smoothed: NDArray[np.float32]) -> None:
        nonlocal n_frames, told
        if cancelled.is_set():
            raise Cancelled
        n_frames += len(raw)
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            report(FileNews(filename, "working", n_frames * FRAME_S))

    try:
        detection = detector.detect_file(path, on_scores)
    except Cancelled:
        raise
    except SedgeError as error:
        return FileNews(filename, "failed", error=str(error))
    except Exception as error:  # one that nobody foresaw must not cost the other recordings
        words = " ".join(str(error).split())
        return FileNews(filename, "failed", error=f"{path}: {type(error).__name__}: {words}")
    return FileNews(filename, "done", detection.duration_s, detection)
