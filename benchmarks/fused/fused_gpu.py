"""The fused ensemble on an NVIDIA GPU: torch as it is, compiled and as a CUDA graph, and the runtimes that open."""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.fused.fused_graphs import FusedGraph, clip_call, step_call
from benchmarks.latency.contest import Contest
from benchmarks.report import Timing, timing
from edge_app.core.bundle import Bundle, BundleManifest
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.parity import TOLERANCES
from edge_app.core.runtime import INPUT_NAMES, FusedInput, Runtime
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.core.runtimes import RuntimeName, open_runtime
from export.bundle import record_parity
from export.fold import folded
from export.fuse import FusedEnsemble
from export.tensorrt.engine import EngineSettings, export_tensorrt, find_platform

Way = Literal["torch eager", "torch.compile", "CUDA graph"]
WAYS: tuple[Way, ...] = get_args(Way)
GPU_RUNTIMES: tuple[RuntimeName, ...] = ("cuda", "tensorrt")
TYPES = {"float32": torch.float32, "float16": torch.float16}
BATCHES = (1, 8, 32, 128)
"""Clips at once; few, since each is compiled anew."""
WARM_UP_RUNS = 5
LEAST_RUNS = 3
NO_GPU = "not measured: no NVIDIA GPU"

Run = Callable[[], object]
"""One call, its results on the host when it returns."""


@dataclass(frozen=True, slots=True)
class GpuSpeed:
    """One way to run the ensemble; figures are None where `error` says why there are none."""

    way: str
    precision: str
    step: Timing | None = None
    """A live step: features to the GPU, scores back, memory on the GPU."""
    clips_per_s: float | None = None
    """At the best batch, features to the GPU and scores back."""
    batch: int | None = None
    """The best one."""
    error: str = ""


def gpu_name() -> str | None:
    """The GPU that torch would use."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def torch_speeds(
    fused: FusedEnsemble,
    manifest: BundleManifest,
    log_mel: NDArray[np.float32],
    seconds: float,
    device: torch.device,
    ways: Sequence[Way] = WAYS,
) -> Iterator[GpuSpeed]:
    """Time an ensemble in torch, in each precision and way, about so long each."""
    step = step_call(manifest, log_mel, manifest.hop_frames.default)
    clip = clip_call(manifest, log_mel)
    torch.backends.cudnn.allow_tf32 = False  # as in the other runtimes, float32 means float32
    for precision, dtype in TYPES.items():
        model = folded(fused).to(device, dtype)
        for way in ways:
            try:
                make = _maker(model, way, device, dtype)
                step_times = _times(make(step), seconds / 2)
                rate, batch = best_batch(make, clip, seconds / 2)
                yield GpuSpeed(way, precision, timing(step_times), rate, batch)
            except Exception as error:  # compilers and drivers fail in ways of their own
                yield GpuSpeed(way, precision, error=_first_line(error))


def runtime_speeds(
    graphs: Sequence[FusedGraph], log_mel: NDArray[np.float32], seconds: float, engines: Path
) -> Iterator[GpuSpeed]:
    """Time each GPU runtime that opens each graph, about so long each; new engines go to the folder `engines`."""
    for graph in graphs:
        bundle = with_parity(graph.bundle, log_mel)
        for name in GPU_RUNTIMES:
            try:
                if name == "tensorrt":
                    _compile(bundle, engines)
                runtime = open_runtime(bundle, name, engines=engines).runtime
                contest = Contest(Detector(bundle, runtime, "live"), log_mel)
                clip = clip_call(bundle.manifest, log_mel)
                step_times = _times(contest.step_s, seconds / 2)
                rate, batch = best_batch(_runner(runtime), clip, seconds / 2)
                yield GpuSpeed(name, graph.precision, timing(step_times), rate, batch)
            except SedgeError as error:
                yield GpuSpeed(name, graph.precision, error=str(error))
            except Exception as error:  # as above
                yield GpuSpeed(name, graph.precision, error=_first_line(error))


def with_parity(bundle: Bundle, log_mel: NDArray[np.float32]) -> Bundle:
    """A bundle with a clip to check runtimes by: its own or, for a graph made here, one that the CPU is right on."""
    if bundle.parity_path.is_file():
        return bundle
    call = clip_call(bundle.manifest, log_mel)
    record_parity(call, OnnxRuntime(bundle).run(call), bundle.parity_path)
    tolerance = TOLERANCES[bundle.manifest.graph.precision]
    parity = bundle.manifest.parity.model_copy(update={"tolerance": tolerance})
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"parity": parity}))


def _compile(bundle: Bundle, engines: Path) -> None:
    """Build the bundle's engine. Raises SedgeError where there is no GPU, no TensorRT, or the build fails."""
    platform, is_half = find_platform(), bundle.manifest.graph.precision == "float16"
    settings = EngineSettings(precision="fp16" if is_half else "fp32", max_batch=max(BATCHES))
    export_tensorrt(bundle, settings, platform, engines, lambda _: None)


def _runner(runtime: Runtime) -> Callable[[FusedInput], Run]:
    return lambda call: lambda: runtime.run(call)


def best_batch(make: Callable[[FusedInput], Run], clip: FusedInput, seconds: float) -> tuple[float, int]:
    """Clips a second at the fastest of the batches, and which that is; larger ones end where memory does."""
    found: list[tuple[float, int]] = []
    for batch in BATCHES:
        try:
            times = _times(make(batch_of(clip, batch)), seconds / len(BATCHES))
        except torch.cuda.OutOfMemoryError:
            break
        found.append((batch / float(np.median(times)), batch))
    if not found:
        raise MemoryError(f"expected memory for a batch of {BATCHES[0]} clip, found too little")
    return max(found)


def batch_of(call: FusedInput, size: int) -> FusedInput:
    """The same clip several times."""
    return replace(call, **{name: np.repeat(getattr(call, name), size, axis=0) for name in INPUT_NAMES})


def _maker(
    model: FusedEnsemble, way: Way, device: torch.device, dtype: torch.dtype
) -> Callable[[FusedInput], Run]:
    """What turns a call into its run, one way."""
    function: Callable[..., tuple[Tensor, ...]] = model
    if way == "torch.compile":
        torch._dynamo.reset()
        function = torch.compile(copy.deepcopy(model), dynamic=False)

    def make(call: FusedInput) -> Run:
        host = torch.from_numpy(np.ascontiguousarray(call.log_mel)).to(dtype)
        host = host.pin_memory() if device.type == "cuda" else host
        inputs = [torch.from_numpy(getattr(call, name)).to(device, dtype) for name in INPUT_NAMES]
        compute = _captured(function, inputs) if way == "CUDA graph" else lambda: function(*inputs)

        def run() -> Tensor:
            with torch.inference_mode():
                inputs[0].copy_(host, non_blocking=True)
                return compute()[0].cpu()

        return run

    return make


def _captured(
    function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]
) -> Callable[[], tuple[Tensor, ...]]:
    """The function on these very inputs as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(side):
        for _ in range(WARM_UP_RUNS):
            function(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        outputs = function(*inputs)

    def replay() -> tuple[Tensor, ...]:
        graph.replay()
        return outputs

    return replay


def _times(run: Run, seconds: float) -> list[float]:
    """Seconds of each run, back to back for about so long, once warm."""
    for _ in range(WARM_UP_RUNS):
        run()
    times: list[float] = []
    while len(times) < LEAST_RUNS or sum(times) < seconds:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return times


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
