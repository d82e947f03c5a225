"""The figures of `sedge bench-live`: as results keep them, and how they are printed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.live.listening import TOLD, Heard
from benchmarks.live.onsets import PARTS, Matches, OnsetLatency, computing_s, histogram, latencies
from benchmarks.machine_watch import MachineUse
from benchmarks.report import LEAST_FOR_P95, NOT_KNOWN, Figure, Machine, Timing, say, spread_figure, timing
from edge_app.core.delay import AlgorithmicDelay
from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S, Event
from edge_app.stream.messages import Summary

BIN_S = 0.1


@dataclass(frozen=True, slots=True)
class LiveRun:
    """One run beside so many busy processes."""

    load: int
    matches: Matches
    hop_work: Timing
    """From a hop's last block to its scores."""
    late_hops: int
    """Hops whose scores took longer than a hop to come."""
    hops: int
    summary: Summary
    use: MachineUse

    def of(self, state: str) -> list[OnsetLatency]:
        """The latencies to one kind of news."""
        return [latency for latency in self.matches.latencies if latency.state == state]


@dataclass(frozen=True, slots=True)
class LiveReport:
    """All figures of one run of the benchmark."""

    bundle: str
    source: str
    """What was played, and through what, in words."""
    duration_s: float
    runtime: str
    hop_frames: int
    runs: list[LiveRun]
    delay: AlgorithmicDelay
    machine: Machine


def live_run(
    load: int,
    annotated: Sequence[Event],
    heard: Heard,
    sample_rate: int,
    use: MachineUse,
    first_sample: int = 0,
) -> LiveRun:
    """The figures of what was heard of a recording that began at `first_sample`. SedgeError: nothing was scored."""
    summary = heard.summary
    if summary is None or not heard.hops:
        raise SedgeError("bench-live: expected sound that is scored, found none")
    work_s = [hop.scored_s - hop.arrived_s for hop in heard.hops]
    hop_s = summary.hop_frames * FRAME_S
    return LiveRun(
        load=load,
        matches=latencies(annotated, heard, sample_rate, first_sample),
        hop_work=timing(work_s),
        late_hops=sum(each_s > hop_s for each_s in work_s),
        hops=len(work_s),
        summary=summary,
        use=use,
    )


def figures(report: LiveReport) -> Iterator[Figure]:
    """What results are compared by."""
    for run in report.runs:
        where = f"load {run.load}"
        for state in TOLD:
            found = run.of(state)
            if not found:
                continue
            yield _milliseconds(f"{where} / {state} / onset to news", [each.seconds for each in found])
            computing = [computing_s(each.parts_s) for each in found]
            yield _milliseconds(f"{where} / {state} / computing", computing)
            for part in PARTS:
                yield _milliseconds(f"{where} / {state} / {part}", [each.parts_s[part] for each in found])
        yield Figure(f"{where} / onsets found", "", "higher", run.matches.matched)
        yield Figure(f"{where} / late steps", "", "lower", run.late_hops, count=run.hops)
        yield Figure(f"{where} / not analysed", "s", "lower", not_analysed_s(run.summary))
        yield Figure(f"{where} / share of a core", "%", "lower", 100 * run.use.cpu_share)


def _milliseconds(name: str, seconds: Sequence[float]) -> Figure:
    return spread_figure(name, "ms", "lower", [1000 * each for each in seconds])


def not_analysed_s(summary: Summary) -> float:
    """Seconds of sound that were skipped or never came."""
    return (summary.samples_not_analysed + summary.samples_gap) / summary.sample_rate


def details(report: LiveReport) -> dict[str, Any]:
    """All of it, with histograms."""
    return {
        "bundle": report.bundle,
        "source": report.source,
        "runtime": report.runtime,
        "delay": report.delay,
        "parts": PARTS,
        "runs": [_run_details(run) for run in report.runs],
    }


