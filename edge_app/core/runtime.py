"""What runs the fused graph: one protocol, whatever executes it."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge_app.core.tag_memory import TagMemory

EMPTY_LOGIT = -1e4
"""Logit of an empty memory slot and of a frame that is not pooled: its softmax weight is exactly zero."""


@dataclass(frozen=True, slots=True)
class FusedInput:
    """One call of the fused graph, float32 throughout."""

    log_mel: NDArray[np.float32]
    """Shape (batch, frame, mel)."""
    frame_valid: NDArray[np.float32]
    """Shape (batch, frame): 1 = a real frame, 0 = padding outside the signal."""
    frame_pooled: NDArray[np.float32]
    """Shape (batch, frame): 1 = this frame enters the tags."""
    memory_logit: NDArray[np.float32]
    """Shape (batch, member, past, label); EMPTY_LOGIT in an empty slot."""
    memory_evidence: NDArray[np.float32]
    """Shape (batch, member, past, label); 0 in an empty slot."""


@dataclass(frozen=True, slots=True)
class FusedOutput:
    """What the fused graph gives, float32 throughout."""

    scores: NDArray[np.float32]
    """Frame scores in 0 ... 1, shape (batch, frame, label)."""
    tags: NDArray[np.float32]
    """Tag of each member, shape (batch, member, label)."""
    logit: NDArray[np.float32]
    """Attention logits of this call's frames, shape (batch, member, frame, label)."""
    evidence: NDArray[np.float32]
    """Evidence of this call's frames, shape (batch, member, frame, label)."""


INPUT_NAMES = tuple(field.name for field in fields(FusedInput))
OUTPUT_NAMES = tuple(field.name for field in fields(FusedOutput))


class Runtime(Protocol):
    """Executes the fused graph of one bundle."""

    @property
    def name(self) -> str:
        """What runs, in words for a person: library, version, device, threads."""

    def run(self, call: FusedInput) -> FusedOutput:
        """Run the graph once."""

    def tag_memory(self, slots: int) -> "TagMemory":
        """An empty memory of `slots` frames for one gapless stretch."""
