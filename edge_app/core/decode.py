"""Frame scores to events: one decoder, the same object live and on whole files.

Order: median filter, hysteresis (on at or above `threshold_on`, off below `threshold_off`), gaps
shorter than `min_off_s` merged, events shorter than `min_on_s` dropped. Everything is counted in
frames; there is no clock, so a stream cut anywhere decodes as the whole.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_app.core.events import FRAME_S, Event

MessageType = Literal["provisional", "confirmed", "update", "closed", "withdrawn"]


class LabelDecoding(BaseModel):
    """How one label's scores become events."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    threshold_on: float = Field(0.5, gt=0, lt=1)
    """An event begins where the filtered score is at or above this."""
    threshold_off: float | None = Field(None, gt=0, lt=1)
    """It lasts to the last frame at or above this; by default 0.15 under `threshold_on`, at least 0.05."""
    median_frames: int = Field(1, ge=1)
    """Width of the median filter in frames, odd."""
    min_on_s: float = Field(0.0, ge=0)
    """Events shorter than this (seconds) are dropped."""
    min_off_s: float = Field(0.0, ge=0)
    """Gaps shorter than this (seconds) are merged."""

    @model_validator(mode="after")
    def _check(self) -> "LabelDecoding":
        if self.median_frames % 2 == 0:
            raise ValueError(f"median_frames: expected an odd number, found {self.median_frames}")
        if self.threshold_off is not None and self.threshold_off > self.threshold_on:
            raise ValueError("threshold_off: expected at most threshold_on, found more")
        return self

    @property
    def off(self) -> float:
        """The threshold in force for the end of an event."""
        if self.threshold_off is not None:
            return self.threshold_off
        return min(self.threshold_on, max(self.threshold_on - 0.15, 0.05))

    @property
    def min_on_frames(self) -> int:
        """`min_on_s` in whole frames, rounded up; an event has at least one."""
        return max(1, math.ceil(self.min_on_s / FRAME_S - 1e-6))

    @property
    def min_off_frames(self) -> int:
        """`min_off_s` in whole frames, rounded up; a gap has at least one."""
        return max(1, math.ceil(self.min_off_s / FRAME_S - 1e-6))


@dataclass(frozen=True, slots=True)
class Message:
    """News of one event. Histories read provisional, then withdrawn, or confirmed, updates, closed."""

    type: MessageType
    id: int
    event_label: str
    onset_frame: int
    offset_frame: int
    """The frame after the last one known to belong to the event."""
    score: float
    """Peak of the filtered score so far."""

    def event(self) -> Event:
        """The event in seconds."""
        return Event(
            round(self.onset_frame * FRAME_S, 6),
            round(self.offset_frame * FRAME_S, 6),
            self.event_label,
            self.score,
        )


