"""What is read of the machine beside a benchmark, and when it says that the machine slowed down."""

import time
from types import SimpleNamespace

import pynvml
import pytest

from benchmarks.machine_watch import (
    GpuReading,
    MachineUse,
    MachineWatch,
    drift,
    drift_warnings,
    gpu_reading,
    gpu_warnings,
    slow_down_reasons,
)


def reading(clock_mhz: int, *slowed_by: str) -> GpuReading:
    return GpuReading("a GPU", clock_mhz, 2619, 60, 300.0, 1000.0, slowed_by)


def use(**changed) -> MachineUse:
    fields = {"seconds": 1.0, "cpu_share": 0.5, "stolen_share": 0.0, "resident_mib": 100.0}
    return MachineUse(**{**fields, "most_resident_mib": 100.0, "cpu_clock_mhz": (2600.0, 2600.0), **changed})


def test_work_shows_as_share_of_a_core_and_memory_as_resident():
    watch = MachineWatch()
    held = bytearray(64 * 2**20)
    watch.look()
    assert len(held) == 64 * 2**20
    del held
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    seen = watch.use()
    assert 0.08 <= seen.cpu_share * seen.seconds <= 0.4
    assert seen.most_resident_mib - seen.resident_mib > 32
    assert seen.seconds >= 0.09


def test_every_look_reads_the_gpu():
    clocks = iter([1980, 1980, 1200])
    watch = MachineWatch(read_gpu=lambda: reading(next(clocks)))
    watch.look()
    assert [each.sm_clock_mhz for each in watch.use().gpu] == [1980, 1980, 1200]


def test_a_steady_machine_is_not_blamed():
    assert use(gpu=(reading(1980), reading(1975))).warnings() == []
    assert use(stolen_share=None, cpu_clock_mhz=()).warnings() == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stolen_share": 0.3}, "took 30% of its processors"),
        ({"cpu_clock_mhz": (1500.0, 3000.0, 1200.0)}, "the processor's clock fell from 3000 to 1200 MHz"),
        ({"gpu": (reading(1980), reading(1200))}, "the GPU's clock fell from 1980 to 1200 MHz"),
        ({"gpu": (reading(1980, "SwPowerCap"),)}, "the GPU was held back by SwPowerCap"),
    ],
)
def test_what_slows_a_machine_down_is_told(changed, words):
    (warning,) = use(**changed).warnings()
    assert words in warning


def test_a_clock_that_rises_is_no_throttling():
    assert gpu_warnings([reading(300), reading(1980)]) == []
    assert use(cpu_clock_mhz=(800.0, 3000.0)).warnings() == []


def test_steps_that_become_slower_are_noticed_and_chance_is_not():
    assert drift([0.010] * 39) is None
    steady = drift([0.010, 0.011] * 52)
    assert steady == pytest.approx(1)
    assert drift_warnings(steady) == []
    hot = drift([0.010] * 50 + [0.015] * 50)
    assert hot == pytest.approx(1.5)
    assert "1.50 times as long as the first" in drift_warnings(hot)[0]
    assert drift_warnings(None) == []


def test_reasons_are_read_from_the_driver_s_bits():
    thermal, power = (
        pynvml.nvmlClocksThrottleReasonSwThermalSlowdown,
        pynvml.nvmlClocksThrottleReasonSwPowerCap,
    )
    assert slow_down_reasons(pynvml, thermal | power) == ("SwPowerCap", "SwThermalSlowdown")
    assert slow_down_reasons(pynvml, pynvml.nvmlClocksThrottleReasonGpuIdle) == ()
    assert slow_down_reasons(pynvml, pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting) == ()
    assert slow_down_reasons(pynvml, 0) == ()


class Driver:
    """NVML's answers, by its own names and numbers; it has no fan, no power meter, and nothing that sets."""

    def __getattr__(self, name: str):
        if name.startswith("nvmlDeviceGet"):
            return lambda *arguments: self.answer(name, arguments)
        return getattr(pynvml, name)

    def __dir__(self):
        return dir(pynvml)

    def answer(self, name: str, arguments: tuple):
        answers = {
            "nvmlDeviceGetHandleByIndex": "device",
            "nvmlDeviceGetName": "a GPU",
            "nvmlDeviceGetClockInfo": {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}.get(
                arguments[-1]
            ),
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3 * 2**20),
            "nvmlDeviceGetCurrentClocksThrottleReasons": pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
        }
        if name not in answers:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return answers[name]


def test_a_gpu_is_read_and_what_it_lacks_is_none():
    assert gpu_reading(Driver()) == GpuReading("a GPU", 1980, 2619, 61, None, 3.0, ("HwThermalSlowdown",))
