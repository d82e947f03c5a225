"""`sedge bench`: every benchmark in short form, and one file of results for this machine."""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.comparing.demo_clips import write_demo_clips
from benchmarks.comparing.parts import PARTS, REPOSITORY, Part, run_part
from benchmarks.report import (
    Result,
    check_positive,
    machine_key,
    read_results,
    this_machine,
    write_results,
)
from edge_app.core.bundle import load_bundle
from edge_app.core.errors import EXIT_DONE, EXIT_SOME_FAILED, SedgeError

RESULTS = REPOSITORY / "benchmarks" / "results"
NAMES = tuple(part.benchmark for part in PARTS)

DESCRIPTION = f"""Run every benchmark in short form, about five minutes in all on two cores: {", ".join(NAMES)}. The
results go into one file for this machine, benchmarks/results/MACHINE.json, each as soon as it is there, so that Ctrl-C
loses only the benchmark that runs; results of benchmarks that are not run now stay in it. `sedge bench-report` makes a
page of it, `sedge bench-compare` compares it with another.

Accuracy and peers run on {PARTS[-1].on}.

Exit code 0 means done, 1 that a benchmark failed, 2 wrong use, 3 no usable model, 130 interrupted."""


@dataclass(frozen=True)
class Bench:
    """Arguments of `sedge bench`."""

    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="|".join(NAMES))] = NAMES
    """Benchmarks to run."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to measure; without it, the one that comes with the program."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the results; without it, the file of this machine."""


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench`; 1 where a benchmark failed. Raises SedgeError for wrong use and an unusable model or file."""
    args = tyro.cli(Bench, args=list(argv), prog="sedge bench", description=DESCRIPTION)
    check_args(args)
    out = args.out or RESULTS / f"{machine_key(this_machine(args.threads))}.json"
    load_bundle(args.bundle)
    _make_folder(out.parent)
    known = read_results(out) if out.is_file() else []
    begin = time.monotonic()
    found: list[Result] = []

    def keep(result: Result) -> None:
        found.append(result)
        write_results(out, merged(known, found))

    try:
        errors = run_parts(args, PARTS, keep)
    finally:  # also where it is interrupted
        if found:
            names = ", ".join(result.benchmark for result in found)
            print(f"{out}: {names}, measured in {time.monotonic() - begin:.0f} s", flush=True)
    for error in errors:
        print(f"sedge: not measured: {error}", file=sys.stderr)
    return EXIT_SOME_FAILED if errors else EXIT_DONE


def check_args(args: Bench) -> None:
    """Raise SedgeError for what cannot be meant."""
    check_positive({"threads": args.threads})
    for name in args.only:
        if name not in NAMES:
            raise SedgeError(f"--only: expected some of {', '.join(NAMES)}, found {name!r}")
    if not args.only:
        raise SedgeError(f"--only: expected some of {', '.join(NAMES)}, found none")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SedgeError(f"{folder}: expected a folder to write into, found: {error.strerror}") from error


def run_parts(args: Bench, parts: Sequence[Part], keep: Callable[[Result], None]) -> list[str]:
    """Run the parts that were asked for, one after the other, and keep each result at once; what went wrong."""
    errors = []
    with tempfile.TemporaryDirectory(prefix="sedge-") as name:
        folder = Path(name)
        write_demo_clips(folder / "clips")
        for part in parts:
            if part.benchmark not in args.only:
                continue
            print(f"\n== {part.benchmark}: {' '.join(part.words)}, on {part.on}", flush=True)
            try:
                result = run_part(part, folder / "clips", args.bundle, args.threads, folder)
            except SedgeError as error:
                errors.append(str(error))
            else:
                keep(result)
    return errors


def merged(known: Sequence[Result], found: Sequence[Result]) -> list[Result]:
    """Results found now in place of known ones of the same benchmarks, in the order of the parts."""
    by_name = {result.benchmark: result for result in (*known, *found)}
    order = [*NAMES, *(name for name in by_name if name not in NAMES)]
    return [by_name[name] for name in order if name in by_name]
