"""The newest seconds of a session's sound, by absolute sample, for clips and playback."""

import threading
from collections import deque

import numpy as np
from numpy.typing import NDArray


class History:
    """A ring of mono float32 samples at the model's rate; memory is fixed from the start.

    One thread writes, any may read. `start` is the absolute index of the first sample to come.
    """

    def __init__(self, sample_rate: int, seconds: float, start: int = 0) -> None:
        self.sample_rate = sample_rate
        self._samples = np.zeros(max(1, round(sample_rate * seconds)), np.float32)
        self._first = start
        self._end = start
        self._gaps: deque[tuple[int, int]] = deque()  # in order of time, apart from each other
        self._lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """Samples that fit."""
        return len(self._samples)

    @property
    def end(self) -> int:
        """Absolute index after the newest sample."""
        return self._end

    @property
    def start(self) -> int:
        """Absolute index of the oldest sample that is still here."""
        return max(self._first, self._end - self.capacity)

    def write(self, start: int, samples: NDArray[np.float32]) -> None:
        """Take samples, shape (sample,), the first of which is `start`.

        A hole before them counts as lost; samples before `end` are there already and left out.
        """
        with self._lock:
            if start > self._end:
                self._lose(start)
            self._append(samples[max(0, self._end - start) :])

    def lose(self, start: int, end: int) -> None:
        """Samples [start, end) never came; what of them lies before the end of the history stays as it is."""
        with self._lock:
            if end > max(start, self._end):
                self._lose(end)

    def read(self, start: int, end: int) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
        """Samples [start, end), shape (end - start,), and the ranges among them that are not here, which are 0."""
        samples = np.zeros(max(0, end - start), np.float32)
        with self._lock:
            first, last = max(start, self.start), min(end, self._end)
            gaps = [(max(start, a), min(end, b)) for a, b in self._gaps if a < end and b > start]
            if first < last:
                samples[first - start : last - start] = self._copy(first, last)
            else:
                first = last = end
        outside = [(start, min(first, end)), *gaps, (max(last, start), end)]
        return samples, _joined(outside)

    def _lose(self, end: int) -> None:
        begin = self._end
        self._append(np.zeros(min(end - begin, self.capacity), np.float32), skip=end - begin)
        if self._gaps and self._gaps[-1][1] == begin:
            begin = self._gaps.pop()[0]
        self._gaps.append((begin, end))
        self._forget()

    def _append(self, samples: NDArray[np.float32], skip: int | None = None) -> None:
        """Move the end on by all samples, or by `skip` where only the last of so many are given."""
        self._end += len(samples) if skip is None else skip
        kept = samples[-self.capacity :]
        place = (self._end - len(kept)) % self.capacity
        before_wrap = min(len(kept), self.capacity - place)
        self._samples[place : place + before_wrap] = kept[:before_wrap]
        self._samples[: len(kept) - before_wrap] = kept[before_wrap:]
        self._forget()

    def _copy(self, first: int, end: int) -> NDArray[np.float32]:
        place = first % self.capacity
        before_wrap = self._samples[place : place + end - first]
        return np.concatenate([before_wrap, self._samples[: end - first - len(before_wrap)]])

    def _forget(self) -> None:
        while self._gaps and self._gaps[0][1] <= self.start:
            self._gaps.popleft()


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order of time, without empty ones, those that touch made one."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if begin >= end:
            continue
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined
