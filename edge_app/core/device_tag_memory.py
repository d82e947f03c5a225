"""A live stream's tag memory on the device, and the step that works with it.

The steady step, from the copy of the frames to the copy of the scores with the memory's update between them, is
captured as a CUDA graph when it comes for the second time, and launched whole from then on.
"""

import weakref
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.core.cuda_memory import (
    ITEM_BYTES,
    CapturedWork,
    DeviceBuffer,
    PinnedBuffer,
    Shape,
    TensorBlock,
    packed_bytes,
)
from edge_app.core.errors import RuntimeUnavailable, SedgeError
from edge_app.core.memory_copies import MemorySize, append_copies, gather_copy
from edge_app.core.runtime import EMPTY_LOGIT, INPUT_NAMES, OUTPUT_NAMES
from edge_app.core.tag_memory import StepOutput
from edge_app.core.tensorrt_engine import EngineSession, Execution

FRAME_INPUTS = INPUT_NAMES[:3]
MEMORY_INPUTS = INPUT_NAMES[3:]
STEP_OUTPUTS = 2
"""The first outputs, scores and tags: what a step's caller wants. The other two stay on the device."""
MEMORY_OUTPUTS = OUTPUT_NAMES[STEP_OUTPUTS:]


@dataclass(frozen=True, slots=True)
class _StepShape:
    """What a captured step is good for: all that is not in the arrays."""

    frames: int
    past: int
    first_pooled: int
    end_pooled: int

    @property
    def pooled(self) -> slice:
        return slice(self.first_pooled, self.end_pooled)


