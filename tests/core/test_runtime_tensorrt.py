"""The TensorRT runtime on a simulated GPU, and, marked `gpu`, on the real one, against ONNX Runtime."""

import gc
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_app.core.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from edge_app.core.device_tag_memory import DeviceTagMemory
from edge_app.core.engine_cache import EngineFile, EngineKey, write_engine
from edge_app.core.errors import RuntimeUnavailable
from edge_app.core.gpu import CudaError
from edge_app.core.hops import HopGrid, HopScorer, ScoredHop
from edge_app.core.parity import check_parity
from edge_app.core.runtime import FusedInput, Runtime
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.core.runtime_tensorrt import TensorRTRuntime, open_tensorrt
from edge_app.core.runtimes import open_runtime
from edge_app.core.tag_memory import HostTagMemory
from edge_app.core.tensorrt_engine import ShapeRefused
from tests.core.real_gpu import required_gpu
from tests.core.simulated_gpu import CAPABILITY, DRIVER, NAME, Cuda, cudaError_t
from tests.core.simulated_tensorrt import VERSION, install, simulated_engine

BUNDLE = load_bundle()
MEMBERS, LABELS = len(BUNDLE.manifest.members), len(BUNDLE.manifest.event_labels)
WINDOW = BUNDLE.manifest.tag_window_frames
CONTEXT, AHEAD = 12, 7
CLIP_GRID = HopGrid(WINDOW, WINDOW, CONTEXT, pool_ahead=0)


def profile(batch: int, frames: int) -> dict[str, list[list[int]]]:
    """Shapes of the inputs from one frame on, up to that many clips and frames."""
    sides = [(1, 1, 0), (1, frames, 0), (batch, frames, WINDOW)]
    return {
        "log_mel": [[b, f, 128] for b, f, _ in sides],
        "frame_valid": [[b, f] for b, f, _ in sides],
        "frame_pooled": [[b, f] for b, f, _ in sides],
        "memory_logit": [[b, MEMBERS, p, LABELS] for b, _, p in sides],
        "memory_evidence": [[b, MEMBERS, p, LABELS] for b, _, p in sides],
    }


PROFILES = [profile(1, 24 + 50), profile(2, WINDOW + 24)]
KEY = EngineKey(
    graph_sha256=BUNDLE.manifest.graph.sha256,
    gpu_name=NAME,
    compute_capability=CAPABILITY,
    driver_version=DRIVER,
    tensorrt_version=VERSION,
    precision="float32",
    input="log-mel",
    profiles=("live", "clip"),
    max_batch=2,
    version_compatible=False,
)


@pytest.fixture
def cuda(monkeypatch) -> Iterator[Cuda]:
    """A simulated GPU in place of the machine's."""
    simulated = Cuda()
    install(monkeypatch, simulated)
    yield simulated
    gc.collect()  # what is given back must find this GPU


@pytest.fixture
def engine(tmp_path) -> EngineFile:
    return write_engine(tmp_path, KEY, simulated_engine(BUNDLE.graph_path, PROFILES), 1)


@pytest.fixture
def runtime(cuda, engine) -> TensorRTRuntime:
    return TensorRTRuntime(BUNDLE, engine)


@pytest.fixture(scope="module")
def onnx_runtime() -> OnnxRuntime:
    return OnnxRuntime(BUNDLE)


def live_grid(hop: int) -> HopGrid:
    return HopGrid(hop, WINDOW, CONTEXT, AHEAD)


def signal(n_frames: int, seed: int = 0) -> np.ndarray:
    """Log-mel frames that change their character every second."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.normal(-10, 3, (n_frames // 50 + 1, 128)), 50, axis=0)[:n_frames]
    return (levels + rng.normal(0, 1, (n_frames, 128))).astype(np.float32)


def call(batch: int, frames: int, past: int, seed: int = 0) -> FusedInput:
    rng = np.random.default_rng(seed)
    valid = (np.arange(frames) < frames - rng.integers(0, frames, (batch, 1))).astype(np.float32)
    memory = rng.normal(0, 1, (2, batch, MEMBERS, past, LABELS)).astype(np.float32)
    return FusedInput(signal(batch * frames, seed).reshape(batch, frames, 128), valid, valid, *memory)


class OnHost:
    """A runtime whose tag memory is the host's."""

    def __init__(self, runtime: Runtime) -> None:
        self.name, self.run = runtime.name, runtime.run

    def tag_memory(self, slots: int) -> HostTagMemory:
        return HostTagMemory(self, slots, MEMBERS, LABELS)


def device_memory(scorer: HopScorer) -> DeviceTagMemory:
    memory = scorer._memory
    assert isinstance(memory, DeviceTagMemory)
    return memory


