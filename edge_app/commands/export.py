"""`sedge export`: sessions of the store as tables for other programs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.formats.export_files import Written, write_export
from edge_app.formats.registry import EVENT_FORMATS
from edge_app.store.database import Store
from edge_app.store.export import export_events
from edge_app.store.places import database_path

FormatName = Literal["desed", "csv", "json", "audacity", "raven", "rttm", "jsonl", "parquet", "frame-scores"]
_SHOWN = 10  # sessions that a message lists


@dataclass(frozen=True)
class ExportArgs:
    """Write what `sedge listen --store` or the app has kept as a table.

    What could not be heard is in the table where its format has a place for it, and else beside it in
    FILE's name with .not_analysed.tsv; marks so with .marks.tsv. Exit status: 0 done, 1 damaged store, 2 wrong use.
    """

    session: Annotated[int | None, tyro.conf.Positional, tyro.conf.arg(metavar="SESSION")] = None
    """Number of the session; without it and without --all, the sessions are listed."""
    all: bool = False
    """Every session: in one table, or for formats of one recording a file in a file each, named after it."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="DB")] = None
    """The file in which they are kept; without it, the app's own."""
    format: FormatName = "csv"
    """desed: DESED's table of events. audacity: a label track. raven: a selection table. frame-scores: the score of
    every label in every frame, zeros where nothing was heard, of sessions whose scores were kept. json: everything but
    these. parquet: typed columns (`pip install pyarrow`)."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File to write."""


def main(argv: list[str]) -> int:
    """Run `sedge export`. Raises SedgeError for wrong use, a damaged store, and a file that cannot be written."""
    args = tyro.cli(ExportArgs, args=argv, prog="sedge export", config=(tyro.conf.FlagCreatePairsOff,))
    path = database_path() if args.store is None else args.store
    if not path.is_file():
        raise SedgeError(f"{path}: expected a store of sessions, found no file")
    with Store(path) as store:
        if (args.session is None) == (not args.all):
            raise SedgeError(
                f"expected a session or --all, found {'both' if args.all else 'none'}; {_listed(store)}"
            )
        if args.out is None:
            raise SedgeError("--out: expected a file to write, found none")
        if args.out.resolve() == path.resolve():
            raise SedgeError(
                f"--out: {args.out}: expected another file than the store, found the store itself"
            )
        export = export_events(store, None if args.session is None else [args.session])
        written = write_export(args.out, args.format, export)
    print(f"sedge: {_told(args.format, written, len(export.durations))}", file=sys.stderr)
    return EXIT_DONE


def _told(format_name: str, written: Written, n_sessions: int) -> str:
    """What was written, in words."""
    first = written.files[0]
    place = (
        str(first) if len(written.files) == 1 else f"{first} and {len(written.files) - 1} more, one a session"
    )
    if format_name not in EVENT_FORMATS:
        without = f"; {written.n_without} have no scores" if written.n_without else ""
        return f"{place}: {written.n_frames} frames of {_sessions(n_sessions - written.n_without)}{without}"
    left_out = f"; {written.n_left_out} left out, as {format_name} has no place for them"
    left_out = left_out if written.n_left_out else ""
    return f"{place}: {written.n_events} events of {_sessions(n_sessions)}{left_out}"


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count} sessions"


def _listed(store: Store) -> str:
    """The newest sessions in words."""
    sessions = store.sessions()
    if not sessions:
        return f"{store.path} has no sessions yet"
    shown = [f"{one.id} ({one.started_at:%Y-%m-%d %H:%M} UTC, {one.source})" for one in sessions[:_SHOWN]]
    more = f" and {len(sessions) - _SHOWN} older ones" if len(sessions) > _SHOWN else ""
    return f"{store.path} has {', '.join(shown)}{more}"
