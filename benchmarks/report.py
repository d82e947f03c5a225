"""What every benchmark tells: percentiles of durations, the machine that gave them, and figures to compare by."""

import math
import sys
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
    spread,
    spread_figure,
    write_result,
    write_results,
)
from benchmarks.machine import Machine, machine_key, this_machine
from edge_app.core.errors import SedgeError

__all__ = [
    "LEAST_FOR_P95",
    "NOT_KNOWN",
    "RESULT_SCHEMA_VERSION",
    "Figure",
    "Machine",
    "Result",
    "Timing",
    "bundle_setting",
    "check_positive",
    "machine_key",
    "plain",
    "progress",
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

LEAST_FOR_P95, LEAST_FOR_P99 = 20, 100
"""Durations that a percentile needs: of fewer it is just below the longest one."""
NOT_KNOWN = "–"
NARROWEST = 120  # columns that the widest table needs, where there is no terminal to ask


@dataclass(frozen=True, slots=True)
class Timing:
    """Percentiles of durations in milliseconds, interpolated between neighbours."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    low_ms: float
    """From here they ranged, the few ends of many left out: see `figures.spread`."""
    high_ms: float

    def figure(self, name: str) -> Figure:
        """The median to compare by, with what they ranged over where there are several."""
        low, high = (self.low_ms, self.high_ms) if self.count > 1 else (None, None)
        return Figure(name, "ms", "lower", self.p50_ms, low, high, self.count)

    def tail_figures(self, name: str) -> list[Figure]:
        """The median, the 95th and the 99th percentile, each a figure of its own: `name / p50` and so on.

        Those of too few durations are left out.
        """
        tails = (("p95", self.p95_ms, LEAST_FOR_P95), ("p99", self.p99_ms, LEAST_FOR_P99))
        figures = [
            Figure(f"{name} / {tail}", "ms", "lower", value, count=self.count)
            for tail, value, least in tails
            if self.count >= least
        ]
        return [self.figure(f"{name} / p50"), *figures]

    def cells(self) -> list[str]:
        """The percentiles as text, for a row of a table; a dash for those of too few durations."""
        p95 = f"{self.p95_ms:.2f}" if self.count >= LEAST_FOR_P95 else NOT_KNOWN
        p99 = f"{self.p99_ms:.2f}" if self.count >= LEAST_FOR_P99 else NOT_KNOWN
        return [f"{self.p50_ms:.2f}", p95, p99, f"{self.max_ms:.2f}"]


def timing(durations_s: Sequence[float]) -> Timing:
    """Percentiles of durations in seconds, at least one."""
    durations_ms = 1000 * np.asarray(durations_s)
    p50, p95, p99, most = (float(value) for value in np.percentile(durations_ms, (50, 95, 99, 100)))
    return Timing(len(durations_ms), p50, p95, p99, most, *spread(durations_ms))


def check_positive(options: Mapping[str, float]) -> None:
    """Raise SedgeError for an option, by its name, that is not a finite number above zero."""
    for name, value in options.items():
        if not (value > 0 and math.isfinite(value)):
            raise SedgeError(f"--{name}: expected more than 0, found {value}")


def report_console() -> Console:
    """The console for tables: as wide as the terminal, or wide enough where the output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, NARROWEST))


def progress(line: str) -> None:
    """Say what is done now, on the standard error stream."""
    print(line, file=sys.stderr, flush=True)


def say(console: Console, line: str) -> None:
    """One line of plain text, not broken."""
    console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
