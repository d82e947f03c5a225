"""What the store keeps of a run. Samples are counted at the rate of the model, from the start of the session."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EventState = Literal["open", "closed"]
Review = Literal["", "confirmed", "rejected"]
REVIEWS: tuple[Review, ...] = ("", "confirmed", "rejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What is known of a session when it begins."""

    started_at: datetime
    """When sample 0 was heard; with a time zone."""
    source: str
    """What was listened to, in words."""
    device: str = ""
    """Identity of the sound device, if it is one: host API and name."""
    sample_rate: int = 16_000
    """Samples a second of every sample index of the session: the rate of the model."""
    model_sha256: str = ""
    model_name: str = ""
    runtime: str = ""
    app_version: str = ""
    settings_json: str = "{}"
    """Settings in force at the start, as one JSON object; `decoding` holds those of each label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord(SessionFacts):
    """A session in the store."""

    id: int
    ended: bool
    """False while it runs."""
    recovered: bool = False
    """Whether it ended with the program that recorded it, and not by its own end."""
    end_sample: int = 0
    """Sample after the last one known; while it runs, of what has been written."""
    recording: Path | None = None
    """Its whole sound, where that was asked for; sample n of the session is sample n of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """An event in the store; confirmed ones only."""

    id: int
    session: int
    number: int
    """The event's number in the news of its session."""
    event_label: str
    onset_sample: int
    offset_sample: int
    onset_utc: datetime
    peak: float
    mean: float | None = None
    """Mean score over the event's frames; None where no scores were kept."""
    state: EventState = "closed"
    cut: bool = False
    """Whether a gap or the end of the program ended it, and not silence."""
    review: Review = ""
    note: str = ""
    clip_path: Path | None = None
    clip_start_sample: int | None = None
    """Which sample of the session is the first of the clip."""


@dataclass(frozen=True, slots=True)
class GapRecord:
    """Samples [start, end) in which nothing could be heard."""

    session: int
    start_sample: int
    end_sample: int
    kind: str
    """lost: they never arrived. skipped: they did, but there was no time to analyse them."""


@dataclass(frozen=True, slots=True)
class MarkRecord:
    """A moment that the user marked."""

    id: int
    session: int
    sample: int
    note: str


@dataclass(frozen=True, slots=True)
class DecodingChange:
    """Other settings of the decoder, in force from a frame on."""

    session: int
    first_frame: int
    settings_json: str
    """As `SessionFacts.settings_json`: `decoding` of every label, `enabled` labels."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """One instant on three clocks: the session's samples, the machine's monotonic clock, and UTC."""

    session: int
    sample: int
    mono_ns: int
    utc_ns: int


@dataclass(frozen=True, slots=True)
class ScoreBlock:
    """Scores of consecutive frames, in steps of 1/255."""

    session: int
    first_frame: int
    event_labels: tuple[str, ...]
    scores: NDArray[np.uint8] = field(compare=False)
    """Shape (frame, label)."""

    @property
    def end_frame(self) -> int:
        """Frame after the last one."""
        return self.first_frame + len(self.scores)

    def as_float(self) -> NDArray[np.float32]:
        """The scores in 0...1, shape (frame, label), each within 1/510 of what was given."""
        return self.scores.astype(np.float32) / np.float32(255)


def to_bytes(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scores in 0...1 in steps of 1/255, any shape."""
    return np.rint(np.clip(scores, 0, 1) * 255).astype(np.uint8)
