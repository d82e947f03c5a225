"""What every benchmark tells: percentiles of durations, the machine that gave them, and figures to compare by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from benchmarks.figures import (
    RESULT_SCHEMA_VERSION,
    Figure,
    Result,
    bundle_setting,
    plain,
    read_result,
    read_results,
    spread_figure,
    write_result,
    write_results,
)
from benchmarks.machine import Machine, machine_key, this_machine
from edge_app.core.errors import SedgeError

__all__ = [
    "RESULT_SCHEMA_VERSION",
    "Figure",
    "Machine",
    "Result",
    "Timing",
    "bundle_setting",
    "check_positive",
    "machine_key",
    "plain",
    "read_result",
    "read_results",
    "report_console",
    "say",
    "spread_figure",
    "this_machine",
    "timing",
    "write_result",
    "write_results",
]

NARROWEST = 120  # columns that the widest table needs, where there is no terminal to ask


@dataclass(frozen=True, slots=True)
class Timing:
    """Percentiles of durations in milliseconds, interpolated between neighbours."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    p5_ms: float | None = None
    """None where it was not asked for."""

    def figure(self, name: str) -> Figure:
        """The median to compare by, with the 5th and the 95th percentile as its spread."""
        low, high = (None, None) if self.p5_ms is None else (self.p5_ms, self.p95_ms)
        return Figure(name, "ms", "lower", self.p50_ms, low, high, self.count)

    def tail_figures(self, name: str) -> list[Figure]:
        """The median, the 95th and the 99th percentile, each a figure of its own: `name / p50` and so on."""
        tails = {"p95": self.p95_ms, "p99": self.p99_ms}
        figures = [
            Figure(f"{name} / {tail}", "ms", "lower", value, count=self.count)
            for tail, value in tails.items()
        ]
        return [self.figure(f"{name} / p50"), *figures]

    def cells(self) -> list[str]:
        """The percentiles as text, for a row of a table."""
        return [f"{value:.2f}" for value in (self.p50_ms, self.p95_ms, self.p99_ms, self.max_ms)]


def timing(durations_s: Sequence[float]) -> Timing:
    """Percentiles of durations in seconds, at least one."""
    durations_ms = 1000 * np.asarray(durations_s)
    p5, p50, p95, p99 = (float(value) for value in np.percentile(durations_ms, (5, 50, 95, 99)))
    return Timing(len(durations_ms), p50, p95, p99, float(durations_ms.max()), p5)


def check_positive(options: Mapping[str, float]) -> None:
    """Raise SedgeError for an option, by its name, that is not a finite number above zero."""
    for name, value in options.items():
        if not (value > 0 and math.isfinite(value)):
            raise SedgeError(f"--{name}: expected more than 0, found {value}")


def report_console() -> Console:
    """The console for tables: as wide as the terminal, or wide enough where the output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, NARROWEST))


def say(console: Console, line: str) -> None:
    """One line of plain text, not broken."""
    console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