def scored(runtime: Runtime, log_mel: np.ndarray, grid: HopGrid) -> list[ScoredHop]:
    scorer = HopScorer(runtime, grid)
    return scorer.push(log_mel) + scorer.finish()


def compare_hops(found: list[ScoredHop], expected: list[ScoredHop], tolerance: float) -> None:
    assert [hop.start_frame for hop in found] == [hop.start_frame for hop in expected]
    for one, other in zip(found, expected, strict=True):
        for name in ("scores", "preview", "tags"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("batch", "frames", "past"), [(1, 50, 0), (1, 60, 475), (2, 100, 20), (5, 30, 3), (1, 524, 500)]
)
def test_outputs_are_those_of_the_graph(runtime, onnx_runtime, batch, frames, past) -> None:
    asked = call(batch, frames, past)
    found, expected = runtime.run(asked), onnx_runtime.run(asked)
    for name in ("scores", "tags", "logit", "evidence"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-5)


def test_the_bundles_own_clip_passes(runtime) -> None:
    assert check_parity(BUNDLE, runtime).passed


@pytest.mark.parametrize(("hop", "n_frames"), [(50, 50 * 11 + 20), (25, 231), (10, 75), (25, 30), (25, 3)])
def test_live_steps_equal_those_with_the_hosts_memory(runtime, onnx_runtime, hop, n_frames) -> None:
    expected = scored(OnHost(onnx_runtime), signal(n_frames), live_grid(hop))
    compare_hops(scored(runtime, signal(n_frames), live_grid(hop)), expected, 1e-5)


def test_whole_windows_equal_those_with_the_hosts_memory(cuda, runtime, onnx_runtime) -> None:
    expected = scored(OnHost(onnx_runtime), signal(1100), CLIP_GRID)
    compare_hops(scored(runtime, signal(1100), CLIP_GRID), expected, 1e-5)
    assert "cudaStreamBeginCapture" not in cuda.calls, "a CUDA graph is for live steps"


def test_the_steady_step_is_a_cuda_graph_and_nothing_else(cuda, runtime) -> None:
    scorer = HopScorer(runtime, live_grid(25))
    memory = device_memory(scorer)
    log_mel = signal(25 * 12)
    scorer.push(log_mel[: 25 * 3 + CONTEXT])
    assert memory.graph_launches == 1, "start and first steady step are run, the second is captured"
    cuda.calls.clear()
    scorer.push(log_mel[25 * 3 + CONTEXT : 25 * 4 + CONTEXT])
    assert cuda.calls == ["cudaGraphLaunch", "cudaStreamSynchronize"]
    scorer.push(log_mel[25 * 4 + CONTEXT :])
    assert memory.graph_launches == 9
    scorer.finish()
    assert memory.graph_launches == 9, "the flush has a shape of its own"


def test_nothing_is_allocated_after_the_first_stretch(cuda, runtime, onnx_runtime) -> None:
    """A later stretch uses the first one's buffers and CUDA graph, and knows nothing of what it heard."""
    scored(runtime, signal(200), live_grid(25))
    held = set(cuda.memory)
    found = scored(runtime, signal(200, seed=1), live_grid(25))
    assert set(cuda.memory) == held
    assert cuda.calls.count("cudaGraphInstantiate") == 1
    compare_hops(found, scored(OnHost(onnx_runtime), signal(200, seed=1), live_grid(25)), 1e-5)


def test_two_stretches_at_once_do_not_meet(runtime, onnx_runtime) -> None:
    scorers = [HopScorer(runtime, live_grid(25)) for _ in range(2)]
    signals, found = [signal(150, seed) for seed in range(2)], [[], []]
    for first in range(0, 150, 50):
        for index, scorer in enumerate(scorers):
            found[index] += scorer.push(signals[index][first : first + 50])
            runtime.run(call(1, 30, 5))
    for index, scorer in enumerate(scorers):
        expected = scored(OnHost(onnx_runtime), signals[index], live_grid(25))
        compare_hops(found[index] + scorer.finish(), expected, 1e-5)


def test_another_hop_gets_a_graph_of_its_own(cuda, runtime, onnx_runtime) -> None:
    for hop in (25, 10, 25):
        expected = scored(OnHost(onnx_runtime), signal(150), live_grid(hop))
        compare_hops(scored(runtime, signal(150), live_grid(hop)), expected, 1e-5)
    assert cuda.calls.count("cudaGraphInstantiate") == 3


