"""UTC of a session's samples. The sample index is the clock; anchors tell what time it was by others."""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median_low

from edge_app.store.records import Anchor

ANCHORS = 31
"""So many of the newest anchors count: enough that a late block does not matter, few enough to follow the drift."""
NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(instant: datetime) -> int:
    """Nanoseconds since 1970 of an instant with a time zone, exact to the microsecond."""
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000


def to_datetime(utc_ns: int) -> datetime:
    """UTC from nanoseconds since 1970, in whole microseconds."""
    return _EPOCH + timedelta(microseconds=utc_ns // 1000)


class SessionClock:
    """UTC of the samples of one session that started at `start_ns`."""

    def __init__(self, start_ns: int, sample_rate: int) -> None:
        self._start_ns = start_ns
        self.sample_rate = sample_rate
        self._starts: deque[int] = deque(maxlen=ANCHORS)  # when sample 0 was, by each anchor

    def add(self, anchor: Anchor) -> None:
        """Take an anchor."""
        self._starts.append(anchor.utc_ns - anchor.sample * NS // self.sample_rate)

    def utc_ns(self, sample: int) -> int:
        """UTC of a sample in nanoseconds: the median over the newest anchors; by the start where there is none."""
        start = median_low(self._starts) if self._starts else self._start_ns
        return start + sample * NS // self.sample_rate


def drift_ppm(anchors: Sequence[Anchor], sample_rate: int) -> float | None:
    """How much faster the sound device counts than the machine's clock, in parts per million.

    From the slope of the least-squares line of samples over monotonic time; None below two instants.
    """
    if len({anchor.mono_ns for anchor in anchors}) < 2:
        return None
    first = anchors[0]
    times = [(anchor.mono_ns - first.mono_ns) / NS for anchor in anchors]
    heard = [(anchor.sample - first.sample) / sample_rate for anchor in anchors]
    mean_time, mean_heard = sum(times) / len(times), sum(heard) / len(heard)
    spread = sum((time - mean_time) ** 2 for time in times)
    slope = sum((t - mean_time) * (h - mean_heard) for t, h in zip(times, heard, strict=True)) / spread
    return (slope - 1) * 1e6
