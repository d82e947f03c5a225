"""The live step against a slow reference that computes every hop anew from the whole signal."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edge_app.core.hops import HopGrid, HopScorer, ScoredHop
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.tag_memory import HostTagMemory
from export.fuse import FusedEnsemble, FusedMember
from tests.models import tiny_member
from train.models.mlfl import MLFL, pool_tag_logit
from train.models.tag_cnn import TagCNN

N_LABELS = 3
WINDOW = 500
CONTEXT, AHEAD = 12, 7
CLIP_GRID = HopGrid(WINDOW, WINDOW, CONTEXT, pool_ahead=0)


class TorchRuntime:
    """Runs the fused module itself, and keeps how many frames each call was fed."""

    name = "torch"

    def __init__(self, fused: FusedEnsemble) -> None:
        self.fused = fused
        self.frames_fed: list[int] = []

    def run(self, call: FusedInput) -> FusedOutput:
        self.frames_fed.append(call.log_mel.shape[1])
        arrays = (call.log_mel, call.frame_valid, call.frame_pooled, call.memory_logit, call.memory_evidence)
        with torch.no_grad():
            outputs = self.fused(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
        return FusedOutput(*(output.numpy() for output in outputs))

    def tag_memory(self, slots: int) -> HostTagMemory:
        return HostTagMemory(self, slots, len(self.fused.members), N_LABELS)


def live_grid(hop: int) -> HopGrid:
    return HopGrid(hop, WINDOW, CONTEXT, AHEAD)


def signal(n_frames: int, seed: int = 0) -> np.ndarray:
    """Log-mel frames that change their character every second or so."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.normal(-10, 3, (n_frames // 50 + 1, 128)), 50, axis=0)[:n_frames]
    return (levels + rng.normal(0, 1, (n_frames, 128))).astype(np.float32)


