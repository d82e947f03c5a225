"""Frame scores of a stretch of signal, window by window: as clips are scored in training, for signals of any length.

With W the frames that a tag is pooled over and C the context, a stretch of up to W frames is one call. A longer
one is cut into windows of W frames, one every W / 2 frames, and a last one that ends where the signal ends:

    window [s, s + W), frames fed [s - C, s + W + C), frames pooled [s, s + W), no memory of earlier frames.

A frame's score is the mean over the windows that it lies in. Fed frames outside the signal are padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_app.core.hops import ScoredHop
from edge_app.core.runtime import EMPTY_LOGIT, FusedInput, Runtime


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """How a stretch is cut, in frames, and the axes of the graph's memory."""

    window: int
    """Frames that a tag is pooled over (W)."""
    stride: int
    """Frames from one window's start to the next one's."""
    context: int
    """Receptive field of the graph, one side (C)."""
    members: int
    labels: int


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """What the graph gives for one window."""

    start: int
    """Its first frame in the stretch."""
    scores: NDArray[np.float32]
    """Shape (frame, label)."""
    tags: NDArray[np.float32]
    """Shape (member, label)."""

    @property
    def end(self) -> int:
        """The frame after its last."""
        return self.start + len(self.scores)


class WindowScorer:
    """Scores one gapless stretch of log-mel frames that arrives in blocks of any size.

    `batch` windows go through the graph in one call, fewer at the end; arithmetic of another shape may differ in
    the last bits, so that only a batch of 1 gives the same scores on every runtime whatever else is scored.
    """

    def __init__(self, runtime: Runtime, grid: WindowGrid, batch: int = 1) -> None:
        self._runtime = runtime
        self._grid = grid
        self._batch = batch
        self._mean = OverlapMean()
        self._frames: NDArray[np.float32] | None = None  # from frame `_first` on
        self._first = 0
        self._next = 0  # start of the first regular window that was not scored yet

    @property
    def frames_scored(self) -> int:
        """Frames whose final scores have been given."""
        return self._mean.end

    def push(self, log_mel: NDArray[np.float32]) -> list[ScoredHop]:
        """Take frames, shape (frame, mel); give the scores that are now final: those before the newest window."""
        self._frames = log_mel if self._frames is None else np.concatenate([self._frames, log_mel])
        window, stride, context = self._grid.window, self._grid.stride, self._grid.context
        scored: list[ScoredHop] = []
        while self._end >= self._next + (self._batch - 1) * stride + window + context:
            starts = [self._next + number * stride for number in range(self._batch)]
            self._score(starts)
            self._next = starts[-1] + stride
            # the signal is long enough for that window, so its last window starts no earlier
            scored += self._mean.take(starts[-1])
        self._forget()
        return scored

    def finish(self) -> list[ScoredHop]:
        """End the stretch: give the remaining scores."""
        if self._end == 0:
            return []
        if self._end <= self._grid.window:
            self._score_short()
        else:
            starts = self._last_starts()
            for first in range(0, len(starts), self._batch):
                self._score(starts[first : first + self._batch])
        return self._mean.take(self._end)

    @property
    def _end(self) -> int:
        return self._first + (0 if self._frames is None else len(self._frames))

    def _last_starts(self) -> list[int]:
        """Starts of the windows that are left when the signal has ended, the one that ends there last."""
        last = self._end - self._grid.window
        starts = list(range(self._next, last + 1, self._grid.stride))
        newest = starts[-1] if starts else self._next - self._grid.stride
        return starts if newest == last else [*starts, last]

    def _score(self, starts: Sequence[int]) -> None:
        """Score the windows that start there, in one call."""
        window, context = self._grid.window, self._grid.context
        fed = [self._feed(start - context, start + window + context) for start in starts]
        valid = np.stack([frame_valid for _, frame_valid in fed])
        pooled = np.zeros_like(valid)
        pooled[:, context : context + window] = 1
        self._run(starts, np.stack([log_mel for log_mel, _ in fed]), valid, pooled, past=0)

    def _score_short(self) -> None:
        """Score the whole stretch in one call; the rest of the tag's window is empty memory, as in a live stream."""
        context = self._grid.context
        log_mel, valid = self._feed(-context, self._end)
        pooled = np.zeros_like(valid)
        pooled[context:] = 1
        self._run([0], log_mel[None], valid[None], pooled[None], self._grid.window - self._end)

    def _run(
        self,
        starts: Sequence[int],
        log_mel: NDArray[np.float32],
        valid: NDArray[np.float32],
        pooled: NDArray[np.float32],
        past: int,
    ) -> None:
        """Run the graph on rows (window, frame, ...), and keep the scores of the pooled frames."""
        memory = (len(starts), self._grid.members, past, self._grid.labels)
        empty = np.full(memory, EMPTY_LOGIT, np.float32), np.zeros(memory, np.float32)
        output = self._runtime.run(FusedInput(log_mel, valid, pooled, *empty))
        for row, start in enumerate(starts):
            self._mean.add(ScoredWindow(start, output.scores[row, pooled[row] == 1], output.tags[row]))

    def _feed(self, first: int, end: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Frames [first, end), zeros outside the stretch, and which of them are real."""
        assert self._frames is not None
        before, after = max(0, -first), max(0, end - self._end)
        inside = self._frames[first + before - self._first : end - after - self._first]
        valid = np.zeros(end - first, np.float32)
        valid[before : end - first - after] = 1
        return np.pad(inside, ((before, after), (0, 0))), valid

    def _forget(self) -> None:
        """Drop frames that no window needs: neither the next one nor the one that would end the signal now."""
        if self._frames is not None:
            needed = min(self._next, self._end - self._grid.window) - self._grid.context
            keep = max(self._first, needed)
            self._frames, self._first = self._frames[keep - self._first :], keep


class OverlapMean:
    """Means of the scores of windows that overlap; windows are added by their start."""

    def __init__(self) -> None:
        self.end = 0
        """Frames that were taken."""
        self._windows: list[ScoredWindow] = []

    def add(self, window: ScoredWindow) -> None:
        """Take the scores of one more window."""
        self._windows.append(window)

    def take(self, end: int) -> list[ScoredHop]:
        """Scores of the frames up to `end`, which must all be covered, cut where the windows over them change."""
        cuts = {cut for window in self._windows for cut in (window.start, window.end) if self.end < cut < end}
        pieces = [self._piece(*piece) for piece in pairwise(sorted({self.end, end, *cuts}))]
        self._windows = [window for window in self._windows if window.end > end]
        self.end = end
        return pieces

    def _piece(self, start: int, end: int) -> ScoredHop:
        """Means over the windows that hold all of [start, end); none of them changes any more."""
        over = [window for window in self._windows if window.start <= start and end <= window.end]
        scores = np.mean(
            [window.scores[start - window.start : end - window.start] for window in over], axis=0
        )
        tags = np.mean([window.tags for window in over], axis=0)
        return ScoredHop(start, scores, scores[:0], tags)
