"""`sedge bench-latency`: what a live hop costs, beside recomputing the window, and the delay of the settings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.latency.contest import Comparison, Contest, compare, seconds_of
from benchmarks.latency.delay import resampler_delay_ms
from benchmarks.latency.live_path import LivePath, Pace, time_stages
from benchmarks.recording import soundscape
from benchmarks.report import (
    Machine,
    Timing,
    check_positive,
    report_console,
    say,
    this_machine,
    timing,
    write_report,
)
from edge_app.core.bundle import load_bundle
from edge_app.core.delay import AlgorithmicDelay, algorithmic_delay
from edge_app.core.detect import Detector
from edge_app.core.errors import EXIT_DONE
from edge_app.core.events import FRAME_S
from edge_app.core.logmel import log_mel
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.stream.driver import BLOCK_S

SOURCE_RATE = 44_100
WARM_UP_RUNS = 10
PERCENTILES = ("p50 ms", "p95 ms", "p99 ms", "max ms")

DESCRIPTION = """Time the live step, which feeds the model a hop with its context, against recomputing the whole window
that tags are pooled over, by turns, so that whatever else the machine does hits both; then every stage of the live
path from 44.1 kHz sound to news of events. Hot runs go back to back; paced ones wait for the next moment as live ones
do, while caches and clock speed cool. All of it on the bundled soundscape, with the delay that the settings make."""


@dataclass(frozen=True)
class BenchLatency:
    """Arguments of `sedge bench-latency`."""

    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to measure; without it, the one that comes with the program."""
    hop_frames: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Frames of 20 ms of a live step; without it, the model's own."""
    seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 60.0
    """Seconds of sound for the hot runs, one live step and one window for each hop in them."""
    paced_seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 20.0
    """Seconds that each of the two paced runs lasts, a call for each hop in them."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON as well."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What comes once, and is in no other figure; milliseconds."""

    load_ms: float
    """Reading and checking the bundle, and making the graph ready to run."""
    first_step_ms: float
    first_window_ms: float
    steps: int
    """Live steps that were run before the first one that counts: they fill the memory."""
    windows: int


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """All figures of one run."""

    bundle: str
    runtime: str
    hop_frames: int
    window_frames: int
    warm_up: WarmUp
    comparison: dict[str, Comparison]
    """By hot and paced."""
    stages: dict[str, dict[str, Timing]]
    """By hot and paced, then by stage."""
    delay: AlgorithmicDelay
    resampler_delay_ms: float
    machine: Machine


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-latency`; returns 0. Raises SedgeError for wrong use and for an unusable model."""
    args = tyro.cli(BenchLatency, args=list(argv), prog="sedge bench-latency", description=DESCRIPTION)
    check_positive({"seconds": args.seconds, "paced-seconds": args.paced_seconds, "threads": args.threads})
    report = measure(args)
    write_report(args.json, report)
    show(report, report_console())
    return EXIT_DONE


def measure(args: BenchLatency) -> LatencyReport:
    """Load the bundle and run everything."""
    load_s, detector = seconds_of(lambda: _load(args))
    manifest, hop_s = detector.bundle.manifest, detector.hop_frames * FRAME_S
    contest = Contest(detector, log_mel(soundscape(manifest.log_mel.sample_rate), manifest.log_mel))
    warm_up = _warm_up(contest, load_s, math.ceil(contest.window_frames / detector.hop_frames))
    n_hops, n_paced = max(1, round(args.seconds / hop_s)), max(1, round(args.paced_seconds / hop_s))
    return LatencyReport(
        bundle=manifest.name,
        runtime=detector.runtime.name,
        hop_frames=detector.hop_frames,
        window_frames=contest.window_frames,
        warm_up=warm_up,
        comparison={
            "hot": compare(contest, n_hops),
            "paced": compare(contest, math.ceil(n_paced / 2), Pace(hop_s)),
        },
        stages={
            "hot": _stages(detector, n_hops, None),
            "paced": _stages(detector, n_paced, Pace(min(BLOCK_S, hop_s))),
        },
        delay=algorithmic_delay(manifest, detector.hop_frames),
        resampler_delay_ms=resampler_delay_ms(SOURCE_RATE, manifest.log_mel.sample_rate, BLOCK_S),
        machine=this_machine(args.threads),
    )


def _load(args: BenchLatency) -> Detector:
    bundle = load_bundle(args.bundle)
    return Detector(bundle, OnnxRuntime(bundle, args.threads), "live", args.hop_frames)


def _warm_up(contest: Contest, load_s: float, n_steps: int) -> WarmUp:
    """Fill the memory, and run windows as well."""
    steps_s = [contest.step_s() for _ in range(n_steps)]
    windows_s = [contest.window_s() for _ in range(WARM_UP_RUNS)]
    return WarmUp(1000 * load_s, 1000 * steps_s[0], 1000 * windows_s[0], n_steps, WARM_UP_RUNS)


def _stages(detector: Detector, n_hops: int, pace: Pace | None) -> dict[str, Timing]:
    path = LivePath(detector, SOURCE_RATE)
    block = round(min(BLOCK_S, detector.hop_frames * FRAME_S) * SOURCE_RATE)
    spent_s = time_stages(path, soundscape(SOURCE_RATE), block, n_hops, WARM_UP_RUNS, pace)
    return {stage: timing(durations_s) for stage, durations_s in spent_s.items()}


def show(report: LatencyReport, console: Console) -> None:
    """Print the tables and the lines around them."""
    warm_up = report.warm_up
    say(console, f"{report.bundle}: {report.runtime}, hop of {report.hop_frames} frames")
    say(
        console,
        f"Warm-up, in no other figure: load {warm_up.load_ms:.0f} ms, first live step {warm_up.first_step_ms:.1f} ms, "
        f"first window {warm_up.first_window_ms:.1f} ms; {warm_up.steps} steps and {warm_up.windows} windows.",
    )
    console.print(_comparison_table(report), _stage_table(report))
    for sentence in report.delay.sentences():
        say(console, sentence)
    say(
        console,
        f"The resampler from {SOURCE_RATE / 1000:g} kHz holds back up to {report.resampler_delay_ms:.0f} ms more, "
        f"a block takes {1000 * BLOCK_S:.0f} ms to fill, and device and computing add theirs.",
    )
    console.print(_delay_table(report.delay))
    say(console, report.machine.text)


def _comparison_table(report: LatencyReport) -> Table:
    table = Table("live step against window", "runs", *PERCENTILES, "median ratio")
    for name, pair in report.comparison.items():
        table.add_row(f"live step, {name}", str(pair.step.count), *pair.step.cells(), "1")
        window = f"window of {report.window_frames} frames, {name}"
        table.add_row(window, str(pair.window.count), *pair.window.cells(), f"{pair.ratio_of_medians:.2f}")
    return table


def _stage_table(report: LatencyReport) -> Table:
    table = Table("live path, per hop", "runs", *PERCENTILES)
    for name, stages in report.stages.items():
        for stage, figures in stages.items():
            table.add_row(f"{stage}, {name}", str(figures.count), *figures.cells())
        table.add_section()
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
