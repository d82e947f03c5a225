"""Tables of events and of durations in the form of DESED: TAB-separated, times in seconds.

Names with tabs, line breaks or backslashes are written escaped (`\\t`, `\\n`, `\\r`, `\\\\`), so that every
table stays one row a line. Reading also takes comma-separated tables and ones with further columns.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.whole_file import write_whole

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")
DURATION_COLUMNS = ("filename", "duration")

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {written: character for character, written in _ESCAPES.items()}


def escape(name: str) -> str:
    """A name as it stands in a table: without tabs and line breaks."""
    return re.sub(r"[\\\t\n\r]", lambda match: _ESCAPES[match[0]], name)


def unescape(name: str) -> str:
    """The name that `escape` was given; other backslashes stay."""
    return re.sub(r"\\[\\tnr]", lambda match: _UNESCAPES[match[0]], name)


def write_events(path: str | Path, by_file: Mapping[str, Sequence[Event]]) -> None:
    """Write the events of files, sorted by onset, then label; a file without events has a row of its own."""
    rows = ["\t".join(EVENT_COLUMNS)]
    for filename, events in by_file.items():
        name = escape(filename)
        if not events:
            rows.append(f"{name}\t\t\t")
        rows += [
            f"{name}\t{event.onset:.3f}\t{event.offset:.3f}\t{escape(event.event_label)}"
            for event in sorted(events, key=_order)
        ]
    write_whole(path, "\n".join(rows) + "\n")


def read_events(path: str | Path, instants: bool = False) -> dict[str, list[Event]]:
    """Events by file, in the table's order of files, sorted by onset, then label.

    Raises SedgeError, naming the row, for a missing column, a bad number or an event without length;
    with `instants`, events of no length are kept (systems that write frame centres have them).
    """
    by_file: dict[str, list[Event]] = {}
    for where, row in _rows(path, EVENT_COLUMNS):
        events = by_file.setdefault(_filename(where, row), [])
        if row["event_label"].strip():
            events.append(_event(where, row, instants))
    return {filename: sorted(events, key=_order) for filename, events in by_file.items()}


def write_durations(path: str | Path, durations: Mapping[str, float]) -> None:
    """Write the duration of each file in seconds."""
    rows = [f"{escape(filename)}\t{duration:.3f}" for filename, duration in durations.items()]
    write_whole(path, "\n".join(["\t".join(DURATION_COLUMNS), *rows]) + "\n")


def read_durations(path: str | Path) -> dict[str, float]:
    """Duration of each file in seconds. Raises SedgeError as `read_events` does, and where two rows disagree."""
    durations: dict[str, float] = {}
    for where, row in _rows(path, DURATION_COLUMNS):
        filename, duration = _filename(where, row), _seconds(where, row, "duration")
        if durations.setdefault(filename, duration) != duration:
            raise SedgeError(
                f"{where}: duration of {filename!r}: expected {durations[filename]} as above, found {duration}"
            )
    return durations


def _order(event: Event) -> tuple[float, str]:
    return event.onset, event.event_label


def _filename(where: str, row: Mapping[str, str]) -> str:
    if not row["filename"]:
        raise SedgeError(f"{where}: filename: expected a name, found none")
    return row["filename"]


def _event(where: str, row: Mapping[str, str], instants: bool) -> Event:
    onset, offset = _seconds(where, row, "onset"), _seconds(where, row, "offset")
    if onset > offset or (onset == offset and not instants):
        raise SedgeError(f"{where}: expected an onset before the offset, found {onset} and {offset}")
    return Event(onset, offset, row["event_label"])


def _seconds(where: str, row: Mapping[str, str], column: str) -> float:
    try:
        seconds = float(row[column])
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise SedgeError(f"{where}: {column}: expected seconds from 0, found {row[column]!r}")
    return seconds


def _rows(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row that is not empty, with the place it stands in, reduced to the columns asked for."""
    lines = _fields(_text(path))
    header = [name.strip() for name in next(lines, [])]
    missing = [column for column in columns if column not in header]
    if missing:
        raise SedgeError(f"{path}: expected columns {list(columns)}, found {header}")
    places = {column: header.index(column) for column in columns}
    for number, fields in enumerate(lines, start=2):
        where = f"{path}, row {number}"
        if not any(fields):
            continue
        if len(fields) <= max(places.values()):
            raise SedgeError(f"{where}: expected {len(header)} fields, found {len(fields)}")
        yield where, {column: fields[place] for column, place in places.items()}


def _fields(text: str) -> Iterator[list[str]]:
    """Fields of each line, unescaped. The header says whether commas separate: tables with tabs have no quotes."""
    header = text.partition("\n")[0]
    if "\t" not in header and "," in header:
        yield from csv.reader(io.StringIO(text, newline=""))
        return
    for line in text.split("\n"):
        yield [unescape(field) for field in line.removesuffix("\r").split("\t")]


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise SedgeError(f"{path}: cannot be read ({error.strerror or error})") from error