def _run_details(run: LiveRun) -> dict[str, Any]:
    return {
        "load": run.load,
        "onsets": run.matches.annotated,
        "matched": run.matches.matched,
        "others": run.matches.others,
        "histogram_bin_s": BIN_S,
        "histogram": {state: histogram([each.seconds for each in run.of(state)], BIN_S) for state in TOLD},
        "latencies": run.matches.latencies,
        "step_work": run.hop_work,
        "late_steps": run.late_hops,
        "steps": run.hops,
        "real_time_factor": run.summary.real_time_factor,
        "max_lag_s": run.summary.max_lag_s,
        "overflows": run.summary.overflows,
        "not_analysed_s": not_analysed_s(run.summary),
        "use": run.use,
        "throttling": run.use.warnings(),
    }


def show(report: LiveReport, console: Console) -> None:
    """Print the tables and the lines around them."""
    say(
        console,
        f"{report.bundle}: {report.runtime}, hop of {report.hop_frames} frames; "
        f"{report.duration_s:.0f} s of {report.source}",
    )
    for run in report.runs:
        _show_run(run, console)
    for sentence in report.delay.sentences():
        say(console, sentence)
    say(console, report.machine.text)


def _show_run(run: LiveRun, console: Console) -> None:
    matches, summary = run.matches, run.summary
    others = f", {matches.others} events at no onset" if matches.others else ""
    say(
        console,
        f"Beside {run.load} busy processes: {matches.matched} of {matches.annotated} onsets found{others}.",
    )
    console.print(_latency_table(run))
    if matches.latencies:
        console.print(_histogram_table(run))
    work = ", ".join(
        f"{name} {cell}"
        for name, cell in zip(("p50", "p95", "p99", "max"), run.hop_work.cells(), strict=True)
    )
    say(
        console,
        f"From the last block of a step to its scores, ms: {work}; {run.late_hops} of {run.hops} steps took longer "
        f"than their hop. Real-time factor {summary.real_time_factor:.3f}, most sound that waited "
        f"{summary.max_lag_s:.2f} s, {summary.overflows} overflows, {not_analysed_s(summary):.2f} s not analysed.",
    )
    use = run.use
    warnings = f" Slowed down: {'; '.join(use.warnings())}." if use.warnings() else ""
    say(console, f"{use.cpu_share:.0%} of one core, {use.most_resident_mib:.0f} MiB resident.{warnings}")


def _latency_table(run: LiveRun) -> Table:
    columns = [f"{state[:4]}. {name}" for state in TOLD for name in ("p50", "p95", "max")]
    table = Table("onset to news, ms", *columns)
    table.add_row("whole", *_cells(run, lambda each: each.seconds))
    for part in PARTS:
        table.add_row(f"  {part}", *_cells(run, partial(_part_s, part)))
    table.add_row("computing, all of it", *_cells(run, lambda each: computing_s(each.parts_s)))
    return table


def _part_s(part: str, latency: OnsetLatency) -> float:
    return latency.parts_s[part]


def _cells(run: LiveRun, seconds_of: Callable[[OnsetLatency], float]) -> list[str]:
    cells = []
    for state in TOLD:
        found = run.of(state)
        values_ms = [1000 * seconds_of(each) for each in found]
        p50, p95, most = np.percentile(values_ms, (50, 95, 100)) if found else (None, None, None)
        shown = (p50, p95 if len(found) >= LEAST_FOR_P95 else None, most)
        cells += [NOT_KNOWN if each is None else f"{each:.1f}" for each in shown]
    return cells


def _histogram_table(run: LiveRun) -> Table:
    table = Table("from onset, s", *TOLD, box=None, pad_edge=False)
    counts = [histogram([each.seconds for each in run.of(state)], BIN_S) for state in TOLD]
    for begin in histogram([each.seconds for each in run.matches.latencies], BIN_S):
        table.add_row(begin, *["#" * each.get(begin, 0) for each in counts])
    return table
