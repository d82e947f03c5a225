"""What a live run looks like at one moment: plain values that never change, safe to hand to any thread."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_app.stream.messages import Summary
from edge_app.stream.microphone import State
from edge_app.stream.ring import MissingKind
from edge_app.stream.stamps import Latency

ItemState = Literal["provisional", "confirmed", "closed", "withdrawn"]
LOG_MEL_LOW, LOG_MEL_HIGH = -20.0, 10.0
"""Log-mel values (natural logarithm of power) that the columns' 0 and 255 stand for: half a decibel a step."""
SILENT_DBFS = -120.0
"""The lowest level that is told, in dB below full scale."""


@dataclass(frozen=True, slots=True)
class LaneItem:
    """One event in its lane; samples at the model's rate, from the start of the source."""

    id: int
    event_label: str
    onset_sample: int
    offset_sample: int
    state: ItemState
    score: float
    """Peak so far."""
    cut: bool = False
    """Whether a gap ended it."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Frames that the decoder has not come to and whose scores are above the label's threshold; for display only.

    They are unfiltered, and the newest of them are not final.
    """

    event_label: str
    onset_sample: int
    offset_sample: int
    score: float


@dataclass(frozen=True, slots=True)
class GapBand:
    """Samples [start, end) that were not analysed."""

    start_sample: int
    end_sample: int
    kind: MissingKind


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that the user has marked; the sample at the model's rate, from the start of the source."""

    sample: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """How loud the newest tenth of a second is, in dB below full scale."""

    rms_dbfs: float = SILENT_DBFS
    peak_dbfs: float = SILENT_DBFS
    clipped: bool = False
    """Whether a sample of the last second reached full scale."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is read from a run at the moment of the snapshot."""

    state: State = "stopped"
    queue_depth: int = 0
    """Pieces of news that wait for their reader."""
    backlog_s: float = 0.0
    """Audio that waits for inference, in seconds."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Frames are absolute and 20 ms long; frame f stands for the samples from f times the hop length on."""

    pulse: Pulse
    message: str
    """What was said last about the source, in words; empty where nothing was."""
    runtime_text: str
    """What runs and why nothing faster, in words."""
    summary: Summary | None
    """The books so far: overflows, real-time factor, samples not analysed; None before the first sample."""
    now_sample: int
    """The absolute sample after the newest one that was received."""
    now_mono_s: float
    """When that one was captured, by the monotonic clock."""
    level: Level
    log_mel_first: int
    log_mel: NDArray[np.uint8]
    """Columns from frame `log_mel_first` on, shape (frame, mel); 0 where nothing was heard."""
    scores_first: int
    scores: NDArray[np.float32]
    """Final scores from frame `scores_first` on, shape (frame, label); not a number where none was made."""
    preview_first: int
    preview: NDArray[np.float32]
    """Scores of the frames that follow, which are not final, shape (frame, label)."""
    guesses: tuple[Guess, ...]
    items: tuple[LaneItem, ...]
    """Events, the oldest first."""
    gaps: tuple[GapBand, ...]
    top: tuple[tuple[str, float], ...]
    """Labels that are on, each with its highest score of the newest frames, the highest first."""
    latency: Latency
    """From the onset of a sound to the screen, as measured."""
    marks: tuple[Mark, ...] = ()
    """Moments that the user has marked, in the order in which they were."""
    advice: str = ""
    """What to tell the user although all runs, in words; empty where all is well."""
    not_analysed_s: float = 0.0
    """Sound that was lost or skipped, in seconds; what is still on its way does not count."""

    @property
    def state(self) -> State:
        """What the source does."""
        return self.pulse.state
