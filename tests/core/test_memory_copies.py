"""The plan of copies, executed with NumPy, against the memory that every other runtime has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.memory_copies import MemorySize, RowsCopy, append_copies, gather_copy
from edge_app.core.runtime import EMPTY_LOGIT, FusedInput, FusedOutput
from edge_app.core.tag_memory import HostTagMemory

MELS = 4


class CountingRuntime:
    """Gives every frame of every member a number of its own, and keeps the memory that it was handed."""

    name = "counting"

    def __init__(self, members: int, labels: int) -> None:
        self.members, self.labels, self.given = members, labels, 0
        self.logit: np.ndarray = np.empty(0)
        self.evidence: np.ndarray = np.empty(0)

    def tag_memory(self, slots: int) -> HostTagMemory:
        return HostTagMemory(self, slots, self.members, self.labels)

    def run(self, call: FusedInput) -> FusedOutput:
        self.logit, self.evidence = call.memory_logit, call.memory_evidence
        logit = self.output(call.log_mel.shape[1])
        scores = np.zeros((1, call.log_mel.shape[1], self.labels), np.float32)
        return FusedOutput(scores, np.zeros((1, self.members, self.labels), np.float32), logit, -logit)

    def output(self, frames: int) -> np.ndarray:
        shape = (1, self.members, frames, self.labels)
        numbers = np.arange(self.given, self.given + np.prod(shape), dtype=np.float32).reshape(shape)
        self.given += numbers.size
        return numbers


def execute(copy: RowsCopy, rooms: dict[str, np.ndarray]) -> None:
    """What the copy engine does: each row's elements, never over themselves, never outside."""
    for row in range(copy.height):
        first = copy.source_offset + row * copy.source_pitch
        into = copy.destination_offset + row * copy.destination_pitch
        source, destination = rooms[copy.source], rooms[copy.destination]
        assert copy.width <= min(copy.source_pitch, copy.destination_pitch)
        assert 0 <= first <= first + copy.width <= source.size
        assert 0 <= into <= into + copy.width <= destination.size
        assert copy.source != copy.destination
        destination[into : into + copy.width] = source[first : first + copy.width]


class PlannedMemory:
    """One of the two arrays of a memory, kept by the plan."""

    def __init__(self, size: MemorySize, empty: float) -> None:
        self.size = size
        elements = size.members * size.slots * size.labels
        self.rooms = {
            "memory": np.full(elements, empty, np.float32),
            "input": np.full(elements, np.nan, np.float32),
        }

    def gather(self, past: int) -> np.ndarray:
        execute(gather_copy(self.size, past), self.rooms)
        shape = (1, self.size.members, past, self.size.labels)
        return self.rooms["input"][: np.prod(shape)].reshape(shape).copy()

    def append(self, output: np.ndarray, past: int, pooled: slice) -> None:
        rooms = self.rooms | {"output": output.ravel()}
        for copy in append_copies(self.size, output.shape[2], past, pooled):
            execute(copy, rooms)


@st.composite
def steps(draw):
    frames = draw(st.integers(1, 12))
    first = draw(st.integers(0, frames))
    return frames, draw(st.integers(0, 9)), slice(first, draw(st.integers(first, frames)))


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 3), st.lists(steps(), min_size=1, max_size=6))
def test_the_plan_keeps_what_the_host_keeps(members, slots, labels, calls) -> None:
    runtime, size = CountingRuntime(members, labels), MemorySize(members, slots, labels)
    host = HostTagMemory(runtime, slots, members, labels)
    logit, evidence = PlannedMemory(size, EMPTY_LOGIT), PlannedMemory(size, 0)
    for frames, wanted, pooled in calls:
        past = min(wanted, slots)
        given = runtime.given
        host.step(np.zeros((frames, MELS), np.float32), np.ones(frames, np.float32), past, pooled)
        assert np.array_equal(logit.gather(past), runtime.logit)
        assert np.array_equal(evidence.gather(past), runtime.evidence)
        runtime.given = given
        output = runtime.output(frames)
        logit.append(output, past, pooled)
        evidence.append(-output, past, pooled)


@pytest.mark.parametrize("hop", [5, 10, 25, 50])
def test_the_steady_step_takes_three_copies(hop) -> None:
    copies = append_copies(MemorySize(4, 500, 10), 24 + hop, 500 - hop, slice(19, 19 + hop))
    assert [(copy.source, copy.destination, copy.width) for copy in copies] == [
        ("input", "memory", (500 - hop) * 10),
        ("output", "memory", hop * 10),
    ]
