"""Scoring a list of recordings beside the window: what the worker does, and what it tells."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.core.detect import Detector
from edge_app.scoring.run import score_recordings
from edge_app.scoring.spool import ScoreSpool
from edge_app.views.background import Report


@dataclass(frozen=True)
class Opened:
    """The model is ready."""

    detector: Detector
    is_another: bool
    """Whether what is done was done with another model or hop, and is done anew."""


@dataclass(frozen=True)
class Job:
    """What is to be scored."""

    waiting: Mapping[str, Path]
    done: Mapping[str, Path] = field(default_factory=dict)
    """Recordings that were scored before."""
    former: Detector | None = None
    """What scored them."""


def score_files(
    open_detector: Callable[[], Detector],
    job: Job,
    spool: ScoreSpool,
    report: Report,
    cancelled: threading.Event,
) -> None:
    """Score recordings in order, keeping their frame scores; what is done is told at any time.

    Raises SedgeError where the model cannot be opened.
    """
    detector = open_detector()
    is_another = bool(job.done) and job.former is not None and _facts(detector) != _facts(job.former)
    if is_another:
        spool.clear()
    report(Opened(detector, is_another))
    score_recordings(
        detector,
        {**job.done, **job.waiting} if is_another else job.waiting,
        report,
        lambda filename: spool.take(filename, detector.event_labels),
        cancelled.is_set,
    )


def _facts(detector: Detector) -> tuple[object, ...]:
    """All that the events of a recording depend on."""
    return detector.bundle.manifest, detector.context, detector.hop_frames
