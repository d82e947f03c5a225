"""`sedge bench-memory`: the most memory that `score` and `listen` hold on long recordings."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.files import peak
from benchmarks.files.process_tree import watch
from benchmarks.recording import write_long_recording
from benchmarks.report import (
    Figure,
    Machine,
    bundle_setting,
    check_positive,
    progress,
    report_console,
    say,
    this_machine,
    write_result,
)
from edge_app.core.bundle import load_bundle
from edge_app.core.errors import EXIT_DONE, SedgeError

REPOSITORY = Path(__file__).resolve().parents[2]
MIB = 2**20

CommandName = Literal["score", "score-workers", "listen"]

DESCRIPTION = """Run `sedge score`, with one worker and with several, and `sedge listen --no-realtime` on short and on
long recordings, each as a process of its own, and print the most memory that was resident at any time, which should
not grow with the length: of the largest process, and of all processes together, looked at again and again, with the
pages that they share counted once. The recordings are the bundled soundscape, looped, as 16 kHz mono FLAC in a
temporary folder, as many as there are workers; two hours take 150 MB.

Exit code 0 means done, 2 wrong use or a command that failed, 3 no usable model."""


@dataclass(frozen=True)
class BenchMemory:
    """Arguments of `sedge bench-memory`."""

    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to measure; without it, the one that comes with the program."""
    hours: Annotated[float, tyro.conf.arg(metavar="H")] = 2.0
    """Length of the long recording."""
    minutes: Annotated[float | None, tyro.conf.arg(metavar="M")] = None
    """Length of the long recording in minutes, instead of --hours."""
    short_minutes: Annotated[float, tyro.conf.arg(metavar="M")] = 10.0
    """Length of the short recording."""
    commands: tuple[CommandName, ...] = ("score", "score-workers", "listen")
    """What is run."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 2
    """Workers of score-workers, each with a recording of its own."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON as well."""

    @property
    def long_s(self) -> float:
        """Length of the long recording in seconds."""
        return 3600 * self.hours if self.minutes is None else 60 * self.minutes

    @property
    def short_s(self) -> float:
        """Length of the short recording in seconds."""
        return 60 * self.short_minutes


