"""What `sedge bench-throughput` prints."""

from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.files.arguments import BenchThroughput
from benchmarks.files.one_core import BASELINE, OneCore
from benchmarks.files.scaling import Scaling
from benchmarks.files.stages import STAGES
from benchmarks.files.ways import Throughput
from benchmarks.files.worker_runs import WorkerRun
from benchmarks.report import Machine, say


def show(
    single: OneCore, scaling: Scaling, machine: Machine, args: BenchThroughput, console: Console
) -> None:
    """Print the tables and the lines around them."""
    for name, runs in single.models.items():
        say(console, f"{name}: {runs}")
    where = "pinned to one core" if single.core is not None else "NOT pinned to one core (this system cannot)"
    say(
        console,
        f"{args.audio_s:g} s of sound, 16 kHz mono FLAC, as one file unless said otherwise; {where}; "
        f"the model's loading left out; medians of {args.repeats} run(s)",
    )
    console.print(_ways_table(single))
    console.print(_stages_table(single, args))
    say(
        console,
        f"Workers: {args.n_worker_files} files of {args.file_seconds:g} s through the first model, threads of each: "
        f"{args.threads}; from the first recording's begin to the last result, and in brackets all of it.",
    )
    console.print(_workers_table(scaling))
    for line in notes(scaling):
        say(console, line)
    say(console, machine.text)


def _ways_table(single: OneCore) -> Table:
    table = Table(
        *(
            "one core",
            "real-time factor",
            "x real time",
            "hours/s",
            "median s (range)",
            "x baseline",
            "events",
        )
    )
    for model in single.models:
        table.add_section()
        table.add_row(model, style="bold")
        for name, figures in single.ways.items():
            owner, _, way = name.partition(" / ")
            if owner == model:
                baseline = single.ways.get(f"{BASELINE} / {way}")
                events = "" if model == BASELINE else str(figures.events)
                table.add_row(f"  {way}", *_way_cells(figures), _by_baseline(figures, baseline), events)
    return table


def _way_cells(figures: Throughput) -> list[str]:
    return [
        f"{figures.real_time_factor:.4f}",
        f"{figures.times_real_time:.1f}",
        f"{figures.hours_per_s:.4f}",
        f"{median(figures.wall_s):.2f} ({min(figures.wall_s):.2f} - {max(figures.wall_s):.2f})",
    ]


def _by_baseline(figures: Throughput, baseline: Throughput | None) -> str:
    return "" if baseline is None else f"{figures.times_faster_than(baseline):.2f}"


def _stages_table(single: OneCore, args: BenchThroughput) -> Table:
    title = f"where the time of {args.n_files} files of {args.file_seconds:g} s at 44.1 kHz goes"
    table = Table(title, "s an hour of sound", "share %")
    whole_s = median(times.whole_s / times.audio_s for times in single.stages)
    for stage in STAGES:
        _stage_row(table, stage, [times.stages[stage] / times.audio_s for times in single.stages], whole_s)
    _stage_row(table, "other", [times.other_s / times.audio_s for times in single.stages], whole_s)
    table.add_section()
    _stage_row(table, "whole", [times.whole_s / times.audio_s for times in single.stages], whole_s)
    return table


def _stage_row(table: Table, name: str, spent: Sequence[float], whole: float) -> None:
    """A row of seconds a second of sound."""
    table.add_row(name, f"{3600 * median(spent):.2f}", f"{100 * median(spent) / whole:.1f}")


def _workers_table(scaling: Scaling) -> Table:
    table = Table(
        *("", "median s", "x real time", "hours/s", "x one worker", "of the ideal %", "workers busy %")
    )
    for count, runs in scaling.workers.items():
        gain = median(scaling.speed_ups(count))
        extra = (f"{gain:.2f}", f"{100 * gain / count:.0f}")
        table.add_row(
            f"{count} worker{'s' if count > 1 else ''}, journal", *_cells(scaling, runs), *extra, _busy(runs)
        )
    others = {f"{scaling.most} workers, no journal": scaling.without_journal, "Ray, no journal": scaling.ray}
    for name, runs in others.items():
        if runs:
            table.add_row(name, *_cells(scaling, runs), "", "", _busy(runs))
    return table


def _cells(scaling: Scaling, runs: Sequence[WorkerRun]) -> list[str]:
    steady_s, wall_s = median(run.steady_s for run in runs), median(run.wall_s for run in runs)
    speed = median(scaling.times_real_time(runs))
    return [f"{steady_s:.2f} ({wall_s:.2f})", f"{speed:.1f}", f"{speed / 3600:.4f}"]


def _busy(runs: Sequence[WorkerRun]) -> str:
    return f"{100 * median(run.busy_share for run in runs):.0f}"


def notes(scaling: Scaling) -> list[str]:
    """What the journal costs, and a Ray cluster if one was measured."""
    longer = scaling.journal_overheads()
    lines = [
        f"Journal: {100 * median(scaling.journal_shares()):.2f} % of the run with {scaling.most} worker(s) is spent on "
        f"it; with it {_percents(longer)} longer than without."
    ]
    if scaling.ray:
        lines.append(
            f"Ray: {_percents(scaling.ray_overheads())} longer than as many workers of this machine."
        )
    return lines


def _percents(shares: Sequence[float]) -> str:
    """The median, and what it ranges over."""
    text = f"{100 * median(shares):+.1f} %"
    return text if len(shares) == 1 else f"{text} ({100 * min(shares):+.1f} to {100 * max(shares):+.1f})"
