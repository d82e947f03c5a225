"""How far each event stands out of its clip and how many sound at once, from the audio and its annotation.

The SNR of an event is that of powers: of the 20 ms frames in which it sounds alone, less the clip's frames without
any event, over the latter. So whatever is not annotated counts as noise, and an event has no SNR where it never
sounds alone for 0.1 s, or where its clip is without events for less than 0.2 s or digitally silent there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from edge_app.core.audio import read_blocks
from edge_app.core.events import Event, frame_span
from train.data.extents import frame_rms
from train.data.overlaps import merged
from train.measuring.validation_set import ValidationSet

LEAST_ALONE_FRAMES = 5
LEAST_FREE_FRAMES = 10
LOWEST_SNR_DB = -20.0
"""Told of an event that is no louder than the rest of its clip."""


@dataclass(frozen=True, slots=True)
class EventLevel:
    """One reference event among the others of its clip."""

    event: Event
    snr_db: float | None
    """None where it cannot be measured."""
    polyphony: int
    """Most events that sound at once while it does, itself among them."""


@dataclass(frozen=True, slots=True)
class ClipLevel:
    """The reference events of a clip, overlapping ones of one label merged, sorted by onset, then label."""

    events: tuple[EventLevel, ...]

    @property
    def snr_db(self) -> float | None:
        """Median of its events' SNR; None where it has none that can be measured."""
        measured = [level.snr_db for level in self.events if level.snr_db is not None]
        return median(measured) if measured else None

    @property
    def polyphony(self) -> int:
        """Most events at once; 0 in a clip without events."""
        return max((level.polyphony for level in self.events), default=0)


def set_levels(clips: ValidationSet) -> dict[str, ClipLevel]:
    """Levels of every clip, in the order of the reference. Raises AudioError for a broken clip."""
    levels = {}
    for filename, events in clips.reference.items():
        samples = np.concatenate(list(read_blocks(clips.audio / filename)))
        levels[filename] = clip_level(samples, events)
    return levels


def clip_level(samples: Float[np.ndarray, " sample"], events: Sequence[Event]) -> ClipLevel:
    """Levels of one clip at 16 kHz."""
    # in the order of times as tables hold them, in milliseconds
    events = sorted(merged(events), key=lambda event: (round(event.onset, 3), event.event_label))
    power = np.square(frame_rms(samples))
    sounding = _sounding(events, len(power))
    free = power[sounding == 0]
    levels = []
    for event in events:
        first, end = frame_span(event.onset, event.offset)
        alone = power[first:end][sounding[first:end] == 1]
        levels.append(EventLevel(event, _snr_db(alone, free), most_at_once(event, events)))
    return ClipLevel(tuple(levels))


def _sounding(events: Sequence[Event], n_frames: int) -> Int[np.ndarray, " frame"]:
    """Number of events in each frame."""
    sounding = np.zeros(n_frames, np.int64)
    for event in events:
        first, end = frame_span(event.onset, event.offset)
        sounding[first:end] += 1
    return sounding


def _snr_db(alone: NDArray[np.float64], free: NDArray[np.float64]) -> float | None:
    if len(alone) < LEAST_ALONE_FRAMES or len(free) < LEAST_FREE_FRAMES or not free.mean():
        return None
    ratio = alone.mean() / free.mean() - 1
    return max(LOWEST_SNR_DB, float(10 * np.log10(ratio))) if ratio > 0 else LOWEST_SNR_DB


def most_at_once(event: Event, events: Sequence[Event]) -> int:
    """Most of `events` that sound at once while `event`, one of them, does; one that ends as another begins does not
    overlap it.
    """
    begins = [other.onset for other in events if event.onset <= other.onset < event.offset]
    return max((sum(other.onset <= begin < other.offset for other in events) for begin in begins), default=1)
