"""`sedge export-check`."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

from edge_app.commands.demo import RECORDING
from edge_app.core.runtimes import RUNTIME_NAMES, RuntimeName

if TYPE_CHECKING:
    from export.checking.report import CheckReport

MIB = 2**20
NARROWEST = 120  # columns that the widest table needs, where there is no terminal to ask

DESCRIPTION = """Compare what every runtime here computes of a bundle with what it must give: the clip that is stored
in it and, with --checkpoints, the torch models that it was exported from, output by output; the events that it hears
in recordings, live and clip by clip; and the most memory it takes. Ends with exit code 1 where anything differs by
more than the bundle's precision allows, and with 3 where a runtime that was named is not to be had."""


@dataclass(frozen=True)
class ExportCheck:
    """Arguments of `sedge export-check`."""

    bundle: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="BUNDLE")] = None
    """Folder of the bundle to check; without it, the one that comes with the program."""
    runtime: Annotated[tuple[RuntimeName, ...], tyro.conf.arg(metavar="|".join(RUNTIME_NAMES))] = ()
    """Runtimes to check; one that is not to be had is an error. Without it, all that are."""
    checkpoints: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN ...")] = ()
    """Folders of runs that hold the checkpoints of the bundle, to compare with the torch models as well."""
    recordings: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="PATH ...")] = (RECORDING,)
    """Recordings, or folders of them, to compare events on."""
    engines: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of compiled engines; by default the one that `sedge export-tensorrt` writes to."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write all that was found as JSON as well."""


def main(argv: Sequence[str]) -> int:
    """`sedge export-check`; returns 0, 1 where something differs, 3 where a named runtime is missing."""
    args = tyro.cli(ExportCheck, args=list(argv), prog="sedge export-check", description=DESCRIPTION)
    from edge_app.core.bundle import load_bundle
    from edge_app.core.errors import EXIT_DONE, EXIT_NO_DEVICE_OR_MODEL, EXIT_SOME_FAILED
    from edge_app.formats.whole_file import write_whole
    from edge_app.store.places import engine_folder
    from export.checking.check import check
    from export.checking.torch_runtime import rebuild

    bundle = load_bundle(args.bundle)
    reference = rebuild(bundle, args.checkpoints) if args.checkpoints else None
    recordings = _recordings(args.recordings)
    report = check(bundle, args.runtime, recordings, args.engines or engine_folder(), reference, _progress)
    _show(report)
    if args.json:
        whole = {**dataclasses.asdict(report), "passed": report.passed}
        write_whole(args.json, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    if not report.passed:
        return EXIT_SOME_FAILED
    return EXIT_NO_DEVICE_OR_MODEL if report.missing else EXIT_DONE


def _recordings(places: Sequence[Path]) -> list[Path]:
    from edge_app.core.errors import SedgeError
    from edge_app.scoring.recordings import collect

    found = collect(places)
    for folder, reason in found.failures.items():
        raise SedgeError(f"{folder}: expected a readable folder, found: {reason}")
    if not found.recordings:
        raise SedgeError("--recordings: expected recordings to compare events on, found none")
    return list(found.recordings.values())


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show(report: "CheckReport") -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, NARROWEST))
    _say(console, f"{report.bundle}, {report.precision}")
    for name, text in report.opened.items():
        _say(console, f"  {name}: {text}")
    for other in report.passed_over:
        _say(
            console, f"  {other.name}: {'NOT TO BE HAD' if report.missing else 'not at hand'}: {other.reason}"
        )
    for name, text in report.failures.items():
        _say(console, f"  {name}: FAILED: {text}")
    for text in report.not_taken:
        _say(console, f"  not compared: {text}")
    tables = {
        _difference_table: report.differences,
        _agreement_table: report.agreements,
        _memory_table: report.memory,
    }
    for make, rows in tables.items():
        if rows:
            console.print(make(report))
    for row in report.agreements:
        for text in row.unexcused:
            _say(console, f"  {row.runtime}, {row.context}: DIFFERS: {text}")
    _say(console, _verdict(report))


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _difference_table(report: "CheckReport") -> Table:
    table = Table("runtime", "against", "output", "worst", "allowed", "where (counted from 0)", "")
    for row in report.differences:
        figures = (f"{row.value:.1e}", f"{row.tolerance:.0e}", row.where)
        table.add_row(row.runtime, row.reference, row.output, *figures, _mark(row.passed))
    return table


def _agreement_table(report: "CheckReport") -> Table:
    table = Table(
        "runtime",
        "against",
        "context",
        "recordings",
        "worst score",
        "events",
        "same",
        "excused",
        "differ",
        "",
    )
    for row in report.agreements:
        counts = (row.expected, row.same, len(row.excused), len(row.unexcused))
        figures = (str(row.recordings), f"{row.worst_score:.1e}", *map(str, counts))
        table.add_row(row.runtime, row.reference, row.context, *figures, _mark(row.passed))
    return table


def _memory_table(report: "CheckReport") -> Table:
    table = Table("runtime", "peak MiB", "of it before the runtime was opened", "")
    for row in report.memory:
        peak = row.peak
        figures = (
            (f"{peak.peak_bytes / MIB:.1f}", f"{peak.loaded_bytes / MIB:.1f}") if peak else (row.error, "")
        )
        table.add_row(row.runtime, *figures, _mark(row.passed))
    return table


def _mark(passed: bool) -> str:
    return "ok" if passed else "FAILED"


def _verdict(report: "CheckReport") -> str:
    n_failed = sum(not row.passed for row in report.rows) + len(report.failures)
    said = f"{n_failed} of {len(report.rows)} comparisons failed" if n_failed else "all of it agrees"
    lacking = ", ".join(other.name for other in report.missing)
    return (said if report.opened else "nothing was compared") + (
        f"; not to be had: {lacking}" if lacking else ""
    )
