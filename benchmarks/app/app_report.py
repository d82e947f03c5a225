"""The figures of `sedge bench-app`, and how they are printed."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.report import Figure, Machine, Timing, say, spread_figure
from edge_app.core.delay import AlgorithmicDelay
from edge_app.stream.stamps import Delay


@dataclass(frozen=True, slots=True)
class Lateness:
    """From the onset of a sound to its mark on the screen, over a number of events; seconds."""

    count: int
    p50_s: float
    p95_s: float
    most_s: float
    computed_most_s: float
    """The most that the settings make, over the labels of these events."""
    beyond_p95_s: float
    """95th percentile of what came on top of the most that the settings make for the event's own label."""


@dataclass(frozen=True, slots=True)
class AppReport:
    """All figures of one run."""

    bundle: str
    graph_sha256: str
    members: int
    runtime: str
    hop_frames: int
    seconds: float
    platform: str
    """Qt's: what the window was painted on."""
    start_s: list[float]
    """From the start of the process to the first paint of the window, each time."""
    share_of_a_core: dict[str, float]
    """By thread."""
    share_of_a_core_whole: float
    paint: Timing
    loop: Timing
    """From one turn of the event loop to the next, which a timer of 2 ms asks for."""
    first_mark: Lateness | None
    """To the first mark of an event, be it a guess or the provisional event."""
    confirmed: Lateness | None
    delays: list[Delay]
    real_time_factor: float
    overflows: int
    not_analysed_s: float
    memory_mib: tuple[float, float] | None
    """Resident after the warm-up and at the end; None where the system does not say."""
    delay: AlgorithmicDelay
    machine: Machine


def lateness(delays: Sequence[Delay], state: str, computed: AlgorithmicDelay) -> Lateness | None:
    """Figures of one kind of mark; None where there was none. A first mark is due when the scores are final."""
    most_s = {
        label.event_label: (computed.scored if state == "provisional" else label.confirmed).most_ms / 1000
        for label in computed.labels
    }
    chosen = [delay for delay in delays if delay.state == state]
    if not chosen:
        return None
    seconds = np.array([delay.seconds for delay in chosen])
    own_s = np.array([most_s[delay.event_label] for delay in chosen])
    p50_s, p95_s = (float(value) for value in np.percentile(seconds, (50, 95)))
    beyond_s = float(np.percentile(seconds - own_s, 95))
    return Lateness(len(chosen), p50_s, p95_s, float(seconds.max()), float(own_s.max()), beyond_s)


def figures_of(report: AppReport) -> Iterator[Figure]:
    """What runs of the app are compared by."""
    if report.start_s:
        yield spread_figure("start to a painted window", "s", "lower", report.start_s)
    yield Figure("share of a core / whole process", "%", "lower", 100 * report.share_of_a_core_whole)
    for name, share in report.share_of_a_core.items():
        yield Figure(f"share of a core / thread {name}", "%", "lower", 100 * share)
    yield from report.paint.tail_figures("painting the timeline")
    yield from report.loop.tail_figures("turn of the event loop")
    for name, late in (("first mark", report.first_mark), ("confirmed", report.confirmed)):
        if late is not None:
            for of, seconds in (("p50", late.p50_s), ("p95", late.p95_s)):
                yield Figure(f"onset to screen / {name} / {of}", "s", "lower", seconds, count=late.count)
    yield Figure("not analysed", "s", "lower", report.not_analysed_s)
    if report.memory_mib is not None:
        yield Figure("resident memory at the end", "MiB", "lower", report.memory_mib[1])


def show(report: AppReport, console: Console) -> None:
    """Print the tables and the lines around them."""
    say(
        console,
        f"{report.bundle} (K = {report.members}): {report.runtime}, hop of {report.hop_frames} frames, "
        f"{report.seconds:g} s of sound, painted on {report.platform}",
    )
    if report.start_s:
        times = ", ".join(f"{start_s:.2f}" for start_s in report.start_s)
        say(
            console,
            f"Start to a painted window: {statistics.median(report.start_s):.2f} s (median of {times})",
        )
    console.print(_share_table(report), _time_table(report), _lateness_table(report))
    if report.memory_mib is not None:
        before, after = report.memory_mib
        say(console, f"Resident memory: {before:.0f} MiB after the warm-up, {after:.0f} MiB at the end.")
    say(
        console,
        f"Real-time factor {report.real_time_factor:.3f}, {report.overflows} overflows, "
        f"{report.not_analysed_s:.2f} s not analysed.",
    )
    for sentence in report.delay.sentences():
        say(console, sentence)
    say(console, report.machine.text)


def _share_table(report: AppReport) -> Table:
    table = Table("thread", "share of one core")
    for name, share in report.share_of_a_core.items():
        table.add_row("GUI (MainThread)" if name == "MainThread" else name, f"{share:.1%}")
    table.add_section()
    table.add_row("whole process", f"{report.share_of_a_core_whole:.1%}")
    return table


def _time_table(report: AppReport) -> Table:
    table = Table("event loop", "count", "p50 ms", "p95 ms", "p99 ms", "longest ms")
    table.add_row("painting the timeline", str(report.paint.count), *report.paint.cells())
    table.add_row("from turn to turn", str(report.loop.count), *report.loop.cells())
    return table


def _lateness_table(report: AppReport) -> Table:
    table = Table(
        "onset to screen",
        "events",
        "p50 s",
        "p95 s",
        "most s",
        "computed most s",
        "p95 beyond own label's most s",
    )
    for name, late in (("first mark (guess or event)", report.first_mark), ("confirmed", report.confirmed)):
        if late is None:
            table.add_row(name, "0", *["–"] * 5)
            continue
        figures = (late.p50_s, late.p95_s, late.most_s, late.computed_most_s, late.beyond_p95_s)
        table.add_row(name, str(late.count), *[f"{value:.2f}" for value in figures])
    return table