@pytest.mark.parametrize("name", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_a_graph_that_cannot_be_captured_is_done_without_visibly(cuda, runtime, onnx_runtime, name) -> None:
    assert runtime.name == f"TensorRT {VERSION}, {NAME}, float32"
    cuda.failing[name] = cudaError_t.cudaErrorStreamCaptureInvalidated
    expected = scored(OnHost(onnx_runtime), signal(200), live_grid(25))
    compare_hops(scored(runtime, signal(200), live_grid(25)), expected, 1e-5)
    assert f"without CUDA graph ({name}: expected success" in runtime.name
    assert cuda.calls.count(name) == 1, "tried once"


def test_a_failing_call_is_a_sentence(cuda, runtime) -> None:
    memory = runtime.tag_memory(WINDOW)
    cuda.failing["cudaMemcpy2DAsync"] = cudaError_t.cudaErrorInvalidValue
    with pytest.raises(CudaError, match=r"^cudaMemcpy2DAsync: expected success, found cudaErrorInvalidValue"):
        memory.step(signal(49), np.ones(49, np.float32), 475, slice(19, 44))


def test_no_memory_on_the_gpu_is_a_sentence(cuda, engine) -> None:
    cuda.failing["cudaMalloc"] = cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(
        RuntimeUnavailable, match="cudaMalloc: expected success, found cudaErrorMemoryAllocation"
    ):
        TensorRTRuntime(BUNDLE, engine).run(call(1, 50, 0))


def test_shapes_that_no_profile_admits_are_a_sentence(runtime) -> None:
    with pytest.raises(
        RuntimeUnavailable, match=r"log_mel: expected a shape within .*, found \(1, 525, 128\)$"
    ):
        runtime.run(call(1, 525, 0))
    with pytest.raises(ValueError, match="past: expected 0 to 100 slots, found 101"):
        runtime.tag_memory(100).step(signal(49), np.ones(49, np.float32), 101, slice(19, 44))


def test_memory_is_given_back(cuda, engine) -> None:
    runtime = TensorRTRuntime(BUNDLE, engine)
    scored(runtime, signal(150), live_grid(25))
    runtime.run(call(1, 100, 0))
    del runtime
    assert not cuda.memory
    assert not cuda.graphs
    assert not cuda.queues


def open_here(folder: Path) -> TensorRTRuntime:
    return open_tensorrt(BUNDLE, folder)


def test_an_engine_that_fits_is_opened(cuda, engine) -> None:
    assert open_here(engine.path.parent).run(call(1, 30, 0)).tags.shape == (1, MEMBERS, LABELS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gpu_name": "NVIDIA L4"}, f"gpu_name: expected {NAME}, found NVIDIA L4"),
        ({"tensorrt_version": "10.1"}, f"tensorrt_version: expected {VERSION}, found 10.1"),
        ({"driver_version": "1"}, f"driver_version: expected {DRIVER}, found 1"),
        ({"graph_sha256": "0" * 64}, f"graph_sha256: expected {KEY.graph_sha256}, found 0000"),
        ({"input": "waveform"}, "input: expected log-mel, found waveform"),
    ],
)
def test_an_engine_of_something_else_is_refused(cuda, tmp_path, fields, message) -> None:
    engine = write_engine(
        tmp_path, KEY.model_copy(update=fields), simulated_engine(BUNDLE.graph_path, PROFILES), 1
    )
    with pytest.raises(RuntimeUnavailable, match=re.escape(message)):
        open_here(tmp_path)
    if not {"graph_sha256", "input"}.isdisjoint(fields):
        with pytest.raises(RuntimeUnavailable, match=re.escape(message)):
            TensorRTRuntime(BUNDLE, engine)


@pytest.mark.parametrize("content", [b"", b"something else"])
def test_an_engine_that_tensorrt_does_not_load_is_refused_with_its_reason(cuda, tmp_path, content) -> None:
    write_engine(tmp_path, KEY, content, 1)
    with pytest.raises(RuntimeUnavailable, match=r"one it does not load: the magic tag does not match$"):
        open_here(tmp_path)


def test_an_engine_of_another_ensemble_is_refused(cuda, engine) -> None:
    manifest = BUNDLE.manifest.model_copy(update={"members": (0.5, 0.3, 0.2)})
    with pytest.raises(
        RuntimeUnavailable, match=r"memory_logit: expected the shape of bundle.json, \(-1, 3, -1, "
    ):
        TensorRTRuntime(Bundle(BUNDLE.folder, manifest), engine)


