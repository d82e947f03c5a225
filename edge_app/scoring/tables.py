"""The tables of events of a run, in every format asked for; all of them grow at once as results pass by."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import astuple, dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import DURATION_HEADER, EVENT_HEADER, duration_row, event_rows
from edge_app.formats.exchange import Export
from edge_app.formats.registry import SUFFIXES, WRITERS, open_table
from edge_app.formats.spool import waiting_file
from edge_app.formats.whole_file import encoded, whole_file
from edge_app.scoring.build_export import export_of
from edge_app.scoring.facts import DetectorFacts
from edge_app.scoring.journal_tables import Result
from edge_app.scoring.recordings import score_names

CHUNK = 500
"""Recordings whose events are held at once."""
LABELS_FOLDER = "labels"
_SELF_CONTAINED = (
    "json",
    "parquet",
)  # these say what the events were found with; the others have summary.json

Take = Callable[[Sequence[Result], Export], int]
"""Takes a chunk of results, and the same as an export; gives how many events it had to leave out."""


@dataclass
class Written:
    """What is to be told after writing, one line each."""

    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """Tables that could not be written, and why."""


def write_tables(
    out: Path, formats: Sequence[str], results: Iterable[Result], facts: DetectorFacts
) -> Written:
    """Write durations.tsv and a table for each format; one that cannot be written costs none of the others.

    Results are passed through once, in chunks, and not held.
    """
    with ExitStack() as stack:
        tables = [_Table("durations", _rows(out / "durations.tsv", DURATION_HEADER, _duration_rows))]
        tables += [_Table(name, _opened(out, name, facts)) for name in dict.fromkeys(formats)]
        for table in tables:
            stack.enter_context(table)
        for chunk in _chunks(results):
            export = export_of(chunk, facts)
            for table in tables:
                table.write(chunk, export)
    return Written(
        [
            f"{one.name}: {one.left_out} events left out, which it cannot hold"
            for one in tables
            if one.left_out
        ],
        [one.error for one in tables if one.error],
    )


class _Table:
    """A table on its way; what goes wrong with it is kept, and it takes no more from then on."""

    def __init__(self, name: str, opened: AbstractContextManager[Take]) -> None:
        self.name, self.left_out, self.error = name, 0, ""
        self._opened = opened
        self._take: Take | None = None

    def __enter__(self) -> Self:
        try:
            self._take = self._opened.__enter__()
        except SedgeError as error:
            self.error = str(error)
        return self

    def write(self, results: Sequence[Result], export: Export) -> None:
        """Append a chunk of results."""
        if self._take is None:
            return
        try:
            self.left_out += self._take(results, export)
        except (SedgeError, OSError) as error:  # a full disk is the latter, until the file is left
            self._give_up(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._take is None:
            return
        try:
            self._opened.__exit__(kind, error, trace)
        except SedgeError as failure:
            self.error = str(failure)

    def _give_up(self, error: Exception) -> None:
        self.error, self._take = str(error), None
        try:
            self._opened.__exit__(type(error), error, error.__traceback__)
        except SedgeError as failure:
            self.error = str(failure)


def _opened(out: Path, name: str, facts: DetectorFacts) -> AbstractContextManager[Take]:
    """A format's table in the folder of a run."""
    if name == "desed":  # its durations have a name of their own here
        return _rows(out / "events.tsv", EVENT_HEADER, _event_rows)
    if name == "audacity":
        return _label_tracks(out / LABELS_FOLDER, facts)
    return _exchange(name, out / f"events{SUFFIXES[name]}", facts)


@contextmanager
def _exchange(name: str, path: Path, facts: DetectorFacts) -> Iterator[Take]:
    with open_table(name, path, facts.about() if name in _SELF_CONTAINED else None) as table:
        yield lambda _results, export: table.write(export)


@contextmanager
def _rows(path: Path, header: str, rows: Callable[[Result], Iterable[str]]) -> Iterator[Take]:
    """A table of plain rows."""
    with whole_file(path) as handle:
        handle.write(header.encode())

        def take(results: Sequence[Result], _export: Export) -> int:
            handle.write(encoded(path, "".join(row for result in results for row in rows(result))))
            return 0

        yield take


def _duration_rows(result: Result) -> Iterable[str]:
    return [duration_row(result.filename, result.duration_s)]


def _event_rows(result: Result) -> Iterable[str]:
    return event_rows(result.filename, result.events)


@contextmanager
def _label_tracks(folder: Path, facts: DetectorFacts) -> Iterator[Take]:
    """A label track for each recording, written at the end: only then it is known which names are alike."""
    _make(folder)
    filenames: list[str] = []
    errors: list[str] = []
    with waiting_file(folder / "track") as waiting:

        def take(results: Sequence[Result], _export: Export) -> int:
            filenames.extend(result.filename for result in results)
            waiting.writelines(map(_line_of, results))
            return 0

        yield take
        names = score_names(filenames)
        waiting.seek(0)
        for line in waiting:
            errors += _write_track(folder, _result_of(line), facts, names)
    if errors:
        more = f" (and {len(errors) - 1} more label tracks)" if errors[1:] else ""
        raise SedgeError(f"{errors[0]}{more}")


def _line_of(result: Result) -> bytes:
    events = [astuple(event) for event in result.events]
    return json.dumps([result.filename, str(result.path), result.duration_s, events]).encode() + b"\n"


def _result_of(line: bytes) -> Result:
    filename, path, duration_s, events = json.loads(line)
    return Result(filename, Path(path), duration_s, tuple(Event(*event) for event in events))


def _write_track(folder: Path, result: Result, facts: DetectorFacts, names: Mapping[str, str]) -> list[str]:
    """Write the track of a recording; what was wrong, if it could not be written."""
    path = folder / f"{names[result.filename].removesuffix('.tsv')}{SUFFIXES['audacity']}"
    try:
        _make(path.parent)
        WRITERS["audacity"](path, replace(export_of([result], facts), about={}))
    except SedgeError as error:
        return [str(error)]
    return []


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SedgeError(f"{folder}: expected a folder, found: {error.strerror}") from error


def _chunks(results: Iterable[Result]) -> Iterator[list[Result]]:
    left = iter(results)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
