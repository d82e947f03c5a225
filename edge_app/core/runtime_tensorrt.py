"""The fused graph on TensorRT: pinned host memory, device memory allocated once, one stream, no torch.

A live stream's tag memory stays on the device. Its steady step, from the copy of the frames to the copy of the
scores with the memory's update between them, is captured as a CUDA graph and launched whole.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_app.core.bundle import MANIFEST_FILE, Bundle
from edge_app.core.cuda_memory import Stream, TensorBlock, packed_bytes
from edge_app.core.device_tag_memory import MEMORY_INPUTS, DeviceTagMemory, LiveStep
from edge_app.core.engine_cache import EngineFile, EngineWanted, ProfileName, find_engine
from edge_app.core.errors import RuntimeUnavailable
from edge_app.core.gpu import Gpu, find_gpu
from edge_app.core.memory_copies import MemorySize
from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES, FusedInput, FusedOutput
from edge_app.core.tensorrt_engine import Engine, EngineSession, TensorRTPackage, load_tensorrt


def open_tensorrt(bundle: Bundle, engines: Path | None, profile: ProfileName = "live") -> "TensorRTRuntime":
    """The bundle on TensorRT, with the engine in the folder `engines` that was made for this machine and profile.

    Raises RuntimeUnavailable, before any object of TensorRT's is made, where the GPU, TensorRT or the engine lacks.
    """
    gpu = find_gpu()
    package = load_tensorrt(gpu)
    if engines is None:
        raise RuntimeUnavailable("no folder of engines was given")
    return TensorRTRuntime(bundle, find_engine(engines, wanted_engine(bundle, gpu, package, profile)))


def wanted_engine(
    bundle: Bundle, gpu: Gpu, package: TensorRTPackage, profile: ProfileName = "live"
) -> EngineWanted:
    """What an engine must be, to run the bundle on this GPU with this TensorRT."""
    return EngineWanted(
        graph_sha256=bundle.manifest.graph.sha256,
        gpu_name=gpu.name,
        compute_capability=gpu.compute_capability,
        driver_version=gpu.driver_version,
        tensorrt_version=package.version,
        lean=package.lean,
        profile=profile,
    )


class ArrayRunner:
    """Runs an engine on arrays of the host, for one of its profiles; float32 tensors by name."""

    def __init__(self, session: EngineSession, profile: int) -> None:
        self._session, self._profile = session, profile
        largest = {name: limits[1] for name, limits in session.engine.profiles[profile].items()}
        self._inputs = TensorBlock(packed_bytes(largest))
        self._outputs = TensorBlock(packed_bytes(session.execution(profile).shape_inputs(largest)))

    def run(self, arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """The engine's outputs for its inputs, whose shapes the profile must admit."""
        stream, execution = self._session.stream, self._session.execution(self._profile)
        shapes = {name: array.shape for name, array in arrays.items()}
        outputs = execution.shape_inputs(shapes)
        self._inputs.arrange(shapes)
        self._outputs.arrange(outputs)
        for name, array in arrays.items():
            self._inputs.array(name)[...] = array
        execution.bind(self._inputs.addresses() | self._outputs.addresses())
        self._inputs.upload(stream)
        execution.enqueue()
        self._outputs.download(stream)
        stream.wait()
        return {name: self._outputs.array(name).copy() for name in outputs}


class TensorRTRuntime:
    """Runtime on an NVIDIA GPU through an engine that was compiled for it.

    Raises RuntimeUnavailable where there is no GPU or no TensorRT, where the engine does not load, is of another
    bundle, or has other inputs than the graph.
    """

    def __init__(self, bundle: Bundle, engine: EngineFile) -> None:
        self._gpu = find_gpu()
        self._package = load_tensorrt(self._gpu)
        self._check_made_for(bundle, engine)
        manifest = bundle.manifest
        self._members, self._labels = len(manifest.members), len(manifest.event_labels)
        self.engine = Engine(self._package, engine)
        self._check_tensors(manifest.log_mel.n_mels)
        self._session = EngineSession(self.engine, Stream())
        self._runners: dict[int, ArrayRunner] = {}
        self._idle: dict[int, list[LiveStep]] = {}

    def _check_made_for(self, bundle: Bundle, engine: EngineFile) -> None:
        key, graph = engine.metadata.key, bundle.manifest.graph
        for field, expected, found in (
            ("graph_sha256", graph.sha256, key.graph_sha256),
            ("input", "log-mel", key.input),
        ):
            if found != expected:
                raise RuntimeUnavailable(f"{engine.path}: {field}: expected {expected}, found {found}")

    def _check_tensors(self, n_mels: int) -> None:
        engine, memory = self.engine, (-1, self._members, -1, self._labels)
        if set(engine.inputs) != set(INPUT_NAMES) or set(engine.outputs) != set(OUTPUT_NAMES):
            raise RuntimeUnavailable(
                f"{engine.file.path}: expected inputs {INPUT_NAMES} and outputs {OUTPUT_NAMES}, "
                f"found {engine.inputs} and {engine.outputs}"
            )
        for name, shape in (("log_mel", (-1, -1, n_mels)), *((name, memory) for name in MEMORY_INPUTS)):
            found = engine.shapes[name]
            if len(found) != len(shape) or any(e not in (-1, f) for e, f in zip(shape, found, strict=True)):
                raise RuntimeUnavailable(
                    f"{engine.file.path}: {name}: expected the shape of {MANIFEST_FILE}, {shape}, found {found}"
                )

    @property
    def name(self) -> str:
        """What runs, in words."""
        key = self.engine.file.metadata.key
        refused = self._session.graph_refused
        return f"{self._package.name}, {self._gpu.name}, {key.precision}" + (
            f", live steps without CUDA graph ({refused})" if refused else ""
        )

    def run(self, call: FusedInput) -> FusedOutput:
        """Run the graph once, or as often as the engine's largest batch asks for."""
        largest = max(profile["log_mel"][1][0] for profile in self.engine.profiles)
        arrays = {name: getattr(call, name) for name in INPUT_NAMES}
        with self._session.lock:
            parts = [
                self._run({name: array[first : first + largest] for name, array in arrays.items()})
                for first in range(0, len(call.log_mel), largest)
            ]
        return FusedOutput(*(np.concatenate([part[name] for part in parts]) for name in OUTPUT_NAMES))

    def _run(self, arrays: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        profile = self.engine.fitting_profile({name: array.shape for name, array in arrays.items()})
        if profile not in self._runners:
            self._runners[profile] = ArrayRunner(self._session, profile)
        return self._runners[profile].run(arrays)

    def tag_memory(self, slots: int) -> DeviceTagMemory:
        """An empty memory on the device, for one gapless stretch."""
        size = MemorySize(self._members, slots, self._labels)
        with self._session.lock:
            idle = self._idle.setdefault(slots, [])
            step = idle.pop() if idle else LiveStep(self._session, size)
            step.empty()
        return DeviceTagMemory(step, idle)
