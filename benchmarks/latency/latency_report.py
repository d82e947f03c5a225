"""The figures of `sedge bench-latency`: as results keep them, and how they are printed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.latency.live_path import LAST_BLOCK, STAGES, WHOLE
from benchmarks.latency.runtime_runs import PACED, SOURCE_RATE, WARM_UP_RUNS, HopRuns, RuntimeRuns
from benchmarks.machine_watch import GpuReading
from benchmarks.report import Figure, Machine, Timing, say, spread_figure, timing
from edge_app.core.delay import AlgorithmicDelay
from edge_app.core.events import FRAME_S
from edge_app.core.runtimes import PassedOver
from edge_app.stream.driver import BLOCK_S

PERCENTILES = ("p50 ms", "p95 ms", "p99 ms", "max ms")


@dataclass(frozen=True, slots=True)
class Budget:
    """What the whole live step may take, paced, at the 95th percentile."""

    runtime: str
    hop_frames: int
    budget_ms: float
    p95_ms: float
    steps: int
    """That were timed."""

    @property
    def is_met(self) -> bool:
        """Whether it took no longer."""
        return self.p95_ms <= self.budget_ms

    @property
    def sentence(self) -> str:
        """In words."""
        verdict = "met" if self.is_met else "missed"
        return (
            f"Budget {verdict}: the live step of {self.hop_frames} frames, paced, on {self.runtime} took "
            f"{self.p95_ms:.1f} ms at the 95th percentile of {self.steps}, and may take {self.budget_ms:g} ms."
        )


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """All figures of one run."""

    bundle: str
    window_frames: int
    runtimes: list[RuntimeRuns]
    passed_over: list[PassedOver]
    delay: AlgorithmicDelay
    resampler_delay_ms: float
    machine: Machine
    budget: Budget | None = None


def figures(report: LatencyReport) -> Iterator[Figure]:
    """What results are compared by."""
    for runs in report.runtimes:
        yield from _once(runs)
        for hop, paces in runs.hops.items():
            for pace, hop_runs in paces.items():
                for stage, spent_s in hop_runs.spent_s.items():
                    name = f"{runs.name} / hop of {hop} frames / {pace} / {stage}"
                    median, *tails = timing(spent_s).tail_figures(name)
                    yield replace(median, name=name)
                    yield from tails if stage == WHOLE else ()
            name = f"{runs.name} / hop of {hop} frames / {PACED} / share of a core"
            yield Figure(name, "%", "lower", 100 * paces[PACED].use.cpu_share)
        for batch, calls_s in runs.clips_s.items():
            clips_ms = [1000 * call_s / batch for call_s in calls_s]
            yield spread_figure(f"{runs.name} / clip, {batch} a call / each", "ms", "lower", clips_ms)


def _once(runs: RuntimeRuns) -> Iterator[Figure]:
    yield Figure(f"{runs.name} / load", "ms", "lower", 1000 * runs.load_s)
    yield Figure(f"{runs.name} / first live step", "ms", "lower", 1000 * runs.first_step_s)
    if runs.first_window_s is not None:
        yield Figure(f"{runs.name} / first window", "ms", "lower", 1000 * runs.first_window_s)
    for pace, pair in runs.comparison.items():
        name = f"{runs.name} / window by live step / {pace}"
        low, high = pair.ratios or (None, None)
        yield Figure(name, "x", "higher", pair.ratio_of_medians, low, high, pair.step.count)
    most_mib = max(each.use.most_resident_mib for paces in runs.hops.values() for each in paces.values())
    yield Figure(f"{runs.name} / resident memory", "MiB", "lower", most_mib)


def details(report: LatencyReport) -> dict[str, Any]:
    """All of it, with percentiles in place of single runs."""
    return {
        "bundle": report.bundle,
        "window_frames": report.window_frames,
        "runtimes": [_runtime_details(runs) for runs in report.runtimes],
        "passed_over": report.passed_over,
        "delay": report.delay,
        "resampler_delay_ms": report.resampler_delay_ms,
        "budget": report.budget,
        "budget_met": None if report.budget is None else int(report.budget.is_met),
    }


def _runtime_details(runs: RuntimeRuns) -> dict[str, Any]:
    return {
        "name": runs.name,
        "text": runs.text,
        "warm_up": {
            "load_ms": 1000 * runs.load_s,
            "first_step_ms": 1000 * runs.first_step_s,
            "first_window_ms": None if runs.first_window_s is None else 1000 * runs.first_window_s,
            "steps": runs.warm_up_steps,
        },
        "hops": {
            hop: {pace: _hop_details(hop_runs) for pace, hop_runs in paces.items()}
            for hop, paces in runs.hops.items()
        },
        "comparison": runs.comparison,
        "clips": {batch: timing(calls_s) for batch, calls_s in runs.clips_s.items()},
        "no_windows": runs.no_windows,
        "drift": runs.drift,
        "throttling": runs.warnings,
    }


def _hop_details(runs: HopRuns) -> dict[str, Any]:
    stages = {stage: timing(spent_s) for stage, spent_s in runs.spent_s.items()}
    return {"stages": stages, "use": runs.use}


def show(report: LatencyReport, console: Console) -> None:
    """Print the tables and the lines around them."""
    for runs in report.runtimes:
        _show_runtime(report, runs, console)
    for passed_over in report.passed_over:
        say(console, f"Not measured: {passed_over.name}: {passed_over.reason}")
    for sentence in report.delay.sentences():
        say(console, sentence)
    say(
        console,
        f"The resampler from {SOURCE_RATE / 1000:g} kHz holds back up to {report.resampler_delay_ms:.0f} ms more, "
        f"a block takes {1000 * BLOCK_S:.0f} ms to fill, and device and computing add theirs.",
    )
    console.print(_delay_table(report.delay))
    if report.budget is not None:
        say(console, report.budget.sentence)
    say(console, report.machine.text)


def _show_runtime(report: LatencyReport, runs: RuntimeRuns, console: Console) -> None:
    say(console, f"{report.bundle} on {runs.name}: {runs.text}")
    window = "" if runs.first_window_s is None else f", first window {1000 * runs.first_window_s:.1f} ms"
    say(
        console,
        f"Warm-up, in no other figure: load {1000 * runs.load_s:.0f} ms, first live step "
        f"{1000 * runs.first_step_s:.1f} ms{window}; {runs.warm_up_steps} steps, and {WARM_UP_RUNS} of each kind.",
    )
    console.print(_step_table(runs), _stage_table(runs))
    if runs.comparison:
        console.print(_comparison_table(runs, report.window_frames), _clip_table(runs))
    if runs.no_windows:
        say(console, f"No whole windows: {runs.no_windows}")
    told = f"Slowed down: {'; '.join(runs.warnings)}." if runs.warnings else "No slowing down was noticed."
    drift = "" if runs.drift is None else f" Last quarter of the hot steps by the first: {runs.drift:.2f}."
    say(console, f"{told}{drift}")


def _step_table(runs: RuntimeRuns) -> Table:
    gpu = any(each.use.gpu for paces in runs.hops.values() for each in paces.values())
    columns = [
        "live step, sound to news",
        "runs",
        *PERCENTILES,
        "core",
        "memory MiB",
        *(["GPU"] if gpu else []),
    ]
    table = Table(*columns)
    for hop, paces in runs.hops.items():
        for pace, hop_runs in paces.items():
            whole, use = timing(hop_runs.spent_s[WHOLE]), hop_runs.use
            cells = [f"{hop * FRAME_S:g} s, {pace}", str(whole.count), *whole.cells()]
            cells += [f"{use.cpu_share:.0%}", f"{use.most_resident_mib:.0f}"]
            table.add_row(*cells, *([_gpu_text(use.gpu[-1])] if use.gpu else []))
    return table


def _gpu_text(reading: GpuReading) -> str:
    parts = ((reading.sm_clock_mhz, "MHz"), (reading.temperature_c, "°C"), (reading.power_w, "W"))
    return ", ".join(f"{value:.0f} {unit}" for value, unit in parts if value is not None)


def _stage_table(runs: RuntimeRuns) -> Table:
    table = Table(f"stages of a step of {runs.main_hop} frames", "runs", *PERCENTILES)
    for pace, hop_runs in runs.hops[runs.main_hop].items():
        for stage in (*STAGES, WHOLE, LAST_BLOCK):
            _add_timing(table, f"{stage}, {pace}", timing(hop_runs.spent_s[stage]))
        table.add_section()
    return table


def _add_timing(table: Table, name: str, timed: Timing, *more: str) -> None:
    table.add_row(name, str(timed.count), *timed.cells(), *more)


def _comparison_table(runs: RuntimeRuns, window_frames: int) -> Table:
    table = Table("step's graph against window", "runs", *PERCENTILES, "median ratio")
    for name, pair in runs.comparison.items():
        _add_timing(table, f"live step, {name}", pair.step, "1")
        _add_timing(
            table, f"window of {window_frames} frames, {name}", pair.window, f"{pair.ratio_of_medians:.2f}"
        )
    return table


def _clip_table(runs: RuntimeRuns) -> Table:
    table = Table("clips in one call", "calls", *PERCENTILES, "p50 ms a clip")
    for batch, calls_s in runs.clips_s.items():
        timed = timing(calls_s)
        _add_timing(table, str(batch), timed, f"{timed.p50_ms / batch:.2f}")
    return table


def _delay_table(delay: AlgorithmicDelay) -> Table:
    table = Table(
        "delay from onset",
        "half median ms",
        "least length ms",
        "provisional ms: mean (range)",
        "confirmed ms: mean (range)",
    )
    for label in delay.labels:
        spans = (label.provisional.text, label.confirmed.text)
        table.add_row(label.event_label, f"{label.half_median_ms:.0f}", f"{label.min_on_ms:.0f}", *spans)
    return table
