"""What a live run tells: news of events, gaps, and a summary at the end. Each is one JSON object on the wire."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from edge_app.core.decode import MessageType
from edge_app.core.runtimes import PassedOver
from edge_app.stream.ring import MissingKind


@dataclass(frozen=True, slots=True)
class EventNews:
    """News of one event; times in seconds and in samples at the model's rate, from the start of the source."""

    type: MessageType
    id: int
    event_label: str
    onset: float
    offset: float
    onset_sample: int
    offset_sample: int
    score: float
    """Peak so far."""
    cut: bool = False
    """Whether a gap ended the event, and not silence."""


@dataclass(frozen=True, slots=True)
class GapNews:
    """A range of the signal in which nothing could be heard."""

    onset: float
    offset: float
    onset_sample: int
    offset_sample: int
    kind: MissingKind
    """lost: it never arrived. skipped: it arrived, but there was no time to analyse it."""
    type: Literal["gap"] = "gap"


@dataclass(frozen=True, slots=True)
class Summary:
    """The books of a run, in samples at the model's rate.

    Analysed and not analysed make received; received and gap make the time that went by.
    """

    samples_received: int
    samples_analysed: int
    samples_not_analysed: int
    samples_gap: int
    overflows: int
    """How often the driver or the ring had no space."""
    real_time_factor: float
    """Working time of the inference thread by duration of what it analysed; 0 where that is nothing."""
    runtime: str
    hop_frames: int
    sample_rate: int
    max_queue_depth: int
    """Most messages that ever waited for the consumer."""
    max_lag_s: float
    """Most audio that ever waited for the inference thread, in seconds."""
    runtimes_passed_over: tuple[PassedOver, ...] = ()
    """Faster runtimes that do not run, each with the reason."""
    type: Literal["summary"] = "summary"


News = EventNews | GapNews | Summary


def as_json(news: News) -> str:
    """One line of JSON, `type` first; `cut` only where it is true."""
    fields = dataclasses.asdict(news)
    if not fields.get("cut", True):
        del fields["cut"]
    return json.dumps({"type": fields.pop("type"), **fields})