def test_tensorrt_that_is_not_installed_is_a_sentence(cuda, engine, monkeypatch) -> None:
    for name in ("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RuntimeUnavailable, match=r"^TensorRT is not installed.*pip install"):
        open_here(engine.path.parent)


def test_the_lean_runtime_is_taken_where_the_full_package_is_not(cuda, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_lean", sys.modules["tensorrt"])
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    plan = simulated_engine(BUNDLE.graph_path, PROFILES)
    write_engine(tmp_path, KEY, plan, 1)
    with pytest.raises(RuntimeUnavailable, match="version_compatible: expected True, found False"):
        open_here(tmp_path)
    write_engine(tmp_path, KEY.model_copy(update={"version_compatible": True}), plan, 1)
    assert open_here(tmp_path).name == f"TensorRT {VERSION} (lean), {NAME}, float32"


def test_pitfall_without_a_gpu_tensorrt_is_not_even_imported(monkeypatch, engine) -> None:
    """With one, the simulated TensorRT asserts that it was looked for first."""
    install(monkeypatch, Cuda(devices=0))
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    for start in (open_here, lambda _: TensorRTRuntime(BUNDLE, engine)):
        with pytest.raises(RuntimeUnavailable, match=r"^no NVIDIA GPU was found \(the driver shows none\)$"):
            start(engine.path.parent)


def test_an_engine_for_live_steps_alone_does_not_take_clips(cuda, tmp_path) -> None:
    plan = simulated_engine(BUNDLE.graph_path, PROFILES[:1])
    write_engine(tmp_path, KEY.model_copy(update={"profiles": ("live",)}), plan, 1)
    assert open_here(tmp_path).run(call(1, 49, 475)).tags.shape == (1, MEMBERS, LABELS)
    with pytest.raises(ShapeRefused, match="log_mel: expected a shape within"):
        open_here(tmp_path).run(call(1, 500, 0))
    opened = open_runtime(BUNDLE, "auto", engines=tmp_path, profile="clip")
    assert "CPUExecutionProvider" in opened.runtime.name
    assert "profiles: expected clip, found live" in opened.passed_over[0].reason


def test_a_damaged_engine_makes_way_for_the_next_runtime_visibly(cuda, engine) -> None:
    folder = engine.path.parent
    assert open_runtime(BUNDLE, "auto", engines=folder).text == f"TensorRT {VERSION}, {NAME}, float32"
    engine.path.write_bytes(engine.path.read_bytes()[:-1])
    opened = open_runtime(BUNDLE, "auto", engines=folder)
    assert "CPUExecutionProvider" in opened.runtime.name
    assert "engine_sha256: expected" in opened.passed_over[0].reason
    with pytest.raises(RuntimeUnavailable, match="engine_sha256: expected"):
        open_runtime(BUNDLE, "tensorrt", engines=folder)


def test_pitfall_asking_for_tensorrt_on_this_machine_never_ends_the_process(engine) -> None:
    """With the real packages, whatever is installed: without a driver, making a TensorRT runtime is a crash."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edge_app.core.bundle import load_bundle\n"
        "from edge_app.core.errors import RuntimeUnavailable\n"
        "from edge_app.core.runtime_tensorrt import open_tensorrt\n"
        "try: open_tensorrt(load_bundle(), Path(sys.argv[1]))\n"
        "except RuntimeUnavailable as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(engine.path.parent)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == 1


@pytest.fixture(scope="module")
def real_engines(tmp_path_factory) -> Path:
    """A folder with the bundled model's engine for this machine's GPU, built by the exporter's command."""
    required_gpu()
    folder = tmp_path_factory.mktemp("engines")
    command = [sys.executable, "-m", "edge_app", "export-tensorrt", str(DEFAULT_BUNDLE)]
    subprocess.run([*command, "--precision", "fp32", "--engines", str(folder)], check=True)
    return folder


@pytest.mark.gpu
@pytest.mark.parametrize(("batch", "frames", "past"), [(1, 49, 475), (1, 500, 0), (1, 524, 0)])
def test_gpu_outputs_are_those_of_the_graph(real_engines, onnx_runtime, batch, frames, past) -> None:
    asked = call(batch, frames, past)
    found, expected = open_here(real_engines).run(asked), onnx_runtime.run(asked)
    for name in ("scores", "tags"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-3)


@pytest.mark.gpu
def test_gpu_passes_parity_on_the_bundled_clip(real_engines) -> None:
    assert check_parity(BUNDLE, open_here(real_engines)).max_difference < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("hop", [5, 10, 25, 50])
def test_gpu_live_steps_equal_those_with_the_hosts_memory(real_engines, onnx_runtime, hop) -> None:
    runtime, log_mel = open_here(real_engines), signal(1287)
    found = scored(runtime, log_mel, live_grid(hop))
    # the same kernels with the memory elsewhere: nothing but rounding may differ
    compare_hops(found, scored(OnHost(runtime), log_mel, live_grid(hop)), 1e-5)
    compare_hops(found, scored(OnHost(onnx_runtime), log_mel, live_grid(hop)), 1e-3)


@pytest.mark.gpu
def test_gpu_steady_steps_are_cuda_graphs(real_engines) -> None:
    runtime = open_here(real_engines)
    scorer = HopScorer(runtime, live_grid(25))
    scorer.push(signal(25 * 40 + CONTEXT))
    assert device_memory(scorer).graph_launches == 38
    assert "without CUDA graph" not in runtime.name
