"""Windows of a clip against slow literal references: the definition, frame by frame."""

import tracemalloc
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.hops import HopGrid, HopScorer, ScoredHop
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.tag_memory import TagMemory
from edge_app.core.windows import WindowGrid, WindowScorer
from export.fuse import FusedEnsemble
from tests.core.test_hops import TorchRuntime, lively_member, reference, signal

WINDOW, CONTEXT, N_LABELS = 500, 12, 3


@dataclass
class LevelRuntime:
    """Label l's score is the mean of mel l over the real frames within 2, plus the tag: the mean of mel 9 pooled."""

    calls: list[FusedInput] = field(default_factory=list)
    name = "levels"

    def run(self, call: FusedInput) -> FusedOutput:
        self.calls.append(call)
        valid, pooled = call.frame_valid[..., None], call.frame_pooled[..., None]
        padded = np.pad(call.log_mel[..., :2] * valid, ((0, 0), (2, 2), (0, 0)))
        near = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=1).sum(-1) / 5
        tags = (call.log_mel[..., 9:10] * pooled).sum(1, keepdims=True) / pooled.sum(1, keepdims=True)
        numbers = np.zeros((len(near), 1, near.shape[1], 2), np.float32)
        return FusedOutput(
            (near + tags).astype(np.float32), np.repeat(tags, 2, -1).astype(np.float32), numbers, numbers
        )

    def tag_memory(self, slots: int) -> TagMemory:
        raise AssertionError("windows keep no memory")


def starts_of(n_frames: int, window: int, stride: int) -> list[int]:
    """Where windows start, by the definition."""
    regular = {start for start in range(0, n_frames, stride) if start + window <= n_frames}
    return sorted(regular | {max(0, n_frames - window)})


