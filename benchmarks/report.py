"""What every benchmark tells: percentiles of durations, the machine that gave them, and where the figures go."""

import dataclasses
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import write_whole
from train.machine import processor_name

LIBRARIES = ("numpy", "onnxruntime", "soundfile", "soxr")
THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")  # the first that is set counts
NARROWEST = 120  # columns that the widest table needs, where there is no terminal to ask


@dataclass(frozen=True, slots=True)
class Timing:
    """Percentiles of durations in milliseconds, interpolated between neighbours."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

    def cells(self) -> list[str]:
        """The percentiles as text, for a row of a table."""
        return [f"{value:.2f}" for value in (self.p50_ms, self.p95_ms, self.p99_ms, self.max_ms)]


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

    @property
    def text(self) -> str:
        """One line."""
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries.items())
        load = "" if self.load_average is None else f", load average {self.load_average:.1f}"
        return (
            f"{self.cpu}, {self.cores_usable} of {self.cores} cores usable{load}; {self.system}, "
            f"Python {self.python}, {libraries}; threads of the model: {self.graph_threads}, "
            f"of NumPy's products: {self.blas_threads}"
        )


def timing(durations_s: Sequence[float]) -> Timing:
    """Percentiles of durations in seconds, at least one."""
    durations_ms = 1000 * np.asarray(durations_s)
    p50, p95, p99 = (float(value) for value in np.percentile(durations_ms, (50, 95, 99)))
    return Timing(len(durations_ms), p50, p95, p99, float(durations_ms.max()))


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
    )


def check_positive(options: Mapping[str, float]) -> None:
    """Raise SedgeError for an option, by its name, that is not a finite number above zero."""
    for name, value in options.items():
        if not (value > 0 and math.isfinite(value)):
            raise SedgeError(f"--{name}: expected more than 0, found {value}")


def write_report(path: Path | None, report: Any) -> None:
    """Write a report (a dataclass) as JSON, where a path is given."""
    if path is not None:
        write_whole(path, json.dumps(dataclasses.asdict(report), indent=2, ensure_ascii=False) + "\n")


def report_console() -> Console:
    """The console for tables: as wide as the terminal, or wide enough where the output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, NARROWEST))


def say(console: Console, line: str) -> None:
    """One line of plain text, not broken."""
    console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
