"""A bundle to a TensorRT engine for this machine's GPU: built in a child process, checked, then put into the cache."""

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import onnx
from pydantic import BaseModel, ConfigDict, Field, field_validator

from edge_app.core.bundle import Bundle
from edge_app.core.engine_cache import BUILD_COMMAND as EXPORT_COMMAND
from edge_app.core.engine_cache import (
    EngineFile,
    EngineInput,
    EngineKey,
    ProfileName,
    find_engine,
    write_engine,
)
from edge_app.core.errors import RuntimeUnavailable, SedgeError
from edge_app.core.gpu import Gpu, find_gpu
from edge_app.core.parity import ParityResult
from edge_app.core.tensorrt_engine import load_tensorrt
from export.precision import to_float16
from export.simplify import simplified
from export.tensorrt.check import check_engine
from export.tensorrt.process import BUILD_COMMAND, BuildRequest, Event, run_build
from export.tensorrt.profiles import call_ranges, input_shapes
from export.waveform import with_waveform_input

Precision = Literal["fp32", "fp16"]
PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)
LEAST_TENSORRT = 11
INSTALL_BUILDER = f"pip install --upgrade 'tensorrt>={LEAST_TENSORRT}'"
LOG_FILE = "build.log"
GRAPH_PRECISION: dict[Precision, Literal["float32", "float16"]] = {"fp32": "float32", "fp16": "float16"}
"""What a precision is called in a bundle and in the engine cache."""


class EngineSettings(BaseModel):
    """What an engine is built for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision = "fp16"
    """Of weights and activations; front end, logarithm, softmax and sigmoid are float32 in both."""
    profiles: tuple[ProfileName, ...] = Field(("live", "clip"), min_length=1)
    """What it is tuned for: the step of a live stream, batches of whole clips."""
    max_batch: int = Field(16, ge=1, le=1024)
    """Clips at once; the GPU memory that is set aside grows with it."""
    input: EngineInput = "log-mel"
    """Whether the engine is given log-mel frames, or samples and computes them itself."""
    version_compatible: bool = False
    """Whether later TensorRT versions and the lean runtime can run it; a little slower."""

    @field_validator("profiles")
    @classmethod
    def _check_profiles(cls, profiles: tuple[ProfileName, ...]) -> tuple[ProfileName, ...]:
        if len(set(profiles)) != len(profiles):
            raise ValueError("expected each of live, clip once at most")
        # a runtime takes the first profile that fits, and the live step fits that of clips as well
        return tuple(sorted(profiles, key=PROFILES.index))


@dataclass(frozen=True)
class BuildPlatform:
    """What builds: an engine fits just this."""

    gpu: Gpu
    tensorrt_version: str


@dataclass(frozen=True)
class BuiltEngine:
    """An engine in the cache that has passed the parity check."""

    engine: EngineFile
    parity: ParityResult
    is_new: bool
    """False where a fitting one was there already."""


def find_platform() -> BuildPlatform:
    """The GPU and TensorRT of this machine; RuntimeUnavailable where one is missing, or too old."""
    gpu = find_gpu()
    package = load_tensorrt(gpu)
    if package.lean:
        raise RuntimeUnavailable(f"{package.name} runs engines but cannot build them: {INSTALL_BUILDER}")
    if int(package.version.partition(".")[0]) < LEAST_TENSORRT:
        raise RuntimeUnavailable(
            f"TensorRT: expected version {LEAST_TENSORRT} or later, found {package.version}: {INSTALL_BUILDER}"
        )
    return BuildPlatform(gpu, package.version)


def engine_key(bundle: Bundle, settings: EngineSettings, platform: BuildPlatform) -> EngineKey:
    """What the engine is found by again."""
    return EngineKey(
        graph_sha256=bundle.manifest.graph.sha256,
        gpu_name=platform.gpu.name,
        compute_capability=platform.gpu.compute_capability,
        driver_version=platform.gpu.driver_version,
        tensorrt_version=platform.tensorrt_version,
        precision=GRAPH_PRECISION[settings.precision],
        input=settings.input,
        profiles=settings.profiles,
        max_batch=settings.max_batch,
        version_compatible=settings.version_compatible,
    )


def engine_graph(bundle: Bundle, settings: EngineSettings) -> onnx.ModelProto:
    """The bundle's graph in the engine's precision and with its input; SedgeError where it cannot be had from it."""
    found, wanted = bundle.manifest.graph.precision, GRAPH_PRECISION[settings.precision]
    if found not in ("float32", wanted):
        raise SedgeError(
            f"{bundle.folder}: graph.precision: expected float32, or that of the engine ({wanted}), found {found}: "
            "rounded weights cannot be made whole, so export the bundle with --precision fp32"
        )
    model = onnx.load(bundle.graph_path)
    if found != wanted:
        model = to_float16(simplified(model))  # an older bundle may not be
    return with_waveform_input(model, bundle.manifest.log_mel) if settings.input == "waveform" else model


def export_tensorrt(
    bundle: Bundle,
    settings: EngineSettings,
    platform: BuildPlatform,
    folder: Path,
    on_event: Callable[[Event], None],
    command: Sequence[str] = BUILD_COMMAND,
    check: Callable[[Bundle, EngineFile], ParityResult] = check_engine,
) -> BuiltEngine:
    """The bundle's engine in `folder`: the one that is there if it fits and passes the check, else a new one.

    `on_event` is told first why none that is there was taken, then the builder's events as they come. Raises SedgeError
    where the build fails or crashes, or the engine gives other scores than the bundle; the cache is then as it was.
    """
    key = engine_key(bundle, settings, platform)
    try:
        engine = find_engine(folder, key)
        return BuiltEngine(engine, check(bundle, engine), is_new=False)
    except SedgeError as error:  # none, a damaged one, one for another machine, or one with other scores
        on_event({"type": "reason", "message": str(error).removesuffix(f"; make one: {EXPORT_COMMAND}")})
    graph = engine_graph(bundle, settings)
    folder.mkdir(parents=True, exist_ok=True)
    # not in the folder of engines, where what a killed export leaves would stay
    with tempfile.TemporaryDirectory(prefix="sedge-") as name:
        staging, started = Path(name), time.monotonic()
        request = _request(bundle, settings, folder / timing_cache_name(platform), staging)
        onnx.save(graph, request.graph)
        run_build(request, staging / "request.json", folder / LOG_FILE, on_event, command)
        content, build_s = Path(request.engine).read_bytes(), time.monotonic() - started
        staged = write_engine(staging / "checked", key, content, build_s)
        parity = check(bundle, staged)
        return BuiltEngine(write_engine(folder, key, content, build_s), parity, is_new=True)


def timing_cache_name(platform: BuildPlatform) -> str:
    """Timings are those of one GPU and one TensorRT version."""
    gpu = re.sub(r"[^a-z0-9]+", "-", platform.gpu.name.lower()).strip("-")
    return f"timing-{gpu}-{platform.tensorrt_version}.cache"


def _request(bundle: Bundle, settings: EngineSettings, timing_cache: Path, staging: Path) -> BuildRequest:
    ranges = call_ranges(bundle, settings.profiles, settings.max_batch)
    waveform = settings.input == "waveform"
    return BuildRequest(
        graph=str(staging.resolve() / "graph.onnx"),
        engine=str(staging.resolve() / "graph.engine"),
        timing_cache=str(timing_cache.resolve()),
        profiles=[input_shapes(calls, bundle.manifest, waveform) for calls in ranges],
        version_compatible=settings.version_compatible,
    )
