"""UTC of a session's samples. The sample index is the clock; anchors tell what time it was by others."""

from collections import deque
from datetime import UTC, datetime, timedelta
from statistics import median_low

from edge_app.store.records import Anchor

ANCHORS = 31
"""So many of the newest anchors count: enough that a late block does not matter, few enough to follow the drift."""
NS = 1_000_000_000
JUMP_NS = 2 * NS
"""Further off than any late block: the computer slept, which its sound and its monotonic clock do not count, or was
set to another time."""
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
        """Take an anchor. Two in a row that are far from the others tell that time has jumped: only they count."""
        if self._starts:
            usual, newest = median_low(self._starts), self._starts[-1]
            start = self._start_by(anchor)
            if min(abs(start - usual), abs(newest - usual)) > JUMP_NS:
                self._starts = deque([newest], maxlen=ANCHORS)
        self._starts.append(self._start_by(anchor))

    def _start_by(self, anchor: Anchor) -> int:
        return anchor.utc_ns - anchor.sample * NS // self.sample_rate

    def utc_ns(self, sample: int) -> int:
        """UTC of a sample in nanoseconds: the median over the newest anchors; by the start where there is none."""
        start = median_low(self._starts) if self._starts else self._start_ns
        return start + sample * NS // self.sample_rate
