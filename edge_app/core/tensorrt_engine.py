"""TensorRT's objects: the installed package, an engine, and an execution context with its tensors bound.

Every call of TensorRT is in this file.
"""

import importlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from edge_app.core.cuda_memory import Shape, Stream
from edge_app.core.engine_cache import EngineFile
from edge_app.core.errors import RuntimeUnavailable
from edge_app.core.gpu import Gpu

# TensorRT's classes, which have no types of their own. Each variable that holds one is annotated with it, so that
# the members that are used can be looked up in the real package.
ILogger: TypeAlias = Any
Runtime: TypeAlias = Any
ICudaEngine: TypeAlias = Any
IExecutionContext: TypeAlias = Any

PACKAGES = ("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings")
"""Import names: the full package, the lean runtime, and the wheel that holds the latter's classes."""
INSTALL_TENSORRT = "pip install 'sedge-sed[gpu]', or 'sedge-sed[gpu-lean]' to run engines only"


class ShapeRefused(RuntimeUnavailable):
    """A call of a shape that the engine was not compiled for."""


@dataclass(frozen=True)
class TensorRTPackage:
    """The installed TensorRT."""

    module: Any
    version: str
    lean: bool
    """Whether it is the lean runtime, which runs version-compatible engines and builds none."""

    @property
    def name(self) -> str:
        """Name and version, in words."""
        return f"TensorRT {self.version}{' (lean)' if self.lean else ''}"


def load_tensorrt(gpu: Gpu) -> TensorRTPackage:
    """Import TensorRT; needs the GPU that `find_gpu` found, as without one TensorRT ends the process.

    Raises RuntimeUnavailable where it is not installed or does not load.
    """
    reasons = []
    for name in PACKAGES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                reasons.append(f"{name}: {error}")
        except (
            Exception
        ) as error:  # the libraries that a wheel brings, or does not, fail to load in many ways
            reasons.append(f"{name}: {error}")
        else:
            return TensorRTPackage(module, module.__version__, lean=name != PACKAGES[0])
    found = f" ({'; '.join(reasons)})" if reasons else ""
    raise RuntimeUnavailable(
        f"TensorRT is not installed{found}, though {gpu.name} is there: {INSTALL_TENSORRT}"
    )


def _collecting_logger(module: Any, messages: list[str]) -> Any:
    """A logger that keeps errors for whoever reports the failure, and prints nothing."""

    class Collecting(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR):
                messages.append(" ".join(msg.split()))

    return Collecting()