def median_filter(scores: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Median over `width` frames (odd) with every window inside `scores`: (frame,) -> (frame - width + 1,)."""
    if width == 1:
        return scores
    windows = np.lib.stride_tricks.sliding_window_view(scores, width)
    middle: NDArray[np.float32] = np.partition(windows, width // 2, axis=-1)[..., width // 2]
    return middle


class StreamingMedian:
    """Median filter of one label's scores with zeros outside the signal; late by half its width."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._tail = np.zeros(width // 2, np.float32)

    def push(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take scores, shape (frame,); give the filtered ones that are now final, shape (frame,)."""
        pending = np.concatenate([self._tail, scores.astype(np.float32, copy=False)])
        if len(pending) < self._width:
            self._tail = pending
            return np.empty(0, np.float32)
        self._tail = pending[len(pending) - self._width + 1 :]
        return median_filter(pending, self._width)

    def flush(self) -> NDArray[np.float32]:
        """Give the last filtered scores, shape (frame,)."""
        return self.push(np.zeros(self._width // 2, np.float32))


@dataclass
class _OpenEvent:
    id: int
    onset: int
    offset: int
    peak: float
    confirmed: bool = False


class LabelDecoder:
    """The decoder of one label: filtered scores in, messages out."""

    def __init__(self, event_label: str, settings: LabelDecoding, start_frame: int = 0) -> None:
        self.event_label = event_label
        self.settings = settings
        self._median = StreamingMedian(settings.median_frames)
        self._frame = start_frame  # index of the next filtered score
        self._open: _OpenEvent | None = None
        self._on = False

    def push(self, scores: NDArray[np.float32], ids: "EventIds") -> tuple[list[Message], NDArray[np.float32]]:
        """Take scores, shape (frame,); give messages and the filtered scores that became final."""
        return self._take(self._median.push(scores), ids)

    def flush(self, ids: "EventIds") -> tuple[list[Message], NDArray[np.float32]]:
        """End the signal: close what is open."""
        messages, smoothed = self._take(self._median.flush(), ids)
        self._on = False
        return messages + self._close(), smoothed

    def _take(
        self, smoothed: NDArray[np.float32], ids: "EventIds"
    ) -> tuple[list[Message], NDArray[np.float32]]:
        messages: list[Message] = []
        before = replace(self._open) if self._open else None
        for first, end, on in self._switches(smoothed):
            if on:
                peak = float(smoothed[first:end].max())
                messages += self._extend(self._frame + first, self._frame + end, peak, ids)
            elif self._open and self._frame + end - self._open.offset >= self.settings.min_off_frames:
                messages += self._close()
        self._frame += len(smoothed)
        if self._open and before and before.confirmed and before.id == self._open.id and before != self._open:
            messages.append(self._message("update", self._open))
        return messages, smoothed

    def _switches(self, smoothed: NDArray[np.float32]) -> list[tuple[int, int, bool]]:
        """Cut the frames into runs that are all on or all off by the hysteresis."""
        above = smoothed >= self.settings.threshold_on
        below = smoothed < self.settings.off
        decided = np.where(above, 1, np.where(below, 0, -1))
        known = np.flatnonzero(decided >= 0)
        previous = np.searchsorted(known, np.arange(len(smoothed)), side="right") - 1
        state = np.full(len(smoothed), self._on)
        held = previous >= 0
        state[held] = decided[known[previous[held]]] == 1
        if not len(state):
            return []
        self._on = bool(state[-1])
        cuts = [0, *(np.flatnonzero(np.diff(state.astype(np.int8))) + 1).tolist(), len(state)]
        return [(first, end, bool(state[first])) for first, end in pairwise(cuts)]

    def _extend(self, onset: int, offset: int, peak: float, ids: "EventIds") -> list[Message]:
        messages = []
        if self._open is None:
            self._open = _OpenEvent(ids.next(), onset, offset, peak)
            messages.append(self._message("provisional", self._open))
        event = self._open
        event.offset, event.peak = offset, max(event.peak, peak)
        if not event.confirmed and offset - event.onset >= self.settings.min_on_frames:
            event.confirmed = True
            messages.append(self._message("confirmed", event))
        return messages

    def _close(self) -> list[Message]:
        event, self._open = self._open, None
        if event is None:
            return []
        return [self._message("closed" if event.confirmed else "withdrawn", event)]

    def _message(self, kind: MessageType, event: _OpenEvent) -> Message:
        return Message(kind, event.id, self.event_label, event.onset, event.offset, event.peak)


class EventIds:
    """Numbers for events: 1, 2, 3, ..."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """The next number."""
        self._last += 1
        return self._last


class Decoder:
    """Frame scores of one gapless stretch to event messages, label by label.

    `start_frame` is the absolute index of its first frame; several stretches share one `ids`.
    With `keep_smoothed` the filtered scores are kept until `smoothed` takes them. Labels outside `enabled` are heard
    as silence; all are enabled by default.
    """

    def __init__(
        self,
        event_labels: Sequence[str],
        decoding: Mapping[str, LabelDecoding],
        start_frame: int = 0,
        ids: EventIds | None = None,
        keep_smoothed: bool = False,
        enabled: Collection[str] | None = None,
    ) -> None:
        self._keep_smoothed = keep_smoothed
        self._frame = start_frame  # index of the next frame of scores
        self._labels = [LabelDecoder(label, decoding[label], start_frame) for label in event_labels]
        self._enabled = [enabled is None or label in enabled for label in event_labels]
        self._ids = ids or EventIds()
        self._smoothed: list[NDArray[np.float32]] = [np.empty(0, np.float32) for _ in event_labels]

    def push(self, scores: NDArray[np.float32]) -> list[Message]:
        """Take frame scores, shape (frame, label); give the news that they bring."""
        self._frame += len(scores)
        columns = [scores[:, i] if on else np.zeros_like(scores[:, i]) for i, on in enumerate(self._enabled)]
        return self._step(
            [decoder.push(column, self._ids) for decoder, column in zip(self._labels, columns, strict=True)]
        )

    def change(
        self, decoding: Mapping[str, LabelDecoding], enabled: Collection[str] | None = None
    ) -> list[Message]:
        """Decode by other settings from the next frame on, as if the stretch began there.

        Only labels for which something changes begin anew; what they have open is closed or withdrawn.
        """
        labels = [decoder.event_label for decoder in self._labels]
        on = [enabled is None or label in enabled for label in labels]
        return self._step([self._change_label(i, decoding[labels[i]], on[i]) for i in range(len(labels))])

    def _change_label(
        self, place: int, settings: LabelDecoding, on: bool
    ) -> tuple[list[Message], NDArray[np.float32]]:
        former = self._labels[place]
        if settings == former.settings and on == self._enabled[place]:
            return [], np.empty(0, np.float32)
        self._labels[place] = LabelDecoder(former.event_label, settings, self._frame)
        self._enabled[place] = on
        return former.flush(self._ids)

    def flush(self) -> list[Message]:
        """End the stretch: everything that is open is closed or withdrawn."""
        return self._step([decoder.flush(self._ids) for decoder in self._labels])

    def smoothed(self) -> NDArray[np.float32]:
        """Take the filtered scores that all labels have reached since the last call, shape (frame, label)."""
        ready = min(len(column) for column in self._smoothed)
        taken = np.stack([column[:ready] for column in self._smoothed], axis=1)
        self._smoothed = [column[ready:] for column in self._smoothed]
        return taken

    def _step(self, results: list[tuple[list[Message], NDArray[np.float32]]]) -> list[Message]:
        if self._keep_smoothed:
            self._smoothed = [
                np.concatenate([old, new]) for old, (_, new) in zip(self._smoothed, results, strict=True)
            ]
        messages = [message for news, _ in results for message in news]
        return sorted(messages, key=lambda message: (message.onset_frame, message.id))


def closed_events(messages: Sequence[Message]) -> list[Event]:
    """The finished events among messages, sorted by onset, then label."""
    events = [message.event() for message in messages if message.type == "closed"]
    return sorted(events, key=lambda event: (event.onset, event.event_label))


def decode(
    scores: NDArray[np.float32], event_labels: Sequence[str], decoding: Mapping[str, LabelDecoding]
) -> list[Event]:
    """Events of a whole signal's frame scores, shape (frame, label), sorted by onset, then label."""
    decoder = Decoder(event_labels, decoding)
    return closed_events(decoder.push(scores) + decoder.flush())
