"""What a worker is given, and what it gives back: plain values that go to another process or machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_app.core.detect import Context
from edge_app.core.events import Event
from edge_app.core.runtimes import RuntimeChoice

ScoreKind = Literal["raw", "smoothed"]
ScoreFormat = Literal["tsv", "npz"]


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """How recordings are scored: all that a worker needs to open its detector."""

    bundle: Path | None = None
    """Folder of the model; None is the one that comes with the program."""
    runtime: RuntimeChoice = "cpu"
    engines: Path | None = None
    """Folder of engines compiled for this machine."""
    context: Context = "clip"
    hop_frames: int | None = None
    """Frames of a live step; None is the model's own."""
    threads: int = 1
    """Threads of arithmetic of one worker."""
    frame_scores: ScoreKind | None = None
    score_format: ScoreFormat = "tsv"
    stall_s: float = 60.0
    """A worker that gets nowhere in a recording for so long is ended, and the recording has failed."""


@dataclass(frozen=True, slots=True)
class Task:
    """One recording to be scored."""

    position: int
    """Place in the run's list, from 0."""
    filename: str
    """Its name in tables."""
    path: Path
    size: int
    """Bytes."""
    modified_ns: int
    """Time of its last change."""
    scores_path: Path | None = None
    """Where its frame scores go; None where they are not wanted."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a worker is within a recording."""

    position: int
    done_s: float
    """Seconds of sound that are scored."""
    length_s: float = 0.0
    """Seconds that the recording claims to have; 0 where it does not say."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recording."""

    position: int
    events: tuple[Event, ...] = ()
    """Sorted by onset, then label."""
    duration_s: float = 0.0
    error: str = ""
    """What was wrong, one line; empty where it is done."""
    wall_s: float = 0.0
    """Seconds that the worker spent on it."""
