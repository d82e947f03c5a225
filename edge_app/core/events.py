"""Sound events, and their form on the frame grid.

An event on frames a ... b inclusive lasts from a to b + 1 frames: half-open in time. Going
from events on the grid to frames and back is the identity, and an event of any length above zero
covers at least one frame.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import SedgeError
from edge_app.core.logmel import LogMelConfig

FRAME_S = LogMelConfig().frame_s
"""Seconds a frame stands for."""
_GRID_TOLERANCE = 1e-6  # frames; tables hold times in milliseconds, and 0.58 / 0.02 is not 29


@dataclass(frozen=True, slots=True)
class Event:
    """One sound event: `onset` and `offset` in seconds, and the peak of its score."""

    onset: float
    offset: float
    event_label: str
    score: float = 1.0


def frame_span(onset: float, offset: float) -> tuple[int, int]:
    """Frames [first, last + 1) that an event from `onset` to `offset` (seconds) touches; at least one."""
    first = math.floor(onset / FRAME_S + _GRID_TOLERANCE)
    end = math.ceil(offset / FRAME_S - _GRID_TOLERANCE)
    return first, max(end, first + 1)


def rasterise(events: Iterable[Event], event_labels: Sequence[str], n_frames: int) -> NDArray[np.bool_]:
    """Activity of each label in each frame, shape (frame, label).

    Raises SedgeError where an event has a label that is not among `event_labels`.
    """
    active = np.zeros((n_frames, len(event_labels)), bool)
    columns = {label: column for column, label in enumerate(event_labels)}
    for event in events:
        if event.event_label not in columns:
            raise SedgeError(f"event label {event.event_label!r}: expected one of {list(event_labels)}")
        first, end = frame_span(event.onset, event.offset)
        active[max(0, first) : max(0, end), columns[event.event_label]] = True
    return active


def runs(active: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First frame and end (exclusive) of each run of True in a row, shape (frame,) -> (run, 2)."""
    edges = np.diff(np.concatenate([[False], active, [False]]).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def vectorise(active: NDArray[np.bool_], event_labels: Sequence[str]) -> list[Event]:
    """Events of an activity, shape (frame, label), sorted by onset, then label."""
    events = [
        Event(round(first * FRAME_S, 6), round(end * FRAME_S, 6), label)
        for column, label in enumerate(event_labels)
        for first, end in runs(active[:, column])
    ]
    return sorted(events, key=lambda event: (event.onset, event.event_label))
