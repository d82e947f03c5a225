"""The memory in NumPy against arrays that a test keeps by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.runtime import EMPTY_LOGIT, FusedInput, FusedOutput
from edge_app.core.tag_memory import HostTagMemory
from tests.stream.fakes import EVENT_LABELS, FakeRuntime

SLOTS = 30


class KeptCalls(FakeRuntime):
    """Keeps each call with what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[FusedInput, FusedOutput]] = []

    def run(self, call: FusedInput) -> FusedOutput:
        output = super().run(call)
        self.kept.append((call, output))
        return output


@st.composite
def steps(draw) -> list[tuple[int, int, slice]]:
    """Frames fed, memory slots used and frames kept of each step."""
    drawn = []
    for _ in range(draw(st.integers(1, 4))):
        start, kept, rest = (draw(st.integers(low, 20)) for low in (0, 1, 0))
        drawn.append((start + kept + rest, draw(st.integers(0, SLOTS)), slice(start, start + kept)))
    return drawn


@given(steps(), st.integers(0, 2**32 - 1))
def test_each_step_has_the_newest_of_what_earlier_ones_kept(drawn, seed):
    runtime, rng = KeptCalls(), np.random.default_rng(seed)
    memory = runtime.tag_memory(SLOTS)
    logit = [np.full(len(EVENT_LABELS), EMPTY_LOGIT, np.float32)] * SLOTS
    evidence = [np.zeros(len(EVENT_LABELS), np.float32)] * SLOTS
    for n_frames, past, pooled in drawn:
        log_mel = rng.normal(size=(n_frames, 128)).astype(np.float32)
        valid = np.ones(n_frames, np.float32)
        given_back = memory.step(log_mel, valid, past, pooled)
        call, output = runtime.kept[-1]
        expected = np.array(logit[len(logit) - past :]).reshape(past, len(EVENT_LABELS))
        np.testing.assert_array_equal(call.memory_logit[0, 0], expected)
        expected = np.array(evidence[len(evidence) - past :]).reshape(past, len(EVENT_LABELS))
        np.testing.assert_array_equal(call.memory_evidence[0, 0], expected)
        np.testing.assert_array_equal(call.log_mel[0], log_mel)
        np.testing.assert_array_equal(call.frame_valid[0], valid)
        assert np.flatnonzero(call.frame_pooled[0]).tolist() == list(range(pooled.start, pooled.stop))
        np.testing.assert_array_equal(given_back.scores, output.scores[0])
        np.testing.assert_array_equal(given_back.tags, output.tags[0])
        logit += list(output.logit[0, 0, pooled])
        evidence += list(output.evidence[0, 0, pooled])


def test_two_stretches_share_nothing():
    runtime = FakeRuntime()
    first, second = runtime.tag_memory(SLOTS), HostTagMemory(runtime, SLOTS, 1, len(EVENT_LABELS))
    frames, valid = np.ones((20, 128), np.float32), np.ones(20, np.float32)
    alone = first.step(frames, valid, SLOTS, slice(0, 20))
    np.testing.assert_array_equal(second.step(frames, valid, SLOTS, slice(0, 20)).tags, alone.tags)
