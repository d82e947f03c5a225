"""The ring between capture and inference: one writer, one reader, memory fixed from the start.

Samples are counted from `start` on and never renumbered. Whatever is missing is found by the reader as a
`Missing` range of that count, in its place, so that nothing is ever spliced.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MissingKind = Literal["lost", "skipped"]


@dataclass(frozen=True, slots=True)
class Block:
    """Samples without a gap, shape (sample,); `start` is the absolute index of the first."""

    start: int
    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Missing:
    """Samples [start, end) that the reader does not get."""

    start: int
    end: int
    kind: MissingKind
    """lost: they never arrived. skipped: they did, but were overwritten or given up."""


class SampleRing:
    """The newest `capacity` samples, float32.

    The lock is held to publish an index, never to copy, so neither side waits for the other's copying.
    """

    def __init__(self, capacity: int, start: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        if capacity < 1:
            raise ValueError(f"capacity: expected at least one sample, found {capacity}")
        self.overwrites = 0
        """How often the reader came too late."""
        self.heard = (start, clock())
        """The absolute index after the newest sample, and when it was written, by the clock."""
        self._clock = clock
        self._samples = np.zeros(capacity, np.float32)
        # Stored samples are counted apart from lost ones, so that a long loss pushes nothing out of the ring.
        self._written = start
        self._claimed = start  # `_written` after the copy in progress: what it overwrites is void from now on
        self._read = start
        self._given_up = start  # samples before this one are not wanted any more
        self._lost = 0
        self._lost_before_read = 0
        self._losses: deque[tuple[int, int]] = deque()  # (stored samples before it, length)
        self._closed = False
        self._cancelled = False
        self._changed = threading.Condition()

    @property
    def capacity(self) -> int:
        """Samples that fit."""
        return len(self._samples)

    @property
    def backlog(self) -> int:
        """Samples that wait for the reader."""
        return self._written - self._read

    @property
    def position(self) -> int:
        """Absolute index of the next sample to read."""
        return self._read + self._lost_before_read

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples, shape (sample,), without waiting; the oldest are overwritten where there is no space."""
        for first in range(0, len(samples), self.capacity):
            self._store(samples[first : first + self.capacity])

    def write_when_free(self, samples: NDArray[np.float32]) -> bool:
        """Append samples, shape (sample,), as the reader makes space. False: the reader wants no more."""
        done = 0
        while done < len(samples):
            with self._changed:
                self._changed.wait_for(lambda: self._cancelled or self.backlog < self.capacity)
                if self._cancelled:
                    return False
                space = self.capacity - self.backlog
            self._store(samples[done : done + space])
            done += space
        return True

    def lose(self, count: int) -> None:
        """Record that `count` samples which belong here never arrived."""
        if count <= 0:
            return
        with self._changed:
            self._lost += count
            if self._losses and self._losses[-1][0] == self._written:
                count += self._losses.pop()[1]
            self._losses.append((self._written, count))
            self._changed.notify_all()

    def close(self) -> None:
        """The writer has no more; the reader still gets what is there."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """The reader wants no more; a waiting writer and a waiting reader return at once."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def give_up_backlog(self) -> None:
        """Skip to the newest sample; the next reads tell what was skipped."""
        with self._changed:
            self._given_up = self._written

    def read(self, limit: int) -> Block | Missing | None:
        """Wait for the next samples, at most `limit`, or the next missing range; None at the end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._cancelled or self._closed or self._has_news)
                if self._cancelled or not self._has_news:
                    return None
                missing = self._next_missing()
                first, end = self._read, min(self._next_loss, self._read + limit)
            if missing:
                return missing
            samples = self._copy(first, end)
            if self._keep(first, end):
                return Block(first + self._lost_before_read, samples)

    @property
    def _has_news(self) -> bool:
        return bool(self._losses) or self._written > self._read

    @property
    def _next_loss(self) -> int:
        return self._losses[0][0] if self._losses else self._written

    @property
    def _oldest(self) -> int:
        return max(self._claimed - self.capacity, self._given_up)

    def _next_missing(self) -> Missing | None:
        """The missing range at the reader's place, if there is one; the reader moves past it."""
        position = self.position
        if self._next_loss == self._read and self._losses:
            count = self._losses.popleft()[1]
            self._lost_before_read += count
            return Missing(position, position + count, "lost")
        end = min(self._oldest, self._next_loss)
        if end <= self._read:
            return None
        self.overwrites += self._given_up < end
        count, self._read = end - self._read, end
        self._changed.notify_all()
        return Missing(position, position + count, "skipped")

    def _store(self, samples: NDArray[np.float32]) -> None:
        """Append at most `capacity` samples."""
        count, place = len(samples), self._written % self.capacity
        with self._changed:
            self._claimed = self._written + count
        before_wrap = min(count, self.capacity - place)
        self._samples[place : place + before_wrap] = samples[:before_wrap]
        self._samples[: count - before_wrap] = samples[before_wrap:]
        with self._changed:
            self._written += count
            self.heard = (self._written + self._lost, self._clock())
            self._changed.notify_all()

    def _copy(self, first: int, end: int) -> NDArray[np.float32]:
        place = first % self.capacity
        before_wrap = self._samples[place : place + end - first]
        return np.concatenate([before_wrap, self._samples[: end - first - len(before_wrap)]])

    def _keep(self, first: int, end: int) -> bool:
        """Move the reader past a copy; False where the writer overtook it, so that the copy is void."""
        with self._changed:
            if self._oldest > first:
                return False
            self._read = end
            self._changed.notify_all()
            return True