def lively_member(seed: int) -> tuple[MLFL, TagCNN]:
    """A pair whose batch norms fit the signal and whose tags follow it, as after training."""
    mlfl, tag_cnn = tiny_member(N_LABELS, seed)
    frames, ones = torch.from_numpy(signal(600, seed))[None], torch.ones(1, 600)
    for module in (*mlfl.modules(), *tag_cnn.modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        mlfl.attention.weight.div_(3)
        mlfl.tagger.weight.mul_(5)
        mlfl.train()(frames, ones)
        heard = mlfl.eval()(frames, ones)
        mlfl.tagger.bias.sub_(pool_tag_logit(heard.logit, heard.evidence, ones)[0])
        tag_cnn.output.weight.mul_(3)
        logit = tag_cnn.train()(frames, torch.full((1, 600, N_LABELS), 0.5), ones)
        assert tag_cnn.output.bias is not None
        tag_cnn.output.bias.sub_(logit.mean((0, 1)))
    return mlfl.eval(), tag_cnn.eval()


@pytest.fixture(scope="module")
def ensembles() -> dict[int, FusedEnsemble]:
    """Ensembles of one and of two members, by their number."""
    members = [lively_member(seed) for seed in (1, 2)]
    return {
        1: FusedEnsemble(members[:1], (1.0,), "soft").eval(),
        2: FusedEnsemble(members, (0.7, 0.3), "none").eval(),
    }


def cuts(n_frames: int, grid: HopGrid) -> list[tuple[int, int, int, int]]:
    """Each step's first and end frame, and the frames that its tags are pooled over, by the definition."""
    steps = []
    start = 0
    while n_frames >= start + grid.hop + grid.context:
        end = start + grid.hop
        steps.append((start, end, max(0, end + grid.pool_ahead - WINDOW), end + grid.pool_ahead))
        start = end
    if n_frames > start:
        new = n_frames - (start + grid.pool_ahead if start else 0)
        steps.append((start, n_frames, max(0, n_frames - max(WINDOW, new)), n_frames))
    return steps


def telling(steps: list[tuple[int, int, int, int]]) -> list[int]:
    """The first and last steps, those where the window begins to forget, and every sixth: all is slow."""
    last = len(steps) - 3
    return [
        number
        for number, (_, end, *_) in enumerate(steps)
        if number < 3 or number >= last or 470 < end <= 540 or number % 6 == 0
    ]


@torch.no_grad()
def member_reference(
    member: FusedMember, frames: torch.Tensor, steps: list[tuple[int, int, int, int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (frame, label) and tags (step, label) of one member, each step from the whole signal."""
    ones = torch.ones(1, frames.shape[1])
    output = member.mlfl(frames, ones)
    scores, tags = [], []
    for start, end, first, pooled in steps:
        attention = torch.softmax(output.logit[0, first:pooled], 0)
        tag = torch.sigmoid((attention * output.evidence[0, first:pooled]).sum(0).clamp(-10, 10))
        tag_rows = tag.expand(1, frames.shape[1], -1)
        whole = torch.sigmoid(member.tag_cnn(frames, tag_rows, ones))[0]
        scores.append(whole[start:end] * (tag if member.gate == "soft" else 1))
        tags.append(tag)
    return torch.cat(scores), torch.stack(tags)


def reference(
    fused: FusedEnsemble, log_mel: np.ndarray, steps: list[tuple[int, int, int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (frame, label) of the steps' frames, and tags (step, member, label)."""
    frames = torch.from_numpy(log_mel)[None]
    results = [member_reference(member, frames, steps) for member in fused.members]  # type: ignore[arg-type]
    scores = torch.stack([weight * result[0] for weight, result in zip(fused.weights, results, strict=True)])
    return scores.sum(0).numpy(), torch.stack([result[1] for result in results], 1).numpy()


def scored(runtime: TorchRuntime, log_mel: np.ndarray, grid: HopGrid, lengths: list[int]) -> list[ScoredHop]:
    """Hops of a signal that comes in blocks of the given lengths, the rest last."""
    scorer = HopScorer(runtime, grid)
    hops = []
    for block in np.split(log_mel, np.minimum(np.cumsum(lengths, dtype=int), len(log_mel))):
        hops += scorer.push(block)
    hops += scorer.finish()
    assert scorer.frames_scored == len(log_mel)
    return hops


def compare(fused: FusedEnsemble, log_mel: np.ndarray, grid: HopGrid, lengths: list[int]) -> None:
    hops, steps = scored(TorchRuntime(fused), log_mel, grid, lengths), cuts(len(log_mel), grid)
    assert [(hop.start_frame, len(hop.scores)) for hop in hops] == [(a, b - a) for a, b, *_ in steps]
    chosen = telling(steps)
    scores, tags = reference(fused, log_mel, [steps[number] for number in chosen])
    found = np.concatenate([hops[number].scores for number in chosen])
    np.testing.assert_allclose(found, scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.stack([hops[number].tags for number in chosen]), tags, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("hop", "members"), [(5, 1), (10, 1), (25, 2), (50, 1)])
def test_long_signals_equal_the_reference(ensembles, hop, members) -> None:
    # start, steady, from frame 500 on a window that forgets, and a flush of a part of a hop
    compare(ensembles[members], signal(1287), live_grid(hop), lengths=[hop] * (1287 // hop))


@pytest.mark.parametrize("hop", [5, 10, 25, 50])
@pytest.mark.parametrize("extra", [-12, -1, 0, 1, 5, 7])
def test_the_first_steps_equal_the_reference(ensembles, hop, extra) -> None:
    compare(ensembles[1], signal(hop + 12 + extra), live_grid(hop), lengths=[])
    compare(ensembles[1], signal(2 * hop + 12 + extra), live_grid(hop), lengths=[7] * 9)


@pytest.mark.parametrize("n_frames", [1, 2, 6, 7, 8, 11])
def test_signals_shorter_than_the_context_equal_the_reference(ensembles, n_frames) -> None:
    compare(ensembles[2], signal(n_frames), live_grid(25), lengths=[1] * n_frames)


@pytest.mark.parametrize("n_frames", [480, 493, 500, 501, 517, 550])
def test_signals_about_as_long_as_the_window_equal_the_reference(ensembles, n_frames) -> None:
    compare(ensembles[1], signal(n_frames), live_grid(50), lengths=[])


def test_nothing_gives_nothing(ensembles) -> None:
    for grid in (live_grid(25), CLIP_GRID):
        assert HopScorer(TorchRuntime(ensembles[1]), grid).finish() == []
        scorer = HopScorer(TorchRuntime(ensembles[1]), grid)
        assert scorer.push(signal(0)) == []
        assert scorer.finish() == []


@given(st.integers(1, 160), st.lists(st.integers(0, 60), max_size=8))
@settings(max_examples=15)
def test_the_blocks_do_not_show(n_frames: int, lengths: list[int]) -> None:
    runtime = TorchRuntime(FusedEnsemble([lively_member(1)], (1.0,), "soft").eval())
    whole = scored(runtime, signal(n_frames), live_grid(25), [])
    parts = scored(runtime, signal(n_frames), live_grid(25), lengths)
    assert len(whole) == len(parts)
    for one, other in zip(whole, parts, strict=True):
        assert one.start_frame == other.start_frame
        assert np.array_equal(one.scores, other.scores)
        assert np.array_equal(one.tags, other.tags)


def test_a_step_is_fed_its_hop_and_the_context_only(ensembles) -> None:
    runtime = TorchRuntime(ensembles[1])
    scored(runtime, signal(700), live_grid(25), [])
    assert set(runtime.frames_fed[:-1]) == {12 + 25 + 12}


def test_a_hop_comes_once_its_context_is_there(ensembles) -> None:
    scorer = HopScorer(TorchRuntime(ensembles[1]), live_grid(25))
    came = [len(scorer.push(frame[None])) for frame in signal(90)]
    assert np.flatnonzero(came).tolist() == [25 + 12 - 1, 50 + 12 - 1, 75 + 12 - 1]
    assert scorer.frames_scored == 75


def test_previews_are_of_the_frames_that_follow(ensembles) -> None:
    hops = scored(TorchRuntime(ensembles[1]), signal(200), live_grid(25), [])
    assert {hop.preview.shape for hop in hops[:-1]} == {(12, N_LABELS)}
    assert hops[-1].preview.shape == (0, N_LABELS)
    assert all(earlier.start_frame + 25 == later.start_frame for earlier, later in pairwise(hops))


@pytest.mark.parametrize("members", [1, 2])
def test_a_clip_equals_the_fused_module_run_once(ensembles, members) -> None:
    log_mel, fused = signal(500), ensembles[members]
    (hop,) = scored(TorchRuntime(fused), log_mel, CLIP_GRID, [100] * 4)
    frames, ones = torch.from_numpy(log_mel)[None], torch.ones(1, 500)
    empty = torch.zeros(1, members, 0, N_LABELS)
    with torch.no_grad():
        scores, tags, *_ = fused(frames, ones, ones, empty, empty)
    np.testing.assert_allclose(hop.scores, scores[0].numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(hop.tags, tags[0].numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_frames", [1, 499, 505, 511, 512, 513, 990, 1011, 1012, 1600])
def test_long_signals_in_clip_context_equal_the_reference(ensembles, n_frames) -> None:
    # each whole window has its own tags; a rest has those of the trailing window
    compare(ensembles[1], signal(n_frames), CLIP_GRID, lengths=[300] * (n_frames // 300))


def test_input_is_left_as_it_was(ensembles) -> None:
    log_mel = signal(60)
    kept = log_mel.copy()
    scored(TorchRuntime(ensembles[1]), log_mel, live_grid(10), [20])
    assert np.array_equal(log_mel, kept)
