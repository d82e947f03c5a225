"""Samples received against the clock: drivers lose samples without saying so, or say so without losing any."""

import math
from collections import deque

STRETCH_S = 2.0  # blocks come in bursts: only the most punctual one of a stretch says something
REMEMBERED_STRETCHES = 15  # sound cards drift by tens of parts in a million: an older past proves nothing
TOLERANCE_S = 0.25


class Punctuality:
    """How many samples are missing from a stream of blocks, judged by when they come."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self.restart(0.0)

    def restart(self, now: float) -> None:
        """A stream begins, or what was missing has been accounted for."""
        self._begin = now
        self._received = 0
        self._before: deque[float] = deque(maxlen=REMEMBERED_STRETCHES)
        self._best = math.inf
        self._stretch_end = now + STRETCH_S

    def take(self, count: int, now: float) -> int:
        """Take a block of `count` samples; give how many have gone missing by the evidence of a whole stretch."""
        self._received += count
        self._best = min(self._best, self._late(now))
        if now < self._stretch_end:
            return 0
        missing_s = self._best - min(self._before, default=self._best)
        self._before.append(self._best)
        self._best, self._stretch_end = math.inf, now + STRETCH_S
        if missing_s <= TOLERANCE_S:
            return 0
        self.restart(now)
        return round(missing_s * self._sample_rate)

    def missing(self, count: int, now: float) -> int:
        """How many are missing right before a block of `count` samples, where the driver says that some are."""
        self._received += count
        missing_s = self._late(now) - min(self._best, *self._before, self._late(now))
        self.restart(now)
        return round(missing_s * self._sample_rate)

    def _late(self, now: float) -> float:
        return now - self._begin - self._received / self._sample_rate
