"""`sedge bench-latency`: what a live hop costs on every runtime, stage by stage, and the delay of the settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from benchmarks.latency.delay import resampler_delay_ms
from benchmarks.latency.latency_report import Budget, LatencyReport, details, figures, show
from benchmarks.latency.live_path import WHOLE
from benchmarks.latency.runtime_runs import (
    PACED,
    SOURCE_RATE,
    RunSettings,
    RuntimeRuns,
    measure_all,
    measure_runtime,
    open_one,
)
from benchmarks.report import (
    bundle_setting,
    check_positive,
    report_console,
    this_machine,
    timing,
    write_result,
)
from edge_app.core.bundle import BundleManifest, load_bundle
from edge_app.core.delay import algorithmic_delay
from edge_app.core.errors import EXIT_DONE, EXIT_SOME_FAILED, SedgeError
from edge_app.core.runtimes import FASTER_THAN_CPU, RUNTIME_NAMES, PassedOver, RuntimeName
from edge_app.stream.driver import BLOCK_S

DESCRIPTION = """Time the live step from 44.1 kHz sound to news of events, stage by stage, at every hop that the model
allows and on every runtime that runs here; those that do not are named with the reason. Then, at the first hop, the
step against recomputing the whole window that tags are pooled over, by turns, so that whatever else the machine does
hits both; and whole clips, several in one call. Hot runs go back to back; paced ones wait for the next moment as live
ones do, while caches and clock speed cool. All of it on the bundled soundscape, with the delay that the settings make.

Processor time, memory, and a GPU's clocks and temperature are read before and after each run, and never set. It says
so where equal steps became slower, a clock fell, a GPU was held back, or a virtual machine's host was busy.

Exit code 0 means done, 1 that --budget-ms was missed, 2 wrong use, 3 no usable model or runtime."""


@dataclass(frozen=True)
class BenchLatency:
    """Arguments of `sedge bench-latency`."""

    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to measure; without it, the one that comes with the program."""
    runtime: Literal["all", "cpu", "cuda", "onnx-tensorrt", "tensorrt"] = "all"
    """What runs the model: every one that runs here, or the one of that name."""
    hop_frames: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N")] = ()
    """Frames of 20 ms of a live step, one or several; without it, all that the model allows, its own first."""
    seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 60.0
    """Seconds of sound for the hot runs of each hop."""
    paced_seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 20.0
    """Seconds that each of the paced runs lasts: one for each hop, and one against the window."""
    most_batch: Annotated[int, tyro.conf.arg(metavar="N")] = 4
    """Most clips in one call: 1, 2, 4 and so on up to it."""
    clip_calls: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Calls of each number of clips."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    budget_ms: Annotated[float | None, tyro.conf.arg(metavar="MS")] = None
    """Most that the whole live step may take, paced, at the 95th percentile, at the first hop, on the runtime that the
    program would choose here; exit code 1 where it takes longer."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON as well."""


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-latency`; 1 for a missed budget. Raises SedgeError for wrong use and for an unusable model."""
    args = tyro.cli(BenchLatency, args=list(argv), prog="sedge bench-latency", description=DESCRIPTION)
    report, _ = measure(args)
    show(report, report_console())
    return EXIT_DONE if report.budget is None or report.budget.is_met else EXIT_SOME_FAILED


def measure(args: BenchLatency) -> tuple[LatencyReport, dict[str, Any]]:
    """Run everything, and write the result where `--json` says; the report, and the result as plain values."""
    check_args(args)
    manifest = load_bundle(args.bundle).manifest
    settings = run_settings(args, manifest)
    report = _report(args, manifest, settings)
    result = write_result(
        args.json,
        "latency",
        report.machine,
        {
            "threads": args.threads,
            "bundle": bundle_setting(manifest.name, manifest.graph.sha256),
            "runtimes": [runs.name for runs in report.runtimes],
            "hops_frames": settings.hops,
            "seconds": args.seconds,
            "paced_seconds": args.paced_seconds,
        },
        figures(report),
        details(report),
    )
    return report, result


def check_args(args: BenchLatency) -> None:
    """Raise SedgeError for what cannot be meant."""
    options = {
        "seconds": args.seconds,
        "paced-seconds": args.paced_seconds,
        "most-batch": args.most_batch,
        "clip-calls": args.clip_calls,
        "threads": args.threads,
    }
    check_positive(options | ({} if args.budget_ms is None else {"budget-ms": args.budget_ms}))
    if len(set(args.hop_frames)) < len(args.hop_frames):
        raise SedgeError(f"--hop-frames: expected each once, found {list(args.hop_frames)}")


def run_settings(args: BenchLatency, manifest: BundleManifest) -> RunSettings:
    """How much is run. Raises SedgeError for a hop that the model does not allow."""
    allowed, default = manifest.hop_frames.allowed, manifest.hop_frames.default
    hops = args.hop_frames or (default, *(hop for hop in allowed if hop != default))
    for hop in hops:
        if hop not in allowed:
            raise SedgeError(f"hop: expected one of {list(allowed)} frames, found {hop}")
    return RunSettings(hops, args.seconds, args.paced_seconds, args.most_batch, args.clip_calls, args.threads)


def _measured(args: BenchLatency, settings: RunSettings) -> tuple[list[RuntimeRuns], list[PassedOver]]:
    if args.runtime != "all":
        return [measure_runtime(open_one(args.bundle, args.runtime, args.threads), settings)], []
    return measure_all(args.bundle, RUNTIME_NAMES, settings)


def _report(args: BenchLatency, manifest: BundleManifest, settings: RunSettings) -> LatencyReport:
    runtimes, passed_over = _measured(args, settings)
    return LatencyReport(
        bundle=manifest.name,
        window_frames=manifest.tag_window_frames,
        runtimes=runtimes,
        passed_over=passed_over,
        delay=algorithmic_delay(manifest, settings.hops[0]),
        resampler_delay_ms=resampler_delay_ms(SOURCE_RATE, manifest.log_mel.sample_rate, BLOCK_S),
        machine=this_machine(args.threads),
        budget=None if args.budget_ms is None else budget_of(runtimes, args.budget_ms),
    )


def budget_of(runtimes: Sequence[RuntimeRuns], budget_ms: float) -> Budget:
    """What a budget is held against: the fastest runtime in the order in which the program chooses one."""
    order: tuple[RuntimeName, ...] = (*FASTER_THAN_CPU, "cpu", *get_args(RuntimeName))
    runs = min(runtimes, key=lambda each: order.index(each.name))
    spent = timing(runs.hops[runs.main_hop][PACED].spent_s[WHOLE])
    return Budget(runs.name, runs.main_hop, budget_ms, spent.p95_ms, spent.count)
