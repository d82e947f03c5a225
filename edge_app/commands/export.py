"""`sedge export`: sessions of the store as tables for other programs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.core.events import FRAME_S
from edge_app.formats.frame_scores import write_stretches
from edge_app.formats.registry import WRITERS
from edge_app.store.database import Store
from edge_app.store.export import export_events
from edge_app.store.places import database_path

FormatName = Literal["desed", "csv", "json", "audacity", "raven", "rttm", "jsonl", "frame-scores"]
_SHOWN = 10  # sessions that a message lists


@dataclass(frozen=True)
class ExportArgs:
    """Write what `sedge listen --store` or the app has kept as a table.

    What could not be heard is in the table where its format has a place for it, and else beside it in
    FILE's name with .not_analysed.tsv. Exit status: 0 done, 1 damaged store, 2 wrong use.
    """

    session: Annotated[int | None, tyro.conf.Positional, tyro.conf.arg(metavar="SESSION")] = None
    """Number of the session; without it and without --all, the sessions are listed."""
    all: bool = False
    """Every session in one table."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="DB")] = None
    """The file in which they are kept; without it, the app's own."""
    format: FormatName = "csv"
    """desed: DESED's table of events. audacity: a label track. raven: a selection table. frame-scores: the score of
    every label in every frame, zeros where nothing was heard; one session, if its scores were kept."""
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
        if args.format == "frame-scores":
            told = _write_scores(store, args.session, args.out)
        else:
            told = _write_events(store, args.session, args.format, args.out)
    print(f"sedge: {told}", file=sys.stderr)
    return EXIT_DONE


def _write_events(store: Store, session: int | None, format_name: str, out: Path) -> str:
    """Write events of one session or all, and say how many."""
    export = export_events(store, None if session is None else [session])
    left_out = WRITERS[format_name](out, export)
    words = f"; {left_out} left out, as {format_name} has no place for them" if left_out else ""
    return f"{out}: {len(export.events) - left_out} events of {len(export.durations)} sessions{words}"


def _write_scores(store: Store, session: int | None, out: Path) -> str:
    """Write the frame scores of one session, and say how many frames."""
    if session is None:
        raise SedgeError("--format frame-scores: expected one session, found --all")
    gaps = export_events(store, [session]).gaps
    blocks = store.score_blocks(session)
    labels = {block.event_labels for block in blocks}
    if len(labels) != 1:
        raise SedgeError(f"session {session}: expected scores of one set of labels, found {len(labels)} sets")
    [record] = store.sessions([session])
    n_frames = max(record.end_sample // round(FRAME_S * record.sample_rate), blocks[-1].end_frame)
    write_stretches(
        out, labels.pop(), ((block.first_frame, block.as_float()) for block in blocks), n_frames, gaps
    )
    return f"{out}: {n_frames} frames of session {session}"


def _listed(store: Store) -> str:
    """The newest sessions in words."""
    sessions = store.sessions()
    if not sessions:
        return f"{store.path} has no sessions yet"
    shown = [f"{one.id} ({one.started_at:%Y-%m-%d %H:%M} UTC, {one.source})" for one in sessions[:_SHOWN]]
    more = f" and {len(sessions) - _SHOWN} older ones" if len(sessions) > _SHOWN else ""
    return f"{store.path} has {', '.join(shown)}{more}"
