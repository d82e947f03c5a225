"""TensorRT on the simulated GPU: an engine runs its ONNX graph on the CPU, whenever the stream comes to it."""

import json
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from tests.core.simulated_gpu import DRIVER, Cuda

VERSION = "11.4.0.106"
MAGIC = b"simulated engine "


def install(monkeypatch: pytest.MonkeyPatch, cuda: Cuda) -> None:
    """Let the program find this GPU, its driver's library and its TensorRT in place of the machine's."""
    nvml = SimpleNamespace(
        init_v2=lambda: None, shutdown=lambda: None, system_get_driver_version=lambda: DRIVER
    )
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvml", nvml)
    monkeypatch.setitem(sys.modules, "tensorrt", simulated_tensorrt(cuda))


def simulated_engine(graph: Path, profiles: list[dict[str, list[list[int]]]]) -> bytes:
    """An engine's bytes: the graph's path, and [smallest, best, largest] shapes of every input by profile."""
    return MAGIC + json.dumps({"graph": str(graph), "profiles": profiles}).encode()


@cache
def session(graph: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options)


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = 0, 1, 2

    def log(self, severity, msg):
        raise NotImplementedError


class Runtime:
    cuda: Cuda
    engine_host_code_allowed = False

    def __init__(self, logger):
        assert "cudaGetDeviceCount" in self.cuda.calls, "made before a GPU was looked for"
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        if not serialized_engine.startswith(MAGIC):
            self.logger.log(ILogger.WARNING, "a warning")
            self.logger.log(ILogger.ERROR, "the magic tag\ndoes not match")
            return None
        return ICudaEngine(self.cuda, json.loads(serialized_engine.removeprefix(MAGIC)))


class ICudaEngine:
    def __init__(self, cuda, plan):
        self.cuda = cuda
        self.session = session(plan["graph"])
        self.nodes = {node.name: node for node in (*self.session.get_inputs(), *self.session.get_outputs())}
        self.profiles, self.n_inputs = plan["profiles"], len(self.session.get_inputs())
        self.num_io_tensors, self.num_optimization_profiles = len(self.nodes), len(self.profiles)

    def get_tensor_name(self, index):
        return list(self.nodes)[index]

    def get_tensor_mode(self, name):
        return "INPUT" if list(self.nodes).index(name) < self.n_inputs else "OUTPUT"

    def get_tensor_dtype(self, name):
        return "FLOAT" if self.nodes[name].type == "tensor(float)" else "HALF"

    def get_tensor_shape(self, name):
        return [-1 if isinstance(length, str) else length for length in self.nodes[name].shape]

    def get_tensor_profile_shape(self, name, profile_index):
        return self.profiles[profile_index][name]

    def create_execution_context(self, strategy):
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine):
        self.engine, self.profile = engine, {}
        self.shapes, self.addresses, self.ready, self.frozen = {}, {}, None, False

    def set_optimization_profile_async(self, profile_index, stream_handle):
        self.profile = self.engine.profiles[profile_index]
        return True

    def set_input_shape(self, name, shape):
        smallest, _, largest = self.profile[name]
        assert not self.frozen, "a captured context was changed"
        self.shapes[name] = shape
        return all(low <= n <= high for low, n, high in zip(smallest, shape, largest, strict=True))

    def infer_shapes(self):
        return [name for name in list(self.engine.nodes)[: self.engine.n_inputs] if name not in self.shapes]

    def get_tensor_shape(self, name):
        known = {}
        for given, shape in self.shapes.items():
            known |= dict(zip(self.engine.nodes[given].shape, shape, strict=True))
        return [known.get(length, length) for length in self.engine.nodes[name].shape]

    def set_tensor_address(self, name, memory):
        assert not self.frozen, "a captured context was changed"
        assert memory % 256 == 0
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        shapes = {name: tuple(self.get_tensor_shape(name)) for name in self.engine.nodes}
        if stream_handle in self.engine.cuda.captured:
            assert self.ready == shapes, "captured before its first run"
            self.frozen = True
        self.ready = shapes
        tensors = {
            name: self.engine.cuda.view("device", self.addresses[name], 4 * int(np.prod(shape)))
            .view(np.float32)
            .reshape(shape)
            for name, shape in shapes.items()
        }
        self.engine.cuda.enqueue(stream_handle, lambda: self._run(tensors))
        return True

    def _run(self, tensors):
        names = list(self.engine.nodes)
        inputs, outputs = names[: self.engine.n_inputs], names[self.engine.n_inputs :]
        found = self.engine.session.run(outputs, {name: tensors[name].copy() for name in inputs})
        for name, array in zip(outputs, found, strict=True):
            tensors[name][...] = array


def simulated_tensorrt(cuda: Cuda) -> SimpleNamespace:
    """In place of the module `tensorrt`, on that GPU."""
    return SimpleNamespace(
        __version__=VERSION,
        ILogger=ILogger,
        Runtime=type("Runtime", (Runtime,), {"cuda": cuda}),
        ICudaEngine=ICudaEngine,
        IExecutionContext=IExecutionContext,
        TensorIOMode=SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT"),
        DataType=SimpleNamespace(FLOAT="FLOAT", HALF="HALF"),
        ExecutionContextAllocationStrategy=SimpleNamespace(ON_PROFILE_CHANGE=1),
    )
