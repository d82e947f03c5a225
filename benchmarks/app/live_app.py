"""`sedge bench-app`: what the desktop app costs and how late it is, measured in its own window on real sound."""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from benchmarks.app.app_report import AppReport, figures_of, lateness, show
from benchmarks.recording import write_long_recording
from benchmarks.report import (
    bundle_setting,
    check_positive,
    report_console,
    this_machine,
    timing,
    write_result,
)
from edge_app.commands.app import AppArgs, check_installation, setup_of
from edge_app.commands.detector import RuntimeOption
from edge_app.core.bundle import BundleManifest
from edge_app.core.delay import algorithmic_delay
from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.stream.quiet import quiet_libraries

if TYPE_CHECKING:
    from benchmarks.app.app_session import Observed

REPOSITORY = Path(__file__).resolve().parents[2]
WARM_UP_S = 2.0
START_TIMEOUT_S = 120.0
MIB = 2**20
OFFSCREEN = "offscreen"

DESCRIPTION = """Open the window of `sedge app`, play the bundled soundscape, looped, in real time, and measure the
processor time by thread, painting, how long the event loop stood still, the delay from a sound to its marks on the
screen beside the delay that the settings alone make, memory, and, in processes of their own, how long the program
takes to a painted window. History and settings are temporary. Painted offscreen by software, unless --display is
given."""


@dataclass(frozen=True)
class BenchApp:
    """Arguments of `sedge bench-app`."""

    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to measure; without it, the one that comes with the program."""
    hop_frames: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Frames of 20 ms of a live step; without it, the model's own."""
    runtime: RuntimeOption | None = None
    """What runs the model; without it, as the app chooses."""
    seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 60.0
    """Seconds of sound, the first two of which count for the delays only."""
    starts: Annotated[int, tyro.conf.arg(metavar="N")] = 3
    """How often the program is started to time it; 0: not at all."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    display: bool = False
    """Open the window on the display instead of offscreen."""
    screenshot: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Where to save a picture of the window at the end."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON as well."""


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-app`; returns 0. Raises SedgeError for wrong use, no model, and where PyQt6 is missing."""
    args = tyro.cli(BenchApp, args=list(argv), prog="sedge bench-app", description=DESCRIPTION)
    check_args(args)
    check_installation()
    quiet_libraries()
    report = measure(args)
    settings = {
        "bundle": bundle_setting(report.bundle, report.graph_sha256),
        "runtime": report.runtime,
        "hop_frames": report.hop_frames,
        "seconds": args.seconds,
        "threads": args.threads,
        "platform": report.platform,
    }
    write_result(args.json, "app", report.machine, settings, figures_of(report), report)
    show(report, report_console())
    return EXIT_DONE


def check_args(args: BenchApp) -> None:
    """Raise SedgeError for what cannot be meant."""
    check_positive({"seconds": args.seconds, "threads": args.threads})
    if args.seconds <= WARM_UP_S:
        raise SedgeError(
            f"--seconds: expected more than the warm-up of {WARM_UP_S:g} s, found {args.seconds}"
        )
    if args.starts < 0:
        raise SedgeError(f"--starts: expected 0 or more, found {args.starts}")


def measure(args: BenchApp) -> AppReport:
    """Start the program a few times, then watch it. Raises SedgeError where it cannot be."""
    from edge_app.views.display import check_display

    if args.display:
        check_display()
    else:
        os.environ["QT_QPA_PLATFORM"] = OFFSCREEN
    with tempfile.TemporaryDirectory() as folder:
        start_s = [seconds_to_window(args, Path(folder)) for _ in range(args.starts)]
        recording = Path(folder) / "soundscape.flac"
        write_long_recording(recording, args.seconds)
        app_args = dataclasses.replace(_app_args(args, Path(folder)), source=str(recording), theme="dark")
        setup = dataclasses.replace(setup_of(app_args), asks_to_close=False)
        from benchmarks.app.app_session import watch_app

        observed = watch_app(setup, WARM_UP_S, args.screenshot)
    return report_of(args, setup.manifest, observed, start_s)


def seconds_to_window(args: BenchApp, folder: Path) -> float:
    """From the start of the program to its first painted window. Raises SedgeError where it does not come."""
    app_args = _app_args(args, folder)
    options = ["--settings", str(app_args.settings), "--store", str(app_args.store)]
    options += ["--bundle", str(args.bundle.resolve())] if args.bundle else []
    command = [sys.executable, "-m", "benchmarks.app.app_start", *options]
    begin_s = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=True
        )
        return float(done.stdout.split()[0]) - begin_s
    except (subprocess.SubprocessError, IndexError, ValueError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1:]
        raise SedgeError(f"bench-app: expected a window, found none: {' '.join(said)}") from error


def report_of(
    args: BenchApp, manifest: BundleManifest, observed: "Observed", start_s: list[float]
) -> AppReport:
    """The figures of what was seen. Raises SedgeError where nothing was."""
    summary = observed.summary
    if summary is None or not observed.paints_s or not observed.loops_s:
        raise SedgeError("bench-app: expected a window that paints, found that it painted nothing")
    delay = algorithmic_delay(manifest, summary.hop_frames)
    before, after = observed.memory_before, observed.memory_after
    return AppReport(
        bundle=manifest.name,
        graph_sha256=manifest.graph.sha256,
        members=len(manifest.members),
        runtime=summary.runtime,
        hop_frames=summary.hop_frames,
        seconds=args.seconds,
        platform=observed.platform,
        start_s=start_s,
        share_of_a_core=observed.shares,
        share_of_a_core_whole=observed.whole_share,
        paint=timing(observed.paints_s),
        loop=timing(observed.loops_s),
        first_mark=lateness(observed.delays, "provisional", delay),
        confirmed=lateness(observed.delays, "confirmed", delay),
        delays=list(observed.delays),
        real_time_factor=summary.real_time_factor,
        overflows=summary.overflows,
        not_analysed_s=observed.not_analysed_s,
        memory_mib=None if before is None or after is None else (before / MIB, after / MIB),
        delay=delay,
        machine=this_machine(args.threads),
    )


def _app_args(args: BenchApp, folder: Path) -> AppArgs:
    """The program's arguments, with a history and settings of their own."""
    return AppArgs(
        bundle=args.bundle,
        hop_frames=args.hop_frames,
        runtime=args.runtime,
        store=folder / "history.sqlite",
        threads=args.threads,
        settings=folder / "settings.json",
    )
