"""Tiny fused ensembles and their graphs, exported once for all tests."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
import onnxruntime
import soundfile
import torch
from torch import Tensor

from edge_app.core.logmel import log_mel
from edge_app.core.runtime import EMPTY_LOGIT, INPUT_NAMES
from export.fuse import FusedEnsemble, Gate
from export.onnx import fused_graph
from tests.models import DEMO_CLIP, tiny_member

KINDS: dict[int, tuple[int, tuple[float, ...], Gate]] = {
    1: (8, (1.0,), "none"),
    2: (10, (0.7, 0.3), "soft"),
    4: (8, (0.4, 0.2, 0.2, 0.2), "none"),
}
"""By the number of members: labels, weights and gate. The two have one MLFL, in two copies."""


@dataclass(frozen=True)
class Exported:
    """A fused module and its graph."""

    fused: FusedEnsemble
    model: onnx.ModelProto


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """ONNX Runtime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@cache
def exported(n_members: int) -> Exported:
    """The graph of so many members."""
    n_labels, weights, gate = KINDS[n_members]
    members = [tiny_member(n_labels, seed) for seed in range(n_members)]
    if n_members == 2:
        members[1] = (tiny_member(n_labels, 0)[0], members[1][1])
    fused = FusedEnsemble(members, weights, gate).eval()
    return Exported(fused, fused_graph(fused))


def real_frames(batch: int, n_frames: int) -> Tensor:
    """Log-mel of consecutive pieces of a real recording."""
    waveform, _ = soundfile.read(DEMO_CLIP, dtype="float32", frames=batch * n_frames * 320)
    return torch.from_numpy(log_mel(waveform)).reshape(batch, n_frames, 128)


def memory(fused: FusedEnsemble, batch: int, past: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and evidence of earlier frames, the first of several slots empty."""
    shape = (batch, len(fused.members), past, fused.n_labels)
    source = torch.Generator().manual_seed(seed)
    logit, evidence = torch.randn(shape, generator=source), torch.randn(shape, generator=source)
    logit[:, :, : past // 5], evidence[:, :, : past // 5] = EMPTY_LOGIT, 0
    return logit, evidence


def padded_call(fused: FusedEnsemble, batch: int, past: int, n_frames: int = 61) -> tuple[Tensor, ...]:
    """Inputs of which some clips have padding before, some after, and not all frames are pooled."""
    frames = real_frames(batch, n_frames)
    valid, pooled = torch.ones(batch, n_frames), torch.ones(batch, n_frames)
    valid[0, :12] = 0
    valid[-1, n_frames - 11 :] = 0
    pooled[:, :19] = 0
    return frames, valid, pooled * valid, *memory(fused, batch, past)


def run_graph(session: onnxruntime.InferenceSession, inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
    """Outputs of a graph, in the order of the contract."""
    feed = {name: tensor.numpy() for name, tensor in zip(INPUT_NAMES, inputs, strict=True)}
    return session.run(None, feed)
