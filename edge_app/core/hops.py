"""Frame scores of a stretch of signal, hop by hop: the step that live detection repeats.

Each step feeds the graph only the new frames with the context of its convolutions, and the two
numbers of earlier frames that the tags need. With H the hop, C the context, A the frames ahead that
already enter the tags, and hop k = [a, b) with a = k H:

    frames fed [a - C, b + C), scores emitted [a, b), frames pooled so far: up to b + A.

The step runs once frame b + C - 1 exists; `finish` does the rest, where the signal ends.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.core.runtime import Runtime


@dataclass(frozen=True, slots=True)
class HopGrid:
    """How a stretch is cut, in frames."""

    hop: int
    """New frames a step (H)."""
    tag_window: int
    """Frames that a tag is pooled over."""
    context: int
    """Receptive field of the graph, one side (C)."""
    pool_ahead: int
    """Frames beyond the hop that enter its tags (A): as far as the context makes them final, or none."""


@dataclass(frozen=True, slots=True)
class ScoredHop:
    """Scores of one step."""

    start_frame: int
    """Index of the first frame in the stretch."""
    scores: NDArray[np.float32]
    """Final scores, shape (frame, label)."""
    preview: NDArray[np.float32]
    """Scores of the frames after them, which later context may still change, shape (frame, label)."""
    tags: NDArray[np.float32]
    """Tags that conditioned the scores, shape (member, label)."""


class HopScorer:
    """Scores one gapless stretch of log-mel frames that arrives in blocks of any size."""

    def __init__(self, runtime: Runtime, grid: HopGrid) -> None:
        self._grid = grid
        self._memory = runtime.tag_memory(grid.tag_window)
        self._frames: NDArray[np.float32] | None = None  # from frame `_first` on
        self._first = 0
        self._start = 0  # first frame that has no final score yet
        self._pooled = 0  # frames in the memory's past, from the start of the stretch

    @property
    def frames_scored(self) -> int:
        """Frames whose final scores have been given."""
        return self._start

    def push(self, log_mel: NDArray[np.float32]) -> list[ScoredHop]:
        """Take frames, shape (frame, mel); give the hops that are now complete."""
        self._frames = log_mel if self._frames is None else np.concatenate([self._frames, log_mel])
        hops = []
        while self._end >= self._start + self._grid.hop + self._grid.context:
            end = self._start + self._grid.hop
            past = self._grid.tag_window - self._grid.hop
            hops.append(self._step(end, end + self._grid.context, end + self._grid.pool_ahead, past))
        return hops

    def finish(self) -> list[ScoredHop]:
        """End the stretch: give the remaining scores."""
        if self._end == self._start:
            return []
        past = max(0, self._grid.tag_window - (self._end - self._pooled))
        return [self._step(self._end, self._end, self._end, past)]

    @property
    def _end(self) -> int:
        return self._first + (0 if self._frames is None else len(self._frames))

    def _step(self, end: int, feed_end: int, pool_end: int, past: int) -> ScoredHop:
        """Emit up to `end`, feeding up to `feed_end` and pooling up to `pool_end` with `past` memory slots."""
        context, first = self._grid.context, self._start - self._grid.context
        log_mel, valid = self._window(first, feed_end)
        pooled = slice(self._pooled - first, pool_end - first)
        output = self._memory.step(log_mel, valid, past, pooled)
        scores, preview = np.split(output.scores[context:], [end - self._start])
        hop = ScoredHop(self._start, scores, preview, output.tags)
        self._advance(end, pool_end)
        return hop

    def _window(self, first: int, end: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Frames [first, end), zeros before the stretch, and which of them are real."""
        assert self._frames is not None
        outside = max(0, -first)
        inside = self._frames[first + outside - self._first : end - self._first]
        window = np.pad(inside, ((outside, 0), (0, 0)))
        valid = np.ones(end - first, np.float32)
        valid[:outside] = 0
        return window, valid

    def _advance(self, start: int, pooled: int) -> None:
        self._start, self._pooled = start, pooled
        keep = max(self._first, start - self._grid.context)
        if self._frames is not None:
            self._frames = self._frames[keep - self._first :]
        self._first = keep
