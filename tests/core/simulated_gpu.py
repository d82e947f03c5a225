"""A GPU in NumPy: the parts of the CUDA runtime that the program uses, with their rules.

Memory is real and its bounds and places are checked; a stream does nothing before it is waited for; captured work
runs when it is launched. What a real GPU would answer with nonsense or a crash is an assertion here. Its names and
arguments are compared with those of the real package by a test.
"""
# ruff: noqa: N801, N802, N803, N815

import inspect
import itertools
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace

import numpy as np

NAME, CAPABILITY, DRIVER = "Simulated 4090", (8, 9), "580.65.06"


class cudaError_t(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2
    cudaMemcpyDeviceToDevice = 3


class cudaStreamCaptureMode(IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


PLACES = {1: ("host", "device"), 2: ("device", "host"), 3: ("device", "device")}


HANDLES = itertools.count(1)
"""Never the same twice, so that what a test leaves behind cannot be taken for another test's."""


class Cuda:
    """In place of the module `cuda.bindings.runtime`. `failing` maps a call's name to the error it gives."""

    cudaError_t = cudaError_t
    cudaMemcpyKind = cudaMemcpyKind
    cudaStreamCaptureMode = cudaStreamCaptureMode
    cudaStreamNonBlocking = 1

    def __init__(self, driver: int = 13020, devices: int = 1) -> None:
        self.driver, self.devices = driver, devices
        self.failing: dict[str, cudaError_t] = {}
        self.calls: list[str] = []
        self.memory: dict[int, tuple[str, np.ndarray]] = {}
        self.queues: dict[int, list[Callable[[], None]]] = {}
        self.captured: dict[int, list[Callable[[], None]]] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}

    def __getattribute__(self, name: str):
        found = super().__getattribute__(name)
        if inspect.ismethod(found) and name.startswith("cuda"):
            self.calls.append(name)
            if name in self.failing:
                if name == "cudaStreamEndCapture":
                    self.captured.clear()
                return lambda *arguments: (self.failing[name], None)
        return found

    def view(self, place: str, address: int, size: int) -> np.ndarray:
        """Bytes at an address, which must lie in one piece of memory of that place."""
        for where, memory in self.memory.values():
            offset = address - memory.ctypes.data
            if 0 <= offset < len(memory):
                assert where == place, f"expected {place} memory, found {where} memory"
                assert offset + size <= len(memory), f"{size} bytes at {offset} of {len(memory)}"
                return memory[offset : offset + size]
        raise AssertionError(f"{address:#x} is not allocated")

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        self.captured.get(stream, self.queues[stream]).append(work)

    def _allocate(self, place: str, size: int):
        if self.captured or size <= 0:
            return cudaError_t.cudaErrorInvalidValue, None
        memory = np.full(size + 256, 0xFF, np.uint8)  # not a number, until something is written
        memory = memory[-memory.ctypes.data % 256 :][:size]
        self.memory[memory.ctypes.data] = (place, memory)
        return cudaError_t.cudaSuccess, memory.ctypes.data

    def cudaDriverGetVersion(self):
        return cudaError_t.cudaSuccess, self.driver

    def cudaRuntimeGetVersion(self):
        return cudaError_t.cudaSuccess, 13040

    def cudaGetDeviceCount(self):
        if self.driver < 13000:
            return cudaError_t.cudaErrorInsufficientDriver, None
        return (cudaError_t.cudaSuccess if self.devices else cudaError_t.cudaErrorNoDevice), self.devices

    def cudaGetDeviceProperties(self, device):
        major, minor = CAPABILITY
        found = SimpleNamespace(name=NAME.encode(), major=major, minor=minor, totalGlobalMem=24 << 30)
        return cudaError_t.cudaSuccess, found

    def cudaGetErrorString(self, error):
        return cudaError_t.cudaSuccess, b"what it means"

    def cudaGetLastError(self):
        return (cudaError_t.cudaSuccess,)

    def cudaMalloc(self, size):
        return self._allocate("device", size)

    def cudaMallocHost(self, size):
        return self._allocate("host", size)

    def cudaFree(self, devPtr):
        assert not any(self.queues.values()), "freed while it may be in use"
        del self.memory[devPtr]
        return (cudaError_t.cudaSuccess,)

    def cudaFreeHost(self, ptr):
        return self.cudaFree(ptr)

    def cudaMemcpyAsync(self, dst, src, count, kind, stream):
        source, destination = PLACES[kind]
        into, out_of = self.view(destination, dst, count), self.view(source, src, count)
        self.enqueue(stream, lambda: np.copyto(into, out_of))
        return (cudaError_t.cudaSuccess,)

    def cudaMemcpy2DAsync(self, dst, dpitch, src, spitch, width, height, kind, stream):
        source, destination = PLACES[kind]
        if width > min(dpitch, spitch):
            return (cudaError_t.cudaErrorInvalidValue,)
        rows = [
            (
                self.view(destination, dst + row * dpitch, width),
                self.view(source, src + row * spitch, width),
            )
            for row in range(height)
        ]
        assert not any(np.shares_memory(into, out_of) for into, _ in rows for _, out_of in rows), "overlap"

        def work() -> None:
            for into, out_of in rows:
                np.copyto(into, out_of)

        self.enqueue(stream, work)
        return (cudaError_t.cudaSuccess,)

    def cudaMemsetAsync(self, devPtr, value, count, stream):
        memory = self.view("device", devPtr, count)
        self.enqueue(stream, lambda: memory.fill(value))
        return (cudaError_t.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, flags):
        stream = next(HANDLES)
        self.queues[stream] = []
        return cudaError_t.cudaSuccess, stream

    def cudaStreamDestroy(self, stream):
        del self.queues[stream]
        return (cudaError_t.cudaSuccess,)

    def cudaStreamSynchronize(self, stream):
        assert stream not in self.captured, "waited while capturing"
        works, self.queues[stream] = self.queues[stream], []
        for work in works:
            work()
        return (cudaError_t.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream, mode):
        self.captured[stream] = []
        return (cudaError_t.cudaSuccess,)

    def cudaStreamEndCapture(self, stream):
        graph = next(HANDLES)
        self.graphs[graph] = self.captured.pop(stream)
        return cudaError_t.cudaSuccess, graph

    def cudaGraphInstantiate(self, graph, flags):
        work = next(HANDLES)
        self.graphs[work] = list(self.graphs[graph])
        return cudaError_t.cudaSuccess, work

    def cudaGraphDestroy(self, graph):
        del self.graphs[graph]
        return (cudaError_t.cudaSuccess,)

    def cudaGraphExecDestroy(self, graphExec):
        return self.cudaGraphDestroy(graphExec)

    def cudaGraphLaunch(self, graphExec, stream):
        self.queues[stream] += self.graphs[graphExec]
        return (cudaError_t.cudaSuccess,)