def means(n_frames: int, windows: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """Means over the windows (start, values (frame, ...)) that a frame is in."""
    return np.stack(
        [
            np.mean([each[frame - start] for start, each in windows if start <= frame < start + len(each)], 0)
            for frame in range(n_frames)
        ]
    )


def literal_levels(log_mel: np.ndarray, window: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and tags (frame, label) that LevelRuntime's rule gives."""
    n_frames = len(log_mel)
    near = np.zeros((n_frames, 2))
    for frame in range(n_frames):
        for other in range(max(0, frame - 2), min(n_frames, frame + 3)):
            near[frame] += log_mel[other, :2] / 5
    scores, tags = [], []
    for start in starts_of(n_frames, window, stride):
        tag = log_mel[start : start + window, 9].mean()
        length = min(window, n_frames)
        scores.append((start, near[start : start + length] + tag))
        tags.append((start, np.full((length, 2), tag)))
    return means(n_frames, scores), means(n_frames, tags)


def scored(scorer: WindowScorer, log_mel: np.ndarray, lengths: list[int]) -> list[ScoredHop]:
    """Pieces of a signal that comes in blocks of the given lengths, the rest last; they follow on each other."""
    pieces = []
    for block in np.split(log_mel, np.minimum(np.cumsum(lengths, dtype=int), len(log_mel))):
        pieces += scorer.push(block)
        assert scorer.frames_scored == sum(len(piece.scores) for piece in pieces)
    pieces += scorer.finish()
    ends = [piece.start_frame + len(piece.scores) for piece in pieces]
    assert [piece.start_frame for piece in pieces] == [0, *ends[:-1]]
    assert scorer.frames_scored == ends[-1] == len(log_mel)
    return pieces


def joined(pieces: list[ScoredHop]) -> np.ndarray:
    return np.concatenate([piece.scores for piece in pieces])


@pytest.fixture(scope="module")
def ensembles() -> list[FusedEnsemble]:
    members = [lively_member(seed) for seed in (1, 2)]
    return [
        FusedEnsemble(members[:1], (1.0,), "soft").eval(),
        FusedEnsemble(members, (0.7, 0.3), "none").eval(),
    ]


def torch_scorer(fused: FusedEnsemble, batch: int = 1) -> WindowScorer:
    grid = WindowGrid(WINDOW, WINDOW // 2, CONTEXT, len(fused.members), N_LABELS)
    return WindowScorer(TorchRuntime(fused), grid, batch)


@pytest.mark.parametrize("n_frames", [501, 512, 513, 750, 1000, 1137, 1262])
@pytest.mark.parametrize("ensemble", [0, 1])
def test_scores_are_means_over_windows_computed_from_the_whole_signal(ensembles, ensemble, n_frames) -> None:
    """Whole-signal convolutions, so that a window has its neighbours as context and nothing beyond the signal."""
    fused, log_mel = ensembles[ensemble], signal(n_frames)
    starts = starts_of(n_frames, WINDOW, WINDOW // 2)
    whole, _ = reference(fused, log_mel, [(start, start + WINDOW, start, start + WINDOW) for start in starts])
    expected = means(n_frames, list(zip(starts, np.split(whole, len(starts)), strict=True)))
    assert np.ptp(expected, axis=0).max() > 0.5
    found = joined(scored(torch_scorer(fused), log_mel, [100] * 20))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_frames", [1, 11, 12, 13, 250, 499, 500])
def test_a_signal_of_up_to_a_window_is_one_call_as_a_stretch_of_one_hop(ensembles, n_frames) -> None:
    hops = HopScorer(TorchRuntime(ensembles[1]), HopGrid(WINDOW, WINDOW, CONTEXT, pool_ahead=0))
    assert hops.push(signal(n_frames)) == []
    (expected,) = hops.finish()
    (found,) = scored(torch_scorer(ensembles[1], batch=4), signal(n_frames), [7])
    assert np.array_equal(found.scores, expected.scores)
    assert np.array_equal(found.tags, expected.tags)
    assert found.preview.shape == expected.preview.shape == (0, N_LABELS)


@given(
    n_frames=st.integers(1, 60),
    window=st.integers(2, 17),
    batch=st.integers(1, 5),
    lengths=st.lists(st.integers(0, 40), max_size=4),
)
@settings(max_examples=150)
def test_every_signal_and_window_is_as_defined_however_it_comes(n_frames, window, batch, lengths) -> None:
    log_mel = np.random.default_rng(n_frames).normal(size=(n_frames, 10)).astype(np.float32)
    grid, runtime = WindowGrid(window, window // 2, 2, 1, 2), LevelRuntime()
    pieces = scored(WindowScorer(runtime, grid, batch), log_mel, lengths)
    scores, tags = literal_levels(log_mel, window, window // 2)
    np.testing.assert_allclose(joined(pieces), scores, rtol=0, atol=1e-5)
    given_tags = [np.repeat(piece.tags, len(piece.scores), axis=0) for piece in pieces]
    np.testing.assert_allclose(np.concatenate(given_tags), tags, rtol=0, atol=1e-5)
    whole = WindowScorer(LevelRuntime(), grid, batch)
    assert np.array_equal(joined(scored(whole, log_mel, [])), joined(pieces))
    rows = [len(call.log_mel) for call in runtime.calls]
    assert sum(rows) == len(starts_of(n_frames, window, window // 2))
    assert set(rows[:-1]) <= {batch}
    assert rows[-1] <= batch


@pytest.mark.parametrize("batch", [1, 3])
def test_calls_of_a_longer_signal_have_one_shape(batch) -> None:
    runtime = LevelRuntime()
    grid = WindowGrid(WINDOW, WINDOW // 2, CONTEXT, 1, 2)
    scored(WindowScorer(runtime, grid, batch), np.zeros((1900, 10), np.float32), [333] * 5)
    assert {call.log_mel.shape[1:] for call in runtime.calls} == {(524, 10)}
    assert {call.memory_logit.shape[1:] for call in runtime.calls} == {(1, 0, 2)}
    starts = np.concatenate([call.frame_pooled.sum(1) for call in runtime.calls])
    assert starts.tolist() == [500] * 7  # at 0, 250 ... 1250 and 1400


def test_scores_come_as_soon_as_the_next_window_is_scored() -> None:
    scorer = WindowScorer(LevelRuntime(), WindowGrid(WINDOW, WINDOW // 2, CONTEXT, 1, 2))
    given_frames = {}
    for start in range(0, 1100, 2):
        scorer.push(np.zeros((2, 10), np.float32))
        given_frames.setdefault(scorer.frames_scored, start + 2)
    assert given_frames == {0: 2, 250: 762, 500: 1012}


def test_an_empty_stretch_has_no_scores() -> None:
    scorer = WindowScorer(LevelRuntime(), WindowGrid(WINDOW, WINDOW // 2, CONTEXT, 1, 2))
    assert scorer.push(np.empty((0, 10), np.float32)) == []
    assert scorer.finish() == WindowScorer(LevelRuntime(), WindowGrid(4, 2, 1, 1, 2)).finish() == []


def test_memory_does_not_grow_with_the_signal() -> None:
    runtime = LevelRuntime()
    scorer = WindowScorer(runtime, WindowGrid(WINDOW, WINDOW // 2, CONTEXT, 1, 2), batch=2)
    block = np.zeros((500, 128), np.float32)
    peaks = []
    tracemalloc.start()
    for _ in range(2):
        tracemalloc.reset_peak()
        for _ in range(90):  # 15 minutes: 23 MB of features
            scorer.push(block)
            runtime.calls.clear()
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert all(peak < 8e6 for peak in peaks)
    assert all(later < 1.1 * earlier for earlier, later in pairwise(peaks))
