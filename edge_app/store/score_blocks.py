"""Frame scores of hops to blocks of many frames."""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_FRAMES = 500
"""Frames of a whole block: 10 s."""


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Scores of consecutive frames, shape (frame, label)."""

    first_frame: int
    event_labels: tuple[str, ...]
    scores: NDArray[np.float32]


class BlockBuilder:
    """Joins scores that follow each other. May be used from several threads."""

    def __init__(self) -> None:
        self._parts: list[FrameScores] = []
        self._frames = 0
        self._lock = threading.Lock()

    def push(self, scores: FrameScores) -> list[FrameScores]:
        """Take scores; give the blocks that are whole, or end because these do not follow."""
        with self._lock:
            blocks = [] if self._follows(scores) else self._join()
            self._parts.append(scores)
            self._frames += len(scores.scores)
            return blocks + (self._join() if self._frames >= BLOCK_FRAMES else [])

    def flush(self) -> list[FrameScores]:
        """Give what there is, as one block or none."""
        with self._lock:
            return self._join()

    def _follows(self, scores: FrameScores) -> bool:
        first = self._parts[0] if self._parts else scores
        return (
            scores.event_labels == first.event_labels
            and scores.first_frame == first.first_frame + self._frames
        )

    def _join(self) -> list[FrameScores]:
        parts, self._parts, self._frames = self._parts, [], 0
        if not parts:
            return []
        scores = np.concatenate([part.scores for part in parts])
        return [FrameScores(parts[0].first_frame, parts[0].event_labels, scores)]
