"""The fused graph: what it computes, and that ONNX Runtime computes the same."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from torch import Tensor

from edge_app.core.logmel import log_mel
from edge_app.core.runtime import EMPTY_LOGIT, INPUT_NAMES, OUTPUT_NAMES
from export.fuse import FusedEnsemble
from export.onnx import export_onnx
from tests.models import DEMO_CLIP, tiny_member
from train.models.mlfl import pool_tag_logit

N_LABELS = 3


@dataclass(frozen=True)
class Exported:
    """A fused module and its graph."""

    fused: FusedEnsemble
    path: Path
    session: onnxruntime.InferenceSession


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


@torch.no_grad()
def run(fused: FusedEnsemble, *inputs: Tensor) -> tuple[Tensor, ...]:
    return fused(*inputs)


def run_clip(fused: FusedEnsemble, frames: Tensor) -> tuple[Tensor, ...]:
    ones = torch.ones(frames.shape[:2])
    return run(fused, frames, ones, ones, *memory(fused, len(frames), 0))


@pytest.fixture(scope="module")
def fused() -> FusedEnsemble:
    members = [tiny_member(N_LABELS, seed) for seed in (1, 2, 3)]
    return FusedEnsemble(members, (0.5, 0.3, 0.2), "none").eval()


@pytest.fixture(
    scope="module", params=[(1, 8, (1.0,), "none"), (2, 10, (0.7, 0.3), "soft")], ids=["K=1", "K=2"]
)
def exported(request, tmp_path_factory) -> Exported:
    n_members, n_labels, weights, gate = request.param
    fused = FusedEnsemble([tiny_member(n_labels, seed) for seed in range(n_members)], weights, gate).eval()
    path = tmp_path_factory.mktemp("graph") / "fused.onnx"
    export_onnx(fused, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return Exported(
        fused, path, onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    )


@pytest.mark.parametrize("past", [0, 37, 500])
@pytest.mark.parametrize("batch", [1, 4])
def test_onnx_runtime_gives_what_torch_gives(exported, batch, past) -> None:
    frames = real_frames(batch, 61)
    valid, pooled = torch.ones(batch, 61), torch.ones(batch, 61)
    valid[0, :12] = 0
    valid[-1, 50:] = 0
    pooled[:, :19] = 0
    pooled *= valid
    inputs = (frames, valid, pooled, *memory(exported.fused, batch, past))
    feed = {name: tensor.numpy() for name, tensor in zip(INPUT_NAMES, inputs, strict=True)}
    found = exported.session.run(None, feed)
    for name, ours, theirs in zip(OUTPUT_NAMES, found, run(exported.fused, *inputs), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("n_frames", [1, 49, 500])
def test_graph_takes_any_number_of_frames(exported, n_frames) -> None:
    frames, ones = real_frames(1, n_frames), torch.ones(1, n_frames)
    inputs = (frames, ones, ones, *memory(exported.fused, 1, 0))
    feed = {name: tensor.numpy() for name, tensor in zip(INPUT_NAMES, inputs, strict=True)}
    scores = exported.session.run(["scores"], feed)[0]
    np.testing.assert_allclose(scores, run(exported.fused, *inputs)[0].numpy(), rtol=0, atol=1e-4)
    assert ((scores >= 0) & (scores <= 1)).all()


def axes(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_graph_has_the_names_and_shapes_of_the_contract(exported) -> None:
    graph = onnx.load(exported.path).graph
    members, labels = len(exported.fused.members), exported.fused.n_labels
    assert {value.name: axes(value) for value in graph.input} == {
        "log_mel": ["batch", "frame", 128],
        "frame_valid": ["batch", "frame"],
        "frame_pooled": ["batch", "frame"],
        "memory_logit": ["batch", members, "past", labels],
        "memory_evidence": ["batch", members, "past", labels],
    }
    assert {value.name: axes(value) for value in graph.output} == {
        "scores": ["batch", "frame", labels],
        "tags": ["batch", members, labels],
        "logit": ["batch", members, "frame", labels],
        "evidence": ["batch", members, "frame", labels],
    }
    assert [value.name for value in graph.input] == list(INPUT_NAMES)
    assert [value.name for value in graph.output] == list(OUTPUT_NAMES)


def test_graph_is_one_file(exported) -> None:
    assert [path.name for path in exported.path.parent.iterdir()] == ["fused.onnx"]
    assert not any(tensor.external_data for tensor in onnx.load(exported.path).graph.initializer)


def test_scores_are_the_weighted_mean_of_the_members(fused) -> None:
    frames = real_frames(2, 50)
    ones = torch.ones(2, 50)
    scores, tags, logit, evidence = run_clip(fused, frames)
    expected = torch.zeros(2, 50, N_LABELS)
    for number, (member, weight) in enumerate(zip(fused.members, (0.5, 0.3, 0.2), strict=True)):
        with torch.no_grad():
            heard = member.mlfl(frames, ones)
            tag = torch.sigmoid(pool_tag_logit(heard.logit, heard.evidence, ones))
            expected += weight * torch.sigmoid(member.tag_cnn(frames, tag[:, None].expand(-1, 50, -1), ones))
        torch.testing.assert_close(tags[:, number], tag)
        torch.testing.assert_close(logit[:, number], heard.logit)
        torch.testing.assert_close(evidence[:, number], heard.evidence)
    torch.testing.assert_close(scores, expected)


def test_soft_gate_multiplies_by_the_tag() -> None:
    member = tiny_member(N_LABELS, 1)
    plain, gated = (FusedEnsemble([member], (1.0,), gate).eval() for gate in ("none", "soft"))
    scores, tags, *_ = run_clip(plain, real_frames(2, 50))
    gated_scores, gated_tags, *_ = run_clip(gated, real_frames(2, 50))
    assert torch.equal(tags, gated_tags)
    torch.testing.assert_close(gated_scores, scores * tags)
    assert (gated_scores <= gated_tags).all()


def test_frames_in_memory_count_as_those_of_the_call(fused) -> None:
    frames = real_frames(1, 80)
    _, tags, logit, evidence = run_clip(fused, frames)
    pooled = torch.ones(1, 80)
    pooled[:, :33] = 0
    ones = torch.ones(1, 80)
    found = run(fused, frames, ones, pooled, logit[:, :, :33], evidence[:, :, :33])
    torch.testing.assert_close(found[1], tags, rtol=0, atol=1e-6)


def test_empty_slots_weigh_nothing(fused) -> None:
    frames, ones = real_frames(1, 50), torch.ones(1, 50)
    empty = torch.full((1, 3, 450, N_LABELS), EMPTY_LOGIT)
    found = run(fused, frames, ones, ones, empty, torch.zeros_like(empty))
    # not even with something in them
    filled = run(fused, frames, ones, ones, empty, torch.full_like(empty, 1e3))
    for one, other, expected in zip(found, filled, run_clip(fused, frames), strict=True):
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-6)


def test_a_clip_alone_equals_the_same_clip_padded_in_a_batch(fused) -> None:
    frames = real_frames(2, 60)
    frames[0, 40:] = 1000
    valid = torch.ones(2, 60)
    valid[0, 40:] = 0
    scores, tags, *_ = run(fused, frames, valid, valid, *memory(fused, 2, 0))
    alone = run_clip(fused, real_frames(2, 60)[:1, :40])
    torch.testing.assert_close(scores[:1, :40], alone[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(tags[:1], alone[1], rtol=0, atol=1e-5)


def test_tags_are_clamped_as_in_training() -> None:
    mlfl, tag_cnn = tiny_member(N_LABELS, 1)
    mlfl.tagger.bias.data = torch.tensor([-1e3, 0.0, 1e3])
    _, tags, *_ = run_clip(FusedEnsemble([(mlfl, tag_cnn)], (1.0,)).eval(), real_frames(1, 20))
    limits = torch.sigmoid(torch.tensor([-10.0, 10.0]))
    torch.testing.assert_close(tags[0, 0, [0, 2]], limits)


def test_each_member_needs_a_weight() -> None:
    with pytest.raises(ValueError, match="2 members need as many weights, found 1"):
        FusedEnsemble([tiny_member(N_LABELS, seed) for seed in (1, 2)], (1.0,))
