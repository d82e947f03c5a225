"""Memory on the GPU and beside it, a stream of work, and work captured once and launched again.

Sizes are in bytes, arrays float32. Everything is allocated once and freed with its object; an object must outlive
the work that was enqueued with it.
"""

import contextlib
import ctypes
import math
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.core.gpu import cuda_call, cuda_runtime
from edge_app.core.memory_copies import RowsCopy

ALIGNMENT = 256
"""Bytes; what TensorRT asks of every tensor's address."""
ITEM_BYTES = 4

Shape = tuple[int, ...]


def tensor_bytes(shape: Shape) -> int:
    """Bytes of a float32 tensor, rounded up to the alignment; at least that, so an empty one has an address."""
    return max(1, math.ceil(math.prod(shape) * ITEM_BYTES / ALIGNMENT)) * ALIGNMENT


def packed_bytes(shapes: Mapping[str, Shape]) -> int:
    """Bytes of several tensors, one after the other."""
    return sum(tensor_bytes(shape) for shape in shapes.values())


def _release(name: str, handle: Any) -> None:
    with contextlib.suppress(Exception):  # nothing more can be done about it, and nobody waits for it
        cuda_call(name, handle)


class _Owned:
    """A handle that is given back when its object goes; at the end of the process the driver does it."""

    def __init__(self, handle: Any, release: str) -> None:
        self.handle = handle
        weakref.finalize(self, _release, release, handle).atexit = False


class DeviceBuffer(_Owned):
    """Memory on the GPU."""

    def __init__(self, size: int) -> None:
        super().__init__(cuda_call("cudaMalloc", size), "cudaFree")
        self.address = int(self.handle)


class PinnedBuffer(_Owned):
    """Memory of the host that the GPU reads and writes by itself."""

    def __init__(self, size: int) -> None:
        super().__init__(cuda_call("cudaMallocHost", size), "cudaFreeHost")
        self.address = int(self.handle)

    def array(self, offset: int, shape: Shape) -> NDArray[np.float32]:
        """A view of the memory from `offset` on; valid while the buffer lives."""
        count = math.prod(shape)
        memory = (ctypes.c_float * count).from_address(self.address + offset)
        return np.frombuffer(memoryview(memory), np.float32, count).reshape(shape)


class CapturedWork(_Owned):
    """Work that was captured from a stream: a CUDA graph, ready to launch."""

    def __init__(self, graph: Any) -> None:
        try:
            super().__init__(cuda_call("cudaGraphInstantiate", graph, 0), "cudaGraphExecDestroy")
        finally:
            _release("cudaGraphDestroy", graph)


class Stream(_Owned):
    """Work that the GPU does in order."""

    def __init__(self) -> None:
        flag = cuda_runtime().cudaStreamNonBlocking
        super().__init__(cuda_call("cudaStreamCreateWithFlags", flag), "cudaStreamDestroy")

    def wait(self) -> None:
        """Wait until all of it is done; raises CudaError where some of it failed."""
        cuda_call("cudaStreamSynchronize", self.handle)

    def to_device(self, destination: int, source: int, size: int) -> None:
        """Copy from pinned memory."""
        kind = cuda_runtime().cudaMemcpyKind.cudaMemcpyHostToDevice
        cuda_call("cudaMemcpyAsync", destination, source, size, kind, self.handle)

    def to_host(self, destination: int, source: int, size: int) -> None:
        """Copy into pinned memory."""
        kind = cuda_runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost
        cuda_call("cudaMemcpyAsync", destination, source, size, kind, self.handle)

    def clear(self, destination: int, size: int) -> None:
        """Set memory of the device to zero."""
        cuda_call("cudaMemsetAsync", destination, 0, size, self.handle)

    def copy_rows(self, copy: RowsCopy, destination: int, source: int) -> None:
        """Copy rows of float32 between two rooms of the device, given their addresses; nothing for no rows."""
        if copy.width == 0 or copy.height == 0:
            return
        cuda_call(
            "cudaMemcpy2DAsync",
            destination + copy.destination_offset * ITEM_BYTES,
            copy.destination_pitch * ITEM_BYTES,
            source + copy.source_offset * ITEM_BYTES,
            copy.source_pitch * ITEM_BYTES,
            copy.width * ITEM_BYTES,
            copy.height,
            cuda_runtime().cudaMemcpyKind.cudaMemcpyDeviceToDevice,
            self.handle,
        )

    def capture(self, enqueue: Callable[[], None]) -> CapturedWork:
        """Capture what `enqueue` puts into this stream, without doing it.

        Raises CudaError where some of it cannot be captured; the stream is as before then.
        """
        # Other threads may go on allocating.
        mode = cuda_runtime().cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        cuda_call("cudaStreamBeginCapture", self.handle, mode)
        try:
            enqueue()
        except BaseException:
            self._abandon_capture()
            raise
        try:
            return CapturedWork(cuda_call("cudaStreamEndCapture", self.handle))
        except BaseException:
            cuda_runtime().cudaGetLastError()
            raise

    def launch(self, work: CapturedWork) -> None:
        """Do captured work."""
        cuda_call("cudaGraphLaunch", work.handle, self.handle)

    def _abandon_capture(self) -> None:
        _, graph = cuda_runtime().cudaStreamEndCapture(self.handle)
        if graph is not None and int(graph):
            _release("cudaGraphDestroy", graph)
        cuda_runtime().cudaGetLastError()  # an error that stays there would be taken for one of the next kernel


class TensorBlock:
    """Several tensors one after the other, on the device and in pinned memory: one copy moves them all."""

    def __init__(self, size: int) -> None:
        self._host, self._device, self._size = PinnedBuffer(size), DeviceBuffer(size), size
        self._shapes: dict[str, Shape] = {}
        self._offsets: dict[str, int] = {}

    def arrange(self, shapes: Mapping[str, Shape]) -> None:
        """Lay the tensors out for a call, in the order given."""
        if packed_bytes(shapes) > self._size:
            raise ValueError(f"expected tensors of {self._size} bytes together, found {dict(shapes)}")
        self._shapes, offset = dict(shapes), 0
        for name, shape in shapes.items():
            self._offsets[name] = offset
            offset += tensor_bytes(shape)

    def array(self, name: str) -> NDArray[np.float32]:
        """The tensor's pinned memory, to write before `upload` and to read after `download`."""
        return self._host.array(self._offsets[name], self._shapes[name])

    def addresses(self) -> dict[str, int]:
        """Where the tensors are on the device."""
        return {name: self._device.address + self._offsets[name] for name in self._shapes}

    def upload(self, stream: Stream) -> None:
        """Copy all tensors to the device."""
        stream.to_device(self._device.address, self._host.address, packed_bytes(self._shapes))

    def download(self, stream: Stream, count: int | None = None) -> None:
        """Copy the first `count` tensors, by default all, from the device."""
        shapes = dict(list(self._shapes.items())[:count])
        stream.to_host(self._host.address, self._device.address, packed_bytes(shapes))
