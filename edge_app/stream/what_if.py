"""What other settings would have made of scores that are there: events, and what just missed being one, and why."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_app.core.decode import Decoder, EventIds, LabelDecoding, Message
from edge_app.core.events import FRAME_S, runs

NEAR = 0.15
"""A score that stays less than this below the threshold is a near miss."""

Reason = Literal["below threshold", "too short", "label off"]


@dataclass(frozen=True, slots=True)
class Heard:
    """An event that the settings would have made; frames are absolute, the offset is the frame after the last."""

    event_label: str
    onset_frame: int
    offset_frame: int
    score: float
    """Peak of the filtered score."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """What the settings would have dropped."""

    event_label: str
    onset_frame: int
    offset_frame: int
    score: float
    """Peak of the filtered score."""
    reason: Reason
    missing: float
    """What it lacked: score below the threshold, seconds of length too short, nothing where the label is off."""

    @property
    def text(self) -> str:
        """The reason in words."""
        if self.reason == "below threshold":
            return f"{self.missing:.2f} below the threshold"
        if self.reason == "too short":
            return f"{self.missing:.2f} s too short"
        return "the label is off"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Both sorted by onset, then label."""

    events: tuple[Heard, ...]
    near_misses: tuple[NearMiss, ...]


def what_if(
    scores: NDArray[np.float32],
    first_frame: int,
    event_labels: Sequence[str],
    decoding: Mapping[str, LabelDecoding],
    enabled: Collection[str] | None = None,
    near: float = NEAR,
) -> WhatIf:
    """Decode scores, shape (frame, label), that begin at the absolute `first_frame`.

    Frames whose scores are not numbers were not analysed: no event reaches across them. Labels outside `enabled` make
    near misses only; without it all are on.
    """
    on = frozenset(event_labels if enabled is None else enabled)
    events: list[Heard] = []
    near_misses: list[NearMiss] = []
    for first, stretch in _stretches(scores, first_frame):
        decoder = Decoder(event_labels, decoding, first, EventIds(), keep_smoothed=True)
        messages = decoder.push(stretch) + decoder.flush()
        smoothed = decoder.smoothed()
        for column, label in enumerate(event_labels):
            found = [message for message in messages if message.event_label == label]
            heard = [_heard(message) for message in found if message.type == "closed"]
            if label in on:
                events += heard
                near_misses += _dropped(first, smoothed[:, column], decoding[label], label, found, near)
            else:
                near_misses += [_off(event) for event in heard]
    return WhatIf(tuple(sorted(events, key=_order)), tuple(sorted(near_misses, key=_order)))


def _dropped(
    first_frame: int,
    smoothed: NDArray[np.float32],
    settings: LabelDecoding,
    event_label: str,
    found: Sequence[Message],
    near: float,
) -> Iterator[NearMiss]:
    """What was too short, and what stayed below the threshold, of one label that is on."""
    for message in found:
        if message.type == "withdrawn":
            yield _short(message, settings)
    yield from _low(first_frame, smoothed, settings, event_label, found, near)


def _order(item: Heard | NearMiss) -> tuple[int, str]:
    return item.onset_frame, item.event_label


def _stretches(scores: NDArray[np.float32], first_frame: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    analysed = np.asarray(np.isfinite(scores).all(axis=1))
    for first, end in runs(analysed).tolist():
        yield first_frame + first, scores[first:end]


def _heard(message: Message) -> Heard:
    return Heard(message.event_label, message.onset_frame, message.offset_frame, message.score)


def _off(event: Heard) -> NearMiss:
    return NearMiss(event.event_label, event.onset_frame, event.offset_frame, event.score, "label off", 0.0)


def _short(message: Message, settings: LabelDecoding) -> NearMiss:
    frames = settings.min_on_frames - (message.offset_frame - message.onset_frame)
    return NearMiss(
        message.event_label,
        message.onset_frame,
        message.offset_frame,
        message.score,
        "too short",
        round(frames * FRAME_S, 6),
    )


def _low(
    first_frame: int,
    smoothed: NDArray[np.float32],
    settings: LabelDecoding,
    event_label: str,
    found: Sequence[Message],
    near: float,
) -> Iterator[NearMiss]:
    """Runs that come near the threshold and do not reach it, apart from the flanks of events."""
    taken = np.zeros(len(smoothed) + 1, bool)  # the frames of events, and the one after each
    for message in found:
        if message.type in ("closed", "withdrawn"):
            taken[message.onset_frame - first_frame : message.offset_frame - first_frame + 1] = True
    for first, end in runs(smoothed > settings.threshold_on - near).tolist():
        peak = float(smoothed[first:end].max())
        if peak < settings.threshold_on and not taken[first : end + 1].any():
            yield NearMiss(
                event_label,
                first_frame + first,
                first_frame + end,
                peak,
                "below threshold",
                settings.threshold_on - peak,
            )
