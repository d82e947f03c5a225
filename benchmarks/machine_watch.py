"""What the machine does while something is measured: processor, memory, and a GPU's clocks and temperature.

All of it is read, nothing is ever set. What a system does not tell is None.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_app.core.errors import SedgeError

MIB = 2**20
LEAST_RUNS = 40
"""Runs that it takes to tell a drift from chance."""
DRIFT = 1.15
CLOCK_DROP = 0.9
MOST_STOLEN = 0.02
HARMLESS_REASONS = (
    "GpuIdle",
    "ApplicationsClocksSetting",
    "UserDefinedClocks",
    "SyncBoost",
    "DisplayClockSetting",
)
"""Why a GPU does not run at its highest clock, without being too hot or short of power."""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """The first GPU at one moment."""

    name: str
    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    temperature_c: int | None
    power_w: float | None
    memory_used_mib: float | None
    slowed_by: tuple[str, ...] = ()
    """What its driver says holds the clock down, such as SwThermalSlowdown."""


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What was seen from the first look to the last."""

    seconds: float
    cpu_share: float
    """Of one core, by this process."""
    stolen_share: float | None
    """Of the machine's processors, by what else runs on the host of a virtual machine."""
    resident_mib: float
    most_resident_mib: float
    """The most at any look."""
    cpu_clock_mhz: tuple[float, ...] = ()
    """At every look; empty where the system does not tell it."""
    gpu: tuple[GpuReading, ...] = ()
    """At every look."""

    def warnings(self) -> list[str]:
        """In words, what may have slowed the measurement down."""
        words = []
        if self.stolen_share is not None and self.stolen_share > MOST_STOLEN:
            words.append(f"others on this machine's host took {self.stolen_share:.0%} of its processors")
        if _fell(self.cpu_clock_mhz):
            highest, last = max(self.cpu_clock_mhz), self.cpu_clock_mhz[-1]
            words.append(f"the processor's clock fell from {highest:.0f} to {last:.0f} MHz")
        return words + gpu_warnings(self.gpu)


def gpu_warnings(readings: Sequence[GpuReading]) -> list[str]:
    """In words, what held a GPU back, or that its clock fell."""
    words = []
    reasons = sorted({reason for reading in readings for reason in reading.slowed_by})
    if reasons:
        words.append(f"the GPU was held back by {', '.join(reasons)}")
    clocks = [reading.sm_clock_mhz for reading in readings if reading.sm_clock_mhz]
    if _fell(clocks):
        words.append(f"the GPU's clock fell from {max(clocks)} to {clocks[-1]} MHz")
    return words


def _fell(clocks_mhz: Sequence[float]) -> bool:
    """Whether the last look saw a clock far below the highest; one that rises from idle has not fallen."""
    return bool(clocks_mhz) and clocks_mhz[-1] < CLOCK_DROP * max(clocks_mhz)


def drift(durations_s: Sequence[float]) -> float | None:
    """Median of the last quarter of equal runs in a row by that of the first; None for too few to tell."""
    if len(durations_s) < LEAST_RUNS:
        return None
    quarter = len(durations_s) // 4
    return float(np.median(durations_s[-quarter:]) / np.median(durations_s[:quarter]))


def drift_warnings(ratio: float | None) -> list[str]:
    """In words, that equal runs became slower, where they did by more than chance."""
    if ratio is None or ratio < DRIFT:
        return []
    return [f"the last quarter of the hot steps took {ratio:.2f} times as long as the first"]


