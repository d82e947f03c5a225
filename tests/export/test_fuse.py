"""The fused graph: what it computes, and that ONNX Runtime computes the same."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from edge_app.core.runtime import EMPTY_LOGIT, OUTPUT_NAMES
from export.fuse import FusedEnsemble
from tests.export.graphs import Exported, exported, memory, open_session, padded_call, real_frames, run_graph
from tests.models import tiny_member
from train.models.mlfl import pool_tag_logit

N_LABELS = 3


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


@pytest.fixture(scope="module", params=[1, 2, pytest.param(4, marks=pytest.mark.slow)], ids="K={}".format)
def graph(request) -> Exported:
    return exported(request.param)


@pytest.fixture(scope="module")
def session(graph) -> onnxruntime.InferenceSession:
    return open_session(graph.model)


@pytest.mark.parametrize("past", [0, 1, 250, 500])
@pytest.mark.parametrize("batch", [1, 8])
def test_onnx_runtime_gives_what_torch_gives(graph, session, batch, past) -> None:
    inputs = padded_call(graph.fused, batch, past)
    expected = run(graph.fused, *inputs)
    for name, ours, theirs in zip(OUTPUT_NAMES, run_graph(session, inputs), expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("n_frames", [1, 49, 500])
def test_graph_takes_any_number_of_frames(graph, session, n_frames) -> None:
    frames, ones = real_frames(1, n_frames), torch.ones(1, n_frames)
    inputs = (frames, ones, ones, *memory(graph.fused, 1, 0))
    scores = run_graph(session, inputs)[0]
    np.testing.assert_allclose(scores, run(graph.fused, *inputs)[0].numpy(), rtol=0, atol=1e-4)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_padding_of_the_graph_is_nothing_there(graph, session) -> None:
    frames, ones = real_frames(2, 60), torch.ones(2, 60)
    alone = run_graph(session, (frames[:1, :40], ones[:1, :40], ones[:1, :40], *memory(graph.fused, 1, 9)))
    frames[0, 40:], valid = 1e3, ones.clone()
    valid[0, 40:] = 0
    remembered = [part.repeat(2, 1, 1, 1) for part in memory(graph.fused, 1, 9)]
    padded = run_graph(session, (frames, valid, valid, *remembered))
    np.testing.assert_allclose(padded[0][:1, :40], alone[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(padded[1][:1], alone[1], rtol=0, atol=1e-5)


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
