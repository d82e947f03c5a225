"""`sedge bench-memory`: the most memory that `score` and `listen` hold on long recordings."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.files import peak
from benchmarks.recording import write_long_recording
from benchmarks.report import Machine, check_positive, report_console, say, this_machine, write_report
from edge_app.core.bundle import load_bundle
from edge_app.core.errors import EXIT_DONE, SedgeError

REPOSITORY = Path(__file__).resolve().parent.parent
MIB = 2**20

DESCRIPTION = """Run `sedge score` and `sedge listen --no-realtime` on a short and on a long recording, each as a
process of its own, and print the most memory that was resident at any time, which should not grow with the length.
The recordings are the bundled soundscape, looped, as 16 kHz mono FLAC in a temporary folder; two hours take 150 MB."""


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
    """One command on one recording."""

    audio_s: float
    peak_bytes: int
    """Most memory that was resident at any time, the libraries' own code included."""
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Growth:
    """One command on the short and on the long recording."""

    short: Run
    long: Run
    growth_bytes: int
    """What the long recording took more; below zero where it took less."""


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """All figures of one run."""

    bundle: str
    commands: dict[str, Growth]
    machine: Machine


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-memory`; returns 0. Raises SedgeError for wrong use, an unusable model and a failed command."""
    args = tyro.cli(BenchMemory, args=list(argv), prog="sedge bench-memory", description=DESCRIPTION)
    _check(args)
    report = measure(args)
    write_report(args.json, report)
    show(report, report_console())
    return EXIT_DONE


def measure(args: BenchMemory) -> MemoryReport:
    """Write both recordings and run each command on each."""
    bundle = load_bundle(args.bundle)
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix="sedge-") as name:
        folder = Path(name)
        recording = folder / "recording.flac"
        for audio_s in (args.short_s, args.long_s):
            _progress(f"writing {audio_s / 60:g} minutes of sound")
            write_long_recording(recording, audio_s)
            for command, words in _commands(args, recording, folder).items():
                _progress(f"{command} on {audio_s / 60:g} minutes")
                runs.setdefault(command, []).append(run_sedge(words, audio_s, folder))
    commands = {command: growth(*pair) for command, pair in runs.items()}
    return MemoryReport(bundle.manifest.name, commands, this_machine(args.threads))


def growth(short: Run, long: Run) -> Growth:
    """Figures of one command on both recordings."""
    return Growth(short, long, long.peak_bytes - short.peak_bytes)


def _check(args: BenchMemory) -> None:
    check_positive({"short-minutes": args.short_minutes, "threads": args.threads})
    check_positive({"hours": args.hours} if args.minutes is None else {"minutes": args.minutes})
    if args.long_s <= args.short_s:
        raise SedgeError(
            f"--short-minutes: expected less than the long recording's {args.long_s / 60:g}, "
            f"found {args.short_minutes:g}"
        )
    if not hasattr(os, "wait4"):
        raise SedgeError(
            f"bench-memory: expected Linux or macOS, which tell a process's peak, found {sys.platform}"
        )


def _commands(args: BenchMemory, recording: Path, folder: Path) -> dict[str, list[str]]:
    options = ["--threads", str(args.threads)]
    if args.bundle is not None:
        options += ["--bundle", str(args.bundle.resolve())]
    return {
        "score": ["score", str(recording), "--out", str(folder / "results"), *options],
        "listen --no-realtime": ["listen", "--source", str(recording), "--no-realtime", *options],
    }


def run_sedge(words: list[str], audio_s: float, folder: Path) -> Run:
    """Run `sedge` with some arguments on so much sound, measured, with notes in a folder.

    Raises SedgeError where it does not end well.
    """
    report = folder / "peak.json"
    sedge = [sys.executable, "-m", "edge_app", *words]
    result = subprocess.run(
        [sys.executable, "-S", peak.__file__, str(report), *sedge],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    figures = json.loads(report.read_text(encoding="utf-8")) if result.returncode == 0 else {}
    if (exit_code := figures.get("exit_code")) != EXIT_DONE:
        said = (result.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise SedgeError(f"sedge {words[0]}: expected exit code {EXIT_DONE}, found {exit_code}: {said}")
    return Run(audio_s, figures["peak_bytes"], figures["wall_s"], figures["cpu_s"])


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def show(report: MemoryReport, console: Console) -> None:
    """Print the table and the lines around it."""
    say(console, f"{report.bundle}; 16 kHz mono FLAC; peak resident memory, libraries included")
    table = Table("", "short", "peak MiB", "long", "peak MiB", "growth MiB", "long run s")
    for command, pair in report.commands.items():
        table.add_row(
            command,
            f"{pair.short.audio_s / 60:g} min",
            f"{pair.short.peak_bytes / MIB:.1f}",
            f"{pair.long.audio_s / 60:g} min",
            f"{pair.long.peak_bytes / MIB:.1f}",
            f"{pair.growth_bytes / MIB:+.1f}",
            f"{pair.long.wall_s:.0f}",
        )
    console.print(table)
    say(console, report.machine.text)