class LiveStep:
    """The memory of one stretch at a time, the buffers of its steps, and their CUDA graph."""

    def __init__(self, session: EngineSession, size: MemorySize) -> None:
        self._session, self._engine, self._stream, self._size = session, session.engine, session.stream, size
        largest = max(profile["log_mel"][1][1] for profile in self._engine.profiles)
        inputs, outputs = self._shapes(_StepShape(largest, size.slots, 0, 0))
        self._inputs = TensorBlock(packed_bytes({name: inputs[name] for name in FRAME_INPUTS}))
        self._outputs = TensorBlock(packed_bytes(outputs))
        self._memory_bytes = size.members * size.slots * size.labels * ITEM_BYTES
        self._memory = {name: DeviceBuffer(self._memory_bytes) for name in MEMORY_INPUTS}
        self._past = {name: DeviceBuffer(self._memory_bytes) for name in MEMORY_INPUTS}
        self._empty_logit = PinnedBuffer(self._memory_bytes)
        self._empty_logit.array(0, (self._memory_bytes // ITEM_BYTES,))[...] = EMPTY_LOGIT
        self._graph: tuple[_StepShape, CapturedWork, Execution] | None = None
        self._last: _StepShape | None = None
        self.graph_launches = 0

    def empty(self) -> None:
        """Forget everything."""
        logit, evidence = MEMORY_INPUTS
        self._stream.to_device(self._memory[logit].address, self._empty_logit.address, self._memory_bytes)
        self._stream.clear(self._memory[evidence].address, self._memory_bytes)
        self._last, self.graph_launches = None, 0

    def run(
        self, log_mel: NDArray[np.float32], frame_valid: NDArray[np.float32], past: int, pooled: slice
    ) -> StepOutput:
        """One step of the stretch."""
        shape = _StepShape(len(log_mel), past, *pooled.indices(len(log_mel))[:2])
        with self._session.lock:
            self._arrange(shape)
            frame_pooled = np.zeros_like(frame_valid)
            frame_pooled[pooled] = 1
            for name, array in zip(FRAME_INPUTS, (log_mel, frame_valid, frame_pooled), strict=True):
                self._inputs.array(name)[0] = array
            if not self._launch(shape):
                execution = self._session.execution(self._profile(shape))
                self._prepare(shape, execution)
                self._enqueue(shape, execution)
            self._stream.wait()
            self._last = shape
            scores, tags = (self._outputs.array(name)[0].copy() for name in OUTPUT_NAMES[:STEP_OUTPUTS])
        return StepOutput(scores, tags)

    def _shapes(self, shape: _StepShape) -> tuple[dict[str, Shape], dict[str, Shape]]:
        """Shapes of the graph's inputs and outputs, as the contract has them."""
        frames, size = shape.frames, self._size
        n_mels = self._engine.shapes["log_mel"][2]
        past = (1, size.members, shape.past, size.labels)
        new = (1, size.members, frames, size.labels)
        inputs = ((1, frames, n_mels), (1, frames), (1, frames), past, past)
        outputs = ((1, frames, size.labels), (1, size.members, size.labels), new, new)
        return dict(zip(INPUT_NAMES, inputs, strict=True)), dict(zip(OUTPUT_NAMES, outputs, strict=True))

    def _profile(self, shape: _StepShape) -> int:
        return self._engine.fitting_profile(self._shapes(shape)[0])

    def _arrange(self, shape: _StepShape) -> None:
        if not 0 <= shape.past <= self._size.slots:
            raise ValueError(f"past: expected 0 to {self._size.slots} slots, found {shape.past}")
        self._profile(shape)  # refuses what no profile admits before anything is laid out
        inputs, outputs = self._shapes(shape)
        self._inputs.arrange({name: inputs[name] for name in FRAME_INPUTS})
        self._outputs.arrange(outputs)

    def _prepare(self, shape: _StepShape, execution: Execution) -> None:
        """Tell the context the step's shapes and where its tensors are."""
        inputs, expected = self._shapes(shape)
        found = execution.shape_inputs(inputs)
        if found != {name: expected[name] for name in found}:
            raise RuntimeUnavailable(f"{self._engine.file.path}: expected outputs {expected}, found {found}")
        past = {name: buffer.address for name, buffer in self._past.items()}
        execution.bind(self._inputs.addresses() | past | self._outputs.addresses())

    def _enqueue(self, shape: _StepShape, execution: Execution) -> None:
        """The whole step: frames in, the memory's newest slots gathered, the graph, scores out, memory kept."""
        size, outputs = self._size, self._outputs.addresses()
        self._inputs.upload(self._stream)
        gather = gather_copy(size, shape.past)
        for name in MEMORY_INPUTS:
            self._stream.copy_rows(gather, self._past[name].address, self._memory[name].address)
        execution.enqueue()
        self._outputs.download(self._stream, STEP_OUTPUTS)
        for name, output in zip(MEMORY_INPUTS, MEMORY_OUTPUTS, strict=True):
            rooms = {
                "memory": self._memory[name].address,
                "input": self._past[name].address,
                "output": outputs[output],
            }
            for copy in append_copies(size, shape.frames, shape.past, shape.pooled):
                self._stream.copy_rows(copy, rooms[copy.destination], rooms[copy.source])

    def _launch(self, shape: _StepShape) -> bool:
        """Run the step as a CUDA graph, where it is the captured one, or the second of its kind in a row.

        Not a whole window, which uses no memory: it takes long enough, and a context of its own takes much room.
        """
        if self._graph is None or self._graph[0] != shape:
            if self._last != shape or shape.past == 0 or self._session.graph_refused is not None:
                return False
            try:
                self._graph = self._capture(shape)
            except SedgeError as error:
                self._session.graph_refused = str(error)
                return False
        self._stream.launch(self._graph[1])
        self.graph_launches += 1
        return True

    def _capture(self, shape: _StepShape) -> tuple[_StepShape, CapturedWork, Execution]:
        # Other shapes set in a context spoil what was captured from it, so this one is the graph's own.
        execution = self._engine.execution(self._profile(shape), self._stream)
        self._prepare(shape, execution)
        execution.enqueue()  # TensorRT makes itself ready for new shapes in their first run, which changes no memory
        self._stream.wait()
        work = self._stream.capture(lambda: self._enqueue(shape, execution))
        return shape, work, execution


class DeviceTagMemory:
    """A stretch's tag memory on the device. What it works with is used again for later stretches."""

    def __init__(self, step: LiveStep, idle: list[LiveStep]) -> None:
        self._step = step
        weakref.finalize(self, idle.append, step).atexit = False

    @property
    def graph_launches(self) -> int:
        """Steps of this stretch that ran as a CUDA graph."""
        return self._step.graph_launches

    def step(
        self, log_mel: NDArray[np.float32], frame_valid: NDArray[np.float32], past: int, pooled: slice
    ) -> StepOutput:
        """Run the graph on frames (frame, mel) with the newest `past` slots, then keep the `pooled` frames."""
        return self._step.run(log_mel, frame_valid, past, pooled)