class Engine:
    """A loaded engine: its tensors and the shapes that its profiles admit.

    Raises RuntimeUnavailable where TensorRT does not load it.
    """

    def __init__(self, package: TensorRTPackage, file: EngineFile) -> None:
        module, self.file = package.module, file
        self._messages: list[str] = []
        self._module = module
        self._logger: ILogger = _collecting_logger(module, self._messages)
        runtime: Runtime = module.Runtime(self._logger)
        # Such an engine brings the code of its own runtime; it was made on this device, and its hash is checked.
        runtime.engine_host_code_allowed = file.metadata.key.version_compatible
        engine: ICudaEngine = runtime.deserialize_cuda_engine(file.read())
        if engine is None:
            raise RuntimeUnavailable(
                f"{file.path}: expected an engine for {package.name}, found one it does not load: {self.reason()}"
            )
        self._runtime: Runtime = runtime
        self._engine: ICudaEngine = engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        modes = {name: engine.get_tensor_mode(name) for name in names}
        self.inputs = tuple(name for name in names if modes[name] == module.TensorIOMode.INPUT)
        self.outputs = tuple(name for name in names if modes[name] == module.TensorIOMode.OUTPUT)
        self.shapes: dict[str, Shape] = {name: tuple(engine.get_tensor_shape(name)) for name in names}
        """Of every tensor; -1 where it may vary."""
        self.profiles = tuple(self._profile(index) for index in range(engine.num_optimization_profiles))
        """The smallest and the largest shape of every input, by profile."""
        self._check_types(names)

    def _profile(self, index: int) -> dict[str, tuple[Shape, Shape]]:
        engine: ICudaEngine = self._engine
        ranges = {}
        for name in self.inputs:
            smallest, _, largest = engine.get_tensor_profile_shape(name, index)
            ranges[name] = (tuple(smallest), tuple(largest))
        return ranges

    def _check_types(self, names: list[str]) -> None:
        engine: ICudaEngine = self._engine
        for name in names:
            found = engine.get_tensor_dtype(name)
            if found != self._module.DataType.FLOAT:
                raise RuntimeUnavailable(f"{self.file.path}: {name}: expected float32, found {found}")

    def reason(self) -> str:
        """What TensorRT said last, once."""
        last = self._messages[-1] if self._messages else "TensorRT gave no reason"
        self._messages.clear()
        return last

    def fitting_profile(self, shapes: Mapping[str, Shape]) -> int:
        """The first profile that admits these input shapes; raises ShapeRefused where none does."""
        for index, ranges in enumerate(self.profiles):
            if all(_is_between(shape, *ranges[name]) for name, shape in shapes.items()):
                return index
        raise ShapeRefused(f"{self.file.path}: {self._misfit(shapes)}")

    def _misfit(self, shapes: Mapping[str, Shape]) -> str:
        """The first input that no profile admits, or all of them where each is admitted by another profile."""
        for name, shape in shapes.items():
            ranges = [profile[name] for profile in self.profiles]
            if not any(_is_between(shape, *limits) for limits in ranges):
                shown = " or ".join(f"{smallest} to {largest}" for smallest, largest in ranges)
                return f"{name}: expected a shape within {shown}, found {shape}"
        return f"inputs: expected shapes that one profile admits, found {dict(shapes)}"

    def execution(self, profile: int, stream: Stream) -> "Execution":
        """A context of its own for one profile, with the device memory that the profile needs."""
        engine: ICudaEngine = self._engine
        strategy = self._module.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        context: IExecutionContext = engine.create_execution_context(strategy)
        if context is None or not context.set_optimization_profile_async(profile, int(stream.handle)):
            raise RuntimeUnavailable(
                f"{self.file.path}: profile {profile}: expected a context, found none: {self.reason()}"
            )
        stream.wait()
        return Execution(self, context, stream)


def _is_between(shape: Shape, smallest: Shape, largest: Shape) -> bool:
    return len(shape) == len(smallest) and all(
        low <= length <= high for low, length, high in zip(smallest, shape, largest, strict=True)
    )


class Execution:
    """One execution context, working in one stream."""

    def __init__(self, engine: Engine, context: IExecutionContext, stream: Stream) -> None:
        self._engine = engine
        self._context: IExecutionContext = context
        self._stream = stream

    def shape_inputs(self, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """Set the inputs' shapes; gives the outputs' shapes, in the engine's order."""
        context: IExecutionContext = self._context
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                self._fail(f"{name}: expected shape {shape} to be admitted")
        missing = context.infer_shapes()
        if missing:
            self._fail(f"expected all shapes to be known, found none of {', '.join(missing)}")
        return {name: tuple(context.get_tensor_shape(name)) for name in self._engine.outputs}

    def bind(self, addresses: Mapping[str, int]) -> None:
        """Set where on the device the tensors are."""
        context: IExecutionContext = self._context
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                self._fail(f"{name}: expected address {address:#x} to be taken")

    def enqueue(self) -> None:
        """Put one run of the graph into the stream."""
        context: IExecutionContext = self._context
        if not context.execute_async_v3(int(self._stream.handle)):
            self._fail("execute_async_v3: expected the graph to be enqueued")

    def _fail(self, what: str) -> None:
        raise RuntimeUnavailable(f"{self._engine.file.path}: {what}, found: {self._engine.reason()}")


class EngineSession:
    """What everything that runs one engine shares: a stream, a lock, and one context for each profile."""

    def __init__(self, engine: Engine, stream: Stream) -> None:
        self.engine = engine
        self.stream = stream
        self.lock = threading.RLock()
        self.graph_refused: str | None = None
        """Why live steps run without a CUDA graph, where they do."""
        self._executions: dict[int, Execution] = {}

    def execution(self, profile: int) -> Execution:
        """The profile's context; whoever uses it sets shapes and addresses anew, under the lock."""
        if profile not in self._executions:
            self._executions[profile] = self.engine.execution(profile, self.stream)
        return self._executions[profile]
