"""Looking for a GPU, and errors of CUDA."""

import json
import subprocess
import sys

import pytest

from edge_app.core import gpu
from edge_app.core.errors import EXIT_NO_DEVICE_OR_MODEL, RuntimeUnavailable
from edge_app.core.gpu import CudaError, Gpu, check_driver, cuda_call, find_gpu
from tests.core.real_gpu import required_gpu
from tests.core.simulated_gpu import CAPABILITY, DRIVER, NAME, Cuda, cudaError_t
from tests.core.simulated_tensorrt import install


def test_a_gpu_is_described(monkeypatch) -> None:
    install(monkeypatch, Cuda())
    assert find_gpu() == Gpu(NAME, CAPABILITY, 24 << 30, DRIVER)


def test_a_driver_that_does_not_say_its_version_is_known_by_what_it_supports(monkeypatch) -> None:
    install(monkeypatch, Cuda())
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvml", None)
    assert find_gpu().driver_version == "CUDA 13.2"


@pytest.mark.parametrize(
    ("cuda", "message"),
    [
        (Cuda(driver=0), r"^no NVIDIA GPU was found \(no NVIDIA driver is loaded\)$"),
        (Cuda(devices=0), r"^no NVIDIA GPU was found \(the driver shows none\)$"),
        (
            Cuda(driver=12020),
            r"^driver too old: expected one for CUDA 13 or newer, found one for CUDA 12\.2: update the NVIDIA driver$",
        ),
    ],
)
def test_what_lacks_is_said(monkeypatch, cuda, message) -> None:
    install(monkeypatch, cuda)
    with pytest.raises(RuntimeUnavailable, match=message) as caught:
        find_gpu()
    assert caught.value.exit_code == EXIT_NO_DEVICE_OR_MODEL


def test_without_cuda_python_there_is_a_sentence(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setattr(gpu, "check_driver", lambda: None)
    with pytest.raises(RuntimeUnavailable, match=r"^cuda-python is not installed .*pip install"):
        find_gpu()


@pytest.mark.parametrize("libraries", [{}, {sys.platform: "no-such-driver.so.1"}])
def test_without_a_driver_nobody_is_told_to_install_cuda_python(monkeypatch, libraries) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setattr(gpu, "DRIVER_LIBRARIES", libraries)
    for look in (check_driver, find_gpu):
        with pytest.raises(
            RuntimeUnavailable, match=r"^no NVIDIA GPU was found \(no NVIDIA driver is loaded\)$"
        ):
            look()


def test_a_failing_call_names_itself_and_its_code(monkeypatch) -> None:
    cuda = Cuda()
    install(monkeypatch, cuda)
    cuda.failing["cudaMalloc"] = cudaError_t.cudaErrorMemoryAllocation
    expected = r"^cudaMalloc: expected success, found cudaErrorMemoryAllocation \(2: what it means\)$"
    with pytest.raises(CudaError, match=expected):
        cuda_call("cudaMalloc", 100)
    cuda.failing["cudaGetDeviceCount"] = cudaError_t.cudaErrorInvalidValue
    with pytest.raises(CudaError, match=r"^cudaGetDeviceCount: .*cudaErrorInvalidValue \(1: "):
        find_gpu()


def test_the_real_cuda_python_ends_in_a_gpu_or_in_a_sentence() -> None:
    """With whatever this machine has: an installed cuda-python without a driver is the common case."""
    program = (
        "import json\n"
        "from edge_app.core.errors import RuntimeUnavailable\n"
        "from edge_app.core.gpu import find_gpu\n"
        "try: print(json.dumps(['found', find_gpu().name]))\n"
        "except RuntimeUnavailable as error: print(json.dumps(['lacks', str(error)]))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    kind, words = json.loads(ended.stdout)
    assert ended.stderr == ""
    assert kind == "found" or words.startswith(
        ("no NVIDIA GPU was found", "driver too old", "cuda-python is not")
    )


@pytest.mark.gpu
def test_the_gpu_of_this_machine_is_found() -> None:
    found = required_gpu()
    check_driver()
    assert found.name
    assert found.compute_capability >= (5, 0)
    assert found.memory_bytes > 1 << 30
    assert found.driver_version[0].isdigit()
