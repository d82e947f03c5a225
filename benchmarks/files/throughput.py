"""`sedge bench-throughput`: how many times faster than real time files are scored and a stream is heard."""

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.recording import write_long_recording
from benchmarks.report import Machine, check_positive, report_console, say, this_machine, write_report
from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import EXIT_DONE
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.stream.engine import Engine
from edge_app.stream.messages import EventNews
from edge_app.stream.sources import FileSource

DESCRIPTION = """Measure the real-time factor (working time by duration of sound) of `sedge score`, in both contexts,
and of `sedge listen --no-realtime`, on one core: the median of several repeats, by turns. The sound is the bundled
soundscape, looped, as one 16 kHz mono FLAC file; decoding it counts, loading the model does not."""


@dataclass(frozen=True)
class BenchThroughput:
    """Arguments of `sedge bench-throughput`."""

    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to measure; without it, the one that comes with the program."""
    seconds_of_audio: Annotated[float, tyro.conf.arg(metavar="S")] = 600.0
    """Length of the recording."""
    repeats: Annotated[int, tyro.conf.arg(metavar="N")] = 3
    """How often each way is run; the median counts."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use; they share the one core."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON as well."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """One way through the recording."""

    wall_s: tuple[float, ...]
    """Of each repeat."""
    real_time_factor: float
    """Of the median repeat."""
    times_real_time: float
    events: int
    """Found in the recording."""


@dataclass(frozen=True, slots=True)
class ThroughputReport:
    """All figures of one run."""

    bundle: str
    runtime: str
    audio_s: float
    core: int | None
    """The core that everything ran on; None where this system cannot say which."""
    ways: dict[str, Throughput]
    machine: Machine


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-throughput`; returns 0. Raises SedgeError for wrong use and for an unusable model."""
    args = tyro.cli(BenchThroughput, args=list(argv), prog="sedge bench-throughput", description=DESCRIPTION)
    check_positive(
        {"seconds-of-audio": args.seconds_of_audio, "repeats": args.repeats, "threads": args.threads}
    )
    load_bundle(args.bundle)  # what is wrong with it should be known before a long file is written
    # A process of its own, pinned before it starts: libraries ask at their start how many cores there are.
    with one_core() as core, ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        report = pool.submit(measure, args, core).result()
    write_report(args.json, report)
    show(report, report_console())
    return EXIT_DONE


@contextmanager
def one_core() -> Iterator[int | None]:
    """Keep this process, and those it starts, on one core, and give its number; None where this cannot be done."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    former = os.sched_getaffinity(0)
    core = max(former)  # the first core serves most interrupts
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, former)


def measure(args: BenchThroughput, core: int | None) -> ThroughputReport:
    """Write the recording and go through it, each way as often as asked for, by turns."""
    bundle = load_bundle(args.bundle)
    runtime = OnnxRuntime(bundle, args.threads)
    clip, live = Detector(bundle, runtime, "clip"), Detector(bundle, runtime, "live")
    wall_s: dict[str, list[float]] = {}
    events: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="sedge-") as folder:
        path = Path(folder) / "recording.flac"
        write_long_recording(path, args.seconds_of_audio)
        ways: dict[str, Callable[[], int]] = {
            "score, context clip": lambda: _score(clip, path),
            "score, context live": lambda: _score(live, path),
            "listen": lambda: _listen(live, path),
        }
        for repeat in range(args.repeats):
            for name, run in ways.items():
                _progress(f"{name}, run {repeat + 1} of {args.repeats}")
                begin = time.perf_counter()
                events[name] = run()
                wall_s.setdefault(name, []).append(time.perf_counter() - begin)
    return ThroughputReport(
        bundle=bundle.manifest.name,
        runtime=runtime.name,
        audio_s=args.seconds_of_audio,
        core=core,
        ways={name: throughput(wall_s[name], args.seconds_of_audio, events[name]) for name in ways},
        machine=this_machine(args.threads),
    )


def throughput(wall_s: Sequence[float], audio_s: float, events: int) -> Throughput:
    """Figures of several runs of `wall_s` seconds each over `audio_s` seconds of sound."""
    factor = median(wall_s) / audio_s
    return Throughput(tuple(wall_s), factor, 1 / factor, events)


def _score(detector: Detector, path: Path) -> int:
    # The command follows the frame scores to show how far it is, so this does too.
    return len(detector.detect_file(path, lambda *_: None).events)


def _listen(detector: Detector, path: Path) -> int:
    with Engine(FileSource(path), detector) as engine:
        return sum(isinstance(news, EventNews) and news.type == "closed" for news in engine)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def show(report: ThroughputReport, console: Console) -> None:
    """Print the table and the lines around it."""
    say(console, f"{report.bundle}: {report.runtime}")
    where = "pinned to one core" if report.core is not None else "NOT pinned to one core (this system cannot)"
    say(console, f"{report.audio_s:g} s of sound, 16 kHz mono FLAC; {where}; the model's loading left out")
    table = Table("", "runs", "median s", "real-time factor", "x times real time", "least - most s", "events")
    for name, figures in report.ways.items():
        table.add_row(
            name,
            str(len(figures.wall_s)),
            f"{median(figures.wall_s):.2f}",
            f"{figures.real_time_factor:.4f}",
            f"{figures.times_real_time:.1f}",
            f"{min(figures.wall_s):.2f} - {max(figures.wall_s):.2f}",
            str(figures.events),
        )
    console.print(table)
    say(console, report.machine.text)