@dataclass(frozen=True, slots=True)
class Run:
    """One command on recordings of one length."""

    audio_s: float
    """Length of each recording."""
    peak_bytes: int
    """Most memory that was resident at any time in the largest process, the libraries' own code included."""
    together_bytes: int
    """Most memory of all processes together at any look."""
    processes: int
    """The most of them at any look."""
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Growth:
    """One command on the short and on the long recordings."""

    short: Run
    long: Run
    growth_bytes: int
    """What the long recordings took more, in the largest process; below zero where they took less."""


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """All figures of one run."""

    bundle: dict[str, str]
    commands: dict[str, Growth]
    machine: Machine

    def figures(self) -> Iterator[Figure]:
        """What results are compared by."""
        for command, pair in self.commands.items():
            for length, run in (("short", pair.short), ("long", pair.long)):
                yield Figure(f"{command} / {length} / peak", "MiB", "lower", run.peak_bytes / MIB)
                yield Figure(f"{command} / {length} / together", "MiB", "lower", run.together_bytes / MIB)


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-memory`; returns 0. Raises SedgeError for wrong use, an unusable model and a failed command."""
    args = tyro.cli(BenchMemory, args=list(argv), prog="sedge bench-memory", description=DESCRIPTION)
    _check(args)
    report = measure(args)
    settings = {
        "bundle": report.bundle,
        "threads": args.threads,
        "workers": args.workers,
        "short_s": args.short_s,
        "long_s": args.long_s,
    }
    write_result(args.json, "memory", report.machine, settings, report.figures(), report.commands)
    show(report, report_console())
    return EXIT_DONE


def measure(args: BenchMemory) -> MemoryReport:
    """Write the recordings and run each command on each length."""
    manifest = load_bundle(args.bundle).manifest
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix="sedge-") as name:
        for length, audio_s in (("short", args.short_s), ("long", args.long_s)):
            folder = Path(name) / length
            _write_recordings(folder / "recordings", audio_s, args)
            for command, words in _commands(args, folder).items():
                progress(f"{command} on {audio_s / 60:g} minutes")
                runs.setdefault(command, []).append(run_sedge(words, audio_s, folder))
    commands = {command: growth(*pair) for command, pair in runs.items()}
    bundle = bundle_setting(manifest.name, manifest.graph.sha256)
    return MemoryReport(bundle, commands, this_machine(args.threads))


def growth(short: Run, long: Run) -> Growth:
    """Figures of one command on both lengths."""
    return Growth(short, long, long.peak_bytes - short.peak_bytes)


def _write_recordings(folder: Path, audio_s: float, args: BenchMemory) -> None:
    """One recording, and links to it for the other workers, so that a day of sound is on the disk once."""
    progress(f"writing {audio_s / 60:g} minutes of sound")
    folder.mkdir(parents=True)
    write_long_recording(folder / "0.flac", audio_s)
    if "score-workers" in args.commands:
        for number in range(1, args.workers):
            (folder / f"{number}.flac").hardlink_to(folder / "0.flac")


def _check(args: BenchMemory) -> None:
    check_positive({"short-minutes": args.short_minutes, "threads": args.threads, "workers": args.workers})
    check_positive({"hours": args.hours} if args.minutes is None else {"minutes": args.minutes})
    if args.long_s <= args.short_s:
        raise SedgeError(
            f"--short-minutes: expected less than the long recording's {args.long_s / 60:g}, "
            f"found {args.short_minutes:g}"
        )
    if not args.commands:
        raise SedgeError("--commands: expected some of score, score-workers, listen, found none")
    if not hasattr(os, "wait4"):
        raise SedgeError(
            f"bench-memory: expected Linux or macOS, which tell a process's peak, found {sys.platform}"
        )


def _commands(args: BenchMemory, folder: Path) -> dict[str, list[str]]:
    """Arguments of `sedge` by the name of the command, those that are asked for."""
    options = ["--threads", str(args.threads)]
    if args.bundle is not None:
        options += ["--bundle", str(args.bundle.resolve())]
    recordings = folder / "recordings"
    recording = str(recordings / "0.flac")
    several = ["--workers", str(args.workers)]
    words: dict[CommandName, tuple[str, list[str]]] = {
        "score": ("score", ["score", recording, "--out", str(folder / "one")]),
        "score-workers": (
            f"score --workers {args.workers}",
            ["score", str(recordings), "--out", str(folder / "several"), *several],
        ),
        "listen": ("listen --no-realtime", ["listen", "--source", recording, "--no-realtime"]),
    }
    chosen = [pair for name, pair in words.items() if name in args.commands]
    return {shown: [*arguments, *options] for shown, arguments in chosen}


def run_sedge(words: list[str], audio_s: float, folder: Path) -> Run:
    """Run `sedge` with some arguments on so much sound, measured, with notes in a folder.

    Raises SedgeError where it does not end well.
    """
    report, said = folder / "peak.json", folder / "said.txt"
    report.unlink(missing_ok=True)
    sedge = [sys.executable, "-m", "edge_app", *words]
    with (
        said.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            [sys.executable, "-S", peak.__file__, str(report), *sedge],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        seen = watch(process)
    figures = json.loads(report.read_text(encoding="utf-8")) if process.returncode == 0 else {}
    if (exit_code := figures.get("exit_code", process.returncode)) != EXIT_DONE:
        raise SedgeError(
            f"sedge {words[0]}: expected exit code {EXIT_DONE}, found {exit_code}: {_last_line(said)}"
        )
    together = max(seen.peak_bytes, figures["peak_bytes"])  # a look may come too late for a peak
    return Run(
        audio_s, figures["peak_bytes"], together, seen.peak_processes, figures["wall_s"], figures["cpu_s"]
    )


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return (lines or ["nothing said"])[-1]


def show(report: MemoryReport, console: Console) -> None:
    """Print the table and the lines around it."""
    say(
        console,
        f"{report.bundle['name']}; 16 kHz mono FLAC; most resident MiB, libraries included: "
        "of the largest process, and of all together",
    )
    table = Table(
        "", "short", "largest", "together", "long", "largest", "together", "growth MiB", "long run s"
    )
    for command, pair in report.commands.items():
        table.add_row(
            command,
            *_cells(pair.short),
            *_cells(pair.long),
            f"{pair.growth_bytes / MIB:+.1f}",
            f"{pair.long.wall_s:.0f}",
        )
    console.print(table)
    say(console, report.machine.text)


def _cells(run: Run) -> list[str]:
    return [f"{run.audio_s / 60:g} min", f"{run.peak_bytes / MIB:.1f}", f"{run.together_bytes / MIB:.1f}"]
