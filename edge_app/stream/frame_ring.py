"""Rows by absolute frame: the newest of them, in memory that is fixed from the start."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class FrameRing(Generic[Scalar]):
    """The newest `capacity` rows, shape (frame, column). Frames that nobody wrote hold `fill`.

    Not safe for several threads by itself.
    """

    def __init__(self, capacity: int, columns: int, dtype: type[Scalar], fill: float) -> None:
        if capacity < 1:
            raise ValueError(f"capacity: expected at least one frame, found {capacity}")
        self._fill = fill
        self._rows: NDArray[Scalar] = np.full((capacity, columns), fill, dtype)
        self._begin: int | None = None
        self.end = 0
        """Absolute frame after the newest row."""

    @property
    def capacity(self) -> int:
        """Frames that fit."""
        return len(self._rows)

    @property
    def first(self) -> int:
        """Absolute frame of the oldest row."""
        return self.end if self._begin is None else max(self._begin, self.end - self.capacity)

    def write(self, first: int, rows: NDArray[Scalar]) -> None:
        """Append rows (frame, column) from the absolute frame `first` on; what is skipped is filled.

        Raises ValueError for a frame that came before: time never runs back.
        """
        if self._begin is None:
            self._begin = self.end = first
        if first < self.end:
            raise ValueError(f"frame: expected {self.end} or later, found {first}")
        skipped = min(first - self.end, self.capacity)
        self._store(first - skipped, skipped, self._fill)
        kept = rows[max(0, len(rows) - self.capacity) :]
        self.end = first + len(rows)
        self._store(self.end - len(kept), len(kept), kept)

    def read(self, first: int | None = None, end: int | None = None) -> tuple[int, NDArray[Scalar]]:
        """Rows from `first` to `end`, as far as they are there: the absolute frame of the first, and a copy."""
        first = self.first if first is None else min(max(first, self.first), self.end)
        end = self.end if end is None else max(first, min(end, self.end))
        place = first % self.capacity
        before_wrap = self._rows[place : place + end - first]
        rows = np.concatenate([before_wrap, self._rows[: end - first - len(before_wrap)]])
        rows.setflags(write=False)
        return first, rows

    def _store(self, first: int, count: int, rows: ArrayLike) -> None:
        place = first % self.capacity
        before_wrap = min(count, self.capacity - place)
        values = np.broadcast_to(np.asarray(rows, self._rows.dtype), (count, self._rows.shape[1]))
        self._rows[place : place + before_wrap] = values[:before_wrap]
        self._rows[: count - before_wrap] = values[before_wrap:]