@dataclass
class MachineWatch:
    """Look when the work begins, now and then between, and when it ends; `use` is what was seen."""

    clock: Callable[[], float] = time.monotonic
    read_gpu: Callable[[], GpuReading | None] = field(default_factory=lambda: read_gpu)

    def __post_init__(self) -> None:
        self._process, self._psutil = _process()
        self._resident: list[float] = []
        self._clocks: list[float] = []
        self._gpu: list[GpuReading] = []
        self._begin = self._moment()
        self.look()

    def look(self) -> None:
        """Read memory, clocks and temperature now."""
        self._resident.append(self._process.memory_info().rss / MIB)
        # Not every system tells its clock, and some fail to.
        with contextlib.suppress(Exception):
            self._clocks.append(float(self._psutil.cpu_freq().current))
        reading = self.read_gpu()
        if reading is not None:
            self._gpu.append(reading)

    def use(self) -> MachineUse:
        """What was seen until now."""
        self.look()
        seconds, busy_s, stolen_s, all_s = (
            now - then for now, then in zip(self._moment(), self._begin, strict=True)
        )
        stolen = hasattr(self._psutil.cpu_times(), "steal") and all_s > 0
        return MachineUse(
            seconds=seconds,
            cpu_share=busy_s / seconds if seconds > 0 else 0.0,
            stolen_share=stolen_s / all_s if stolen else None,
            resident_mib=self._resident[-1],
            most_resident_mib=max(self._resident),
            cpu_clock_mhz=tuple(clock for clock in self._clocks if clock > 0),
            gpu=tuple(self._gpu),
        )

    def _moment(self) -> tuple[float, float, float, float]:
        """Time, this process's processor time, the machine's stolen and whole processor time; seconds."""
        machine = self._psutil.cpu_times()
        return self.clock(), time.process_time(), getattr(machine, "steal", 0.0), sum(machine)


def _process() -> tuple[Any, Any]:
    """This process and the module psutil. Raises SedgeError where it is missing."""
    try:
        import psutil
    except ImportError as error:
        raise SedgeError(
            "benchmarks need the Python package psutil, which is not installed: pip install psutil"
        ) from error
    return psutil.Process(), psutil


def read_gpu() -> GpuReading | None:
    """The first GPU now; None where there is none, no driver, or no nvidia-ml-py. Reads only."""
    # Every lack has an error of its own, and none of them is one here.
    with contextlib.suppress(Exception):
        import pynvml

        pynvml.nvmlInit()
        try:
            return gpu_reading(pynvml)
        finally:
            pynvml.nvmlShutdown()
    return None


def gpu_reading(nvml: Any) -> GpuReading:
    """The first GPU by the module pynvml, which is ready; a field that the GPU does not have is None."""
    device = nvml.nvmlDeviceGetHandleByIndex(0)
    power_mw = _asked(nvml.nvmlDeviceGetPowerUsage, device)
    memory = _asked(nvml.nvmlDeviceGetMemoryInfo, device)
    return GpuReading(
        name=str(nvml.nvmlDeviceGetName(device)),
        sm_clock_mhz=_asked(nvml.nvmlDeviceGetClockInfo, device, nvml.NVML_CLOCK_SM),
        memory_clock_mhz=_asked(nvml.nvmlDeviceGetClockInfo, device, nvml.NVML_CLOCK_MEM),
        temperature_c=_asked(nvml.nvmlDeviceGetTemperature, device, nvml.NVML_TEMPERATURE_GPU),
        power_w=None if power_mw is None else power_mw / 1000,
        memory_used_mib=None if memory is None else memory.used / MIB,
        slowed_by=slow_down_reasons(
            nvml, _asked(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, device) or 0
        ),
    )


def _asked(question: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return question(*arguments)
    except Exception:  # the library raises a kind of its own for each thing that a device does not have
        return None


def slow_down_reasons(nvml: Any, bits: int) -> tuple[str, ...]:
    """Names of the reasons set in NVML's bit field that slow a GPU down against its will."""
    prefix = "nvmlClocksThrottleReason"
    reasons = {
        name.removeprefix(prefix): getattr(nvml, name) for name in dir(nvml) if name.startswith(prefix)
    }
    return tuple(
        name
        for name, bit in sorted(reasons.items())
        if isinstance(bit, int) and bit & bits == bit != 0 and name not in (*HARMLESS_REASONS, "All")
    )
