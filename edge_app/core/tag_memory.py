"""What tags need of earlier frames: two numbers per frame, member and label, kept where the runtime likes."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_app.core.runtime import EMPTY_LOGIT, FusedInput, FusedOutput, Runtime


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one step of a stretch gives, float32."""

    scores: NDArray[np.float32]
    """Frame scores in 0 ... 1 of the frames fed, shape (frame, label)."""
    tags: NDArray[np.float32]
    """Tag of each member, shape (member, label)."""


class TagMemory(Protocol):
    """The graph on one gapless stretch, with logits and evidence of its trailing frames."""

    def step(
        self, log_mel: NDArray[np.float32], frame_valid: NDArray[np.float32], past: int, pooled: slice
    ) -> StepOutput:
        """Run the graph on frames (frame, mel) with the newest `past` slots, then keep the `pooled` frames.

        `frame_valid` (frame,) is 0 outside the signal; only the `pooled` frames of this call enter its tags.
        """


class HostTagMemory:
    """A memory in NumPy arrays, oldest frame first; empty slots before the first. For any runtime."""

    def __init__(self, runtime: Runtime, slots: int, n_members: int, n_labels: int) -> None:
        self._runtime = runtime
        self._logit = np.full((1, n_members, slots, n_labels), EMPTY_LOGIT, np.float32)
        self._evidence = np.zeros((1, n_members, slots, n_labels), np.float32)

    def step(
        self, log_mel: NDArray[np.float32], frame_valid: NDArray[np.float32], past: int, pooled: slice
    ) -> StepOutput:
        """Run the graph on frames (frame, mel) with the newest `past` slots, then keep the `pooled` frames."""
        frame_pooled = np.zeros_like(frame_valid)
        frame_pooled[pooled] = 1
        call = FusedInput(log_mel[None], frame_valid[None], frame_pooled[None], *self._newest(past))
        output = self._runtime.run(call)
        self._append(output, pooled)
        return StepOutput(output.scores[0], output.tags[0])

    def _newest(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        start = self._logit.shape[2] - count
        return self._logit[:, :, start:], self._evidence[:, :, start:]

    def _append(self, output: FusedOutput, frames: slice) -> None:
        slots = self._logit.shape[2]
        logit, evidence = output.logit[:, :, frames], output.evidence[:, :, frames]
        self._logit = np.concatenate([self._logit, logit], axis=2)[:, :, -slots:]
        self._evidence = np.concatenate([self._evidence, evidence], axis=2)[:, :, -slots:]
