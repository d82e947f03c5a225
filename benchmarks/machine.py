"""The machine that figures come from."""

import contextlib
import os
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from train.machine import processor_name

LIBRARIES = ("numpy", "onnxruntime", "soundfile", "soxr")
THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")  # the first that is set counts
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a figure was measured on."""

    cpu: str
    cores: int
    """Logical processors of the machine."""
    cores_usable: int
    """Those that this process may use."""
    system: str
    python: str
    libraries: dict[str, str]
    """Version by name."""
    graph_threads: int
    """Threads that the model may use."""
    blas_threads: str
    """What the environment asks of NumPy's matrix products."""
    load_average: float | None
    """Processes that wanted to run in the last minute, when this was taken; None where the system does not say."""
    memory_bytes: int | None = None
    """Of the whole machine; None where the system does not say."""
    gpu: str | None = None
    """Name of the first GPU; None where there is none that its driver tells of."""
    kind: str | None = None
    """"container" or "virtual machine" where the system says so; None where it says nothing."""

    @property
    def text(self) -> str:
        """One line."""
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries.items())
        load = "" if self.load_average is None else f", load average {self.load_average:.1f}"
        memory = "" if self.memory_bytes is None else f", {self.memory_bytes / 2**30:.0f} GiB"
        gpu = f", {self.gpu}" if self.gpu else ""
        kind = f", in a {self.kind}" if self.kind else ""
        return (
            f"{self.cpu}, {self.cores_usable} of {self.cores} cores usable{load}{memory}{gpu}{kind}; {self.system}, "
            f"Python {self.python}, {libraries}; threads of the model: {self.graph_threads}, "
            f"of NumPy's products: {self.blas_threads}"
        )


def this_machine(graph_threads: int) -> Machine:
    """The machine as it is now."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    settings = (f"{os.environ[name]} ({name})" for name in THREAD_SETTINGS if name in os.environ)
    return Machine(
        cpu=processor_name(),
        cores=os.cpu_count() or 1,
        cores_usable=len(usable),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        libraries={name: version(name) for name in LIBRARIES},
        graph_threads=graph_threads,
        blas_threads=next(settings, "not set"),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        memory_bytes=_memory_bytes(),
        gpu=_gpu(),
        kind=_kind(),
    )


def _memory_bytes() -> int | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _gpu() -> str | None:
    try:
        import pynvml
    except ImportError:
        return None
    with contextlib.suppress(pynvml.NVMLError):  # no driver, or no GPU
        pynvml.nvmlInit()
        try:
            return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)))
        finally:
            pynvml.nvmlShutdown()
    return None


def _kind() -> str | None:
    if any(Path(mark).exists() for mark in CONTAINER_MARKS) or "container" in os.environ:
        return "container"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file() and re.search(
        r"^flags\b.*\bhypervisor\b", cpuinfo.read_text(errors="replace"), re.M
    ):
        return "virtual machine"
    return None


def machine_key(machine: Machine) -> str:
    """A name for files about a machine: processor, cores that may be used and GPU, as `[a-z0-9-]`."""
    parts = [machine.cpu, f"{machine.cores_usable} cores", machine.gpu or ""]
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")
