"""The NVIDIA GPU of this machine, and calls of the CUDA runtime with errors that say what failed.

TensorRT ends the whole process where there is no driver: every way to it leads through `find_gpu`.
"""

import contextlib
import ctypes
import importlib
import sys
from dataclasses import dataclass
from typing import Any

from edge_app.core.errors import RuntimeUnavailable

INSTALL_CUDA_PYTHON = "pip install 'sedge-sed[gpu]'"
NO_DRIVER = "no NVIDIA GPU was found (no NVIDIA driver is loaded)"
DRIVER_LIBRARIES = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
"""What a driver installs, by system; there is none for others."""


class CudaError(RuntimeUnavailable):
    """A call of the CUDA runtime that failed; says which one, and how."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU that CUDA shows (the environment variable CUDA_VISIBLE_DEVICES chooses another)."""

    name: str
    compute_capability: tuple[int, int]
    """Major and minor."""
    memory_bytes: int
    driver_version: str
    """The display driver's own, or the CUDA version that it supports where it does not say."""


def check_driver() -> None:
    """Raise RuntimeUnavailable where no NVIDIA driver is installed; needs no package.

    On most machines that is all there is to say: what could be installed there would not help.
    """
    try:
        ctypes.CDLL(DRIVER_LIBRARIES[sys.platform])
    except (KeyError, OSError) as error:
        raise RuntimeUnavailable(NO_DRIVER) from error


def cuda_runtime() -> Any:
    """The CUDA runtime's module; raises RuntimeUnavailable where there is no driver or no cuda-python to use it."""
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        check_driver()
        raise RuntimeUnavailable(f"cuda-python is not installed ({error}): {INSTALL_CUDA_PYTHON}") from error


def cuda_call(name: str, *arguments: Any) -> Any:
    """Call a function of the CUDA runtime and give what it returns beside its error code.

    Raises CudaError with the function's name and the code where it failed.
    """
    error, *results = getattr(cuda_runtime(), name)(*arguments)
    if int(error) != 0:
        raise CudaError(f"{name}: expected success, found {_described(error)}")
    return results[0] if len(results) == 1 else tuple(results) or None


def find_gpu() -> Gpu:
    """Look for a GPU and its driver, making nothing on it.

    Raises RuntimeUnavailable where there is none, where the driver is too old, or without cuda-python.
    """
    cudart = cuda_runtime()
    supported = cuda_call("cudaDriverGetVersion")
    if supported == 0:
        raise RuntimeUnavailable(NO_DRIVER)
    error, count = cudart.cudaGetDeviceCount()
    codes = cudart.cudaError_t
    if error == codes.cudaErrorInsufficientDriver:
        needed = cuda_call("cudaRuntimeGetVersion") // 1000
        raise RuntimeUnavailable(
            f"driver too old: expected one for CUDA {needed} or newer, found one for {_cuda_version(supported)}: "
            "update the NVIDIA driver"
        )
    if error == codes.cudaErrorNoDevice or count == 0:
        raise RuntimeUnavailable("no NVIDIA GPU was found (the driver shows none)")
    if int(error) != 0:
        raise CudaError(f"cudaGetDeviceCount: expected success, found {_described(error)}")
    return _first_gpu(supported)


def _first_gpu(supported: int) -> Gpu:
    found = cuda_call("cudaGetDeviceProperties", 0)
    name = found.name.decode(errors="replace").partition("\0")[0]
    return Gpu(name, (found.major, found.minor), found.totalGlobalMem, _driver_version(supported))


def _driver_version(supported: int) -> str:
    """The display driver's version; some devices (Jetson) have no management library to ask."""
    with contextlib.suppress(Exception):
        nvml = importlib.import_module("cuda.bindings.nvml")
        nvml.init_v2()
        try:
            return str(nvml.system_get_driver_version())
        finally:
            nvml.shutdown()
    return _cuda_version(supported)


def _cuda_version(number: int) -> str:
    """13020 -> CUDA 13.2."""
    return f"CUDA {number // 1000}.{number % 1000 // 10}"


def _described(error: Any) -> str:
    """An error code as its name, number and meaning."""
    _, meaning = cuda_runtime().cudaGetErrorString(error)
    words = meaning.decode(errors="replace") if isinstance(meaning, bytes) else str(meaning)
    return f"{getattr(error, 'name', 'error')} ({int(error)}: {words})"
