"""Which runtime runs, and that none is taken in the place of another without a word."""

import shutil
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from edge_app.core import gpu, runtime_onnx, runtime_tensorrt, runtimes
from edge_app.core.bundle import Bundle, file_sha256, load_bundle, write_manifest
from edge_app.core.errors import EXIT_NO_DEVICE_OR_MODEL, BundleError, RuntimeUnavailable
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.core.runtimes import ParityError, PassedOver, open_runtime

without_gpu_build = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime has CUDA",
)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return load_bundle(tiny_bundle)


@pytest.fixture
def off_bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    """A whole bundle whose recorded scores are others than its graph gives."""
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    whole = load_bundle(folder)
    with np.load(whole.parity_path) as archive:
        arrays = dict(archive)
    np.savez(whole.parity_path, **{**arrays, "scores": arrays["scores"] + np.float32(0.25)})
    parity = whole.manifest.parity.model_copy(update={"sha256": file_sha256(whole.parity_path)})
    write_manifest(folder, whole.manifest.model_copy(update={"parity": parity}))
    return load_bundle(folder)


@pytest.fixture
def driver(monkeypatch) -> None:
    """A machine with an NVIDIA driver, as far as ONNX Runtime is concerned."""
    monkeypatch.setattr(runtime_onnx, "check_driver", lambda: None)
    monkeypatch.setattr(runtime_onnx, "find_gpu", lambda: None)


class AsIfCuda(OnnxRuntime):
    """The CPU where the GPU is asked for."""

    def __init__(self, bundle: Bundle, threads: int = 1, provider: str = "cpu") -> None:
        super().__init__(bundle, threads)
        self.name_asked_for = provider

    @property
    def name(self) -> str:
        return f"as if {self.name_asked_for}"


class DyingCuda(AsIfCuda):
    """Opens, and then its driver fails."""

    def run(self, call: FusedInput) -> FusedOutput:
        raise MemoryError("out of memory\non device 0")


@without_gpu_build
@pytest.mark.parametrize("choice", ["cuda", "onnx-tensorrt"])
def test_a_runtime_that_is_not_here_is_refused_with_what_to_install(driver, bundle, choice):
    with pytest.raises(RuntimeUnavailable, match=r"Provider, found .*pip install 'onnxruntime-gpu") as caught:
        open_runtime(bundle, choice)
    assert caught.value.exit_code == EXIT_NO_DEVICE_OR_MODEL
    assert "\n" not in str(caught.value)


@without_gpu_build
def test_auto_takes_the_cpu_and_says_why_nothing_faster(driver, bundle):
    opened = open_runtime(bundle, threads=2)
    assert [other.name for other in opened.passed_over] == ["tensorrt", "cuda"]
    assert opened.runtime.name.endswith("CPUExecutionProvider, threads: 2")
    tensorrt, cuda = (other.reason for other in opened.passed_over)
    assert opened.text == f"{opened.runtime.name}; not tensorrt: {tensorrt}; not cuda: {cuda}"
    assert "CUDAExecutionProvider" in cuda


def test_without_a_gpu_that_is_all_there_is_to_say(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setattr(gpu, "DRIVER_LIBRARIES", {})
    opened, reason = open_runtime(bundle), "no NVIDIA GPU was found (no NVIDIA driver is loaded)"
    assert opened.text == f"{opened.runtime.name}; not tensorrt or cuda: {reason}"
    for choice in ("cuda", "onnx-tensorrt", "tensorrt"):
        with pytest.raises(RuntimeUnavailable) as caught:
            open_runtime(bundle, choice)
        assert str(caught.value) == reason


def test_the_cpu_by_name_passes_nothing_over(bundle):
    opened = open_runtime(bundle, "cpu")
    assert opened.passed_over == ()
    assert opened.text == opened.runtime.name


def test_a_runtime_in_working_order_is_taken_before_the_cpu(bundle, monkeypatch):
    monkeypatch.setattr(runtimes, "OnnxRuntime", AsIfCuda)
    opened = open_runtime(bundle)
    assert opened.runtime.name == "as if cuda"
    assert [other.name for other in opened.passed_over] == ["tensorrt"]


def test_a_runtime_that_computes_something_else_is_refused(off_bundle, monkeypatch):
    monkeypatch.setattr(runtimes, "OnnxRuntime", AsIfCuda)
    reason = "as if cuda: expected the bundle's own scores within 1.0e-04, found a difference of 2.5e-01"
    with pytest.raises(ParityError, match=f"^{reason}$"):
        open_runtime(off_bundle, "cuda")
    assert open_runtime(off_bundle, "cuda", check=False).runtime.name == "as if cuda"
    opened = open_runtime(off_bundle)
    assert opened.runtime.name == "as if cpu"
    assert opened.passed_over[-1] == PassedOver("cuda", reason)


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_an_engine_may_round_as_its_precision_does(precision, bundle, monkeypatch):
    class Rounding(OnnxRuntime):
        engine = SimpleNamespace(
            file=SimpleNamespace(metadata=SimpleNamespace(key=SimpleNamespace(precision=precision)))
        )

        def run(self, call: FusedInput) -> FusedOutput:
            output = super().run(call)
            return FusedOutput(output.scores, output.tags + np.float32(5e-3), output.logit, output.evidence)

    monkeypatch.setattr(runtime_tensorrt, "open_tensorrt", lambda bundle, *_: Rounding(bundle))
    if precision == "float16":
        parity = open_runtime(bundle, "tensorrt").parity
        assert parity is not None
        assert (parity.max_difference, parity.tolerance) == (pytest.approx(5e-3, abs=1e-4), 1e-2)
    else:
        with pytest.raises(RuntimeUnavailable, match=r"within 1\.0e-04, found a difference of 5\.0e-03"):
            open_runtime(bundle, "tensorrt")


def test_a_runtime_that_fails_at_its_first_call_is_passed_over(bundle, monkeypatch):
    monkeypatch.setattr(runtimes, "OnnxRuntime", DyingCuda)
    opened = open_runtime(bundle)
    assert opened.passed_over[-1].reason == (
        "expected cuda to run, found MemoryError: out of memory on device 0"
    )
    with pytest.raises(RuntimeUnavailable, match=r"^expected cuda to run"):
        open_runtime(bundle, "cuda")


@without_gpu_build
def test_a_provider_that_onnx_runtime_drops_in_silence_is_refused(driver, bundle, monkeypatch):
    # As where a library of a GPU build is missing: the session opens, on the CPU.
    built_with = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built_with)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeUnavailable, match="expected ONNX Runtime to take CUDAExecutionProvider"):
            OnnxRuntime(bundle, provider="cuda")


def test_a_damaged_bundle_is_an_error_of_the_bundle_whatever_runs_it(tiny_bundle, tmp_path):
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    bundle = load_bundle(folder)
    bundle.graph_path.write_bytes(b"no graph")
    for choice in ("auto", "cpu"):
        with pytest.raises(BundleError, match=r"fused\.onnx: expected a graph"):
            open_runtime(bundle, choice)
