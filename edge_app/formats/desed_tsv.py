"""Tables of events and of durations in the form of DESED: TAB-separated, times in seconds.

Names with tabs, line breaks or backslashes are written escaped (`\\t`, `\\n`, `\\r`, `\\\\`), so that every
table stays one row a line. Reading also takes comma-separated tables and ones with further columns.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.exchange import Export, ExportEvent
from edge_app.formats.growing_table import GrowingTable, write_once
from edge_app.formats.rows import escape, read_rows, seconds
from edge_app.formats.side_files import beside, read_beside, remove
from edge_app.formats.spool import Spool
from edge_app.formats.whole_file import whole_file, write_whole

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")
DURATION_COLUMNS = ("filename", "duration")
DURATIONS_SUFFIX = ".durations.tsv"
DECIMALS = 3
EVENT_HEADER = "\t".join(EVENT_COLUMNS) + "\n"
DURATION_HEADER = "\t".join(DURATION_COLUMNS) + "\n"


def write_events(path: str | Path, by_file: Mapping[str, Sequence[Event]]) -> None:
    """Write the events of files, sorted by onset, then label; a file without events has a row of its own."""
    rows = (row for filename, events in by_file.items() for row in event_rows(filename, events))
    write_whole(path, EVENT_HEADER + "".join(rows))


def event_rows(filename: str, events: Sequence[Event]) -> Iterator[str]:
    """The rows of a file's events as `write_events` writes them, each with its line break."""
    name = escape(filename)
    if not events:
        yield f"{name}\t\t\t\n"
    for event in sorted(events, key=_order):
        yield f"{name}\t{event.onset:.3f}\t{event.offset:.3f}\t{escape(event.event_label)}\n"


def read_events(path: str | Path, instants: bool = False) -> dict[str, list[Event]]:
    """Events by file, in the table's order of files, sorted by onset, then label.

    Raises SedgeError, naming the row, for a missing column, a bad number or an event without length;
    with `instants`, events of no length are kept (systems that write frame centres have them).
    """
    by_file: dict[str, list[Event]] = {}
    for where, row in read_rows(path, EVENT_COLUMNS):
        events = by_file.setdefault(_filename(where, row), [])
        if row["event_label"].strip():
            events.append(_event(where, row, instants))
    return {filename: sorted(events, key=_order) for filename, events in by_file.items()}


def write_durations(path: str | Path, durations: Mapping[str, float]) -> None:
    """Write the duration of each file in seconds."""
    rows = (duration_row(filename, duration) for filename, duration in durations.items())
    write_whole(path, DURATION_HEADER + "".join(rows))


def duration_row(filename: str, duration: float) -> str:
    """The row of a file's duration in seconds, with its line break."""
    return f"{escape(filename)}\t{duration:.3f}\n"


def read_durations(path: str | Path) -> dict[str, float]:
    """Duration of each file in seconds. Raises SedgeError as `read_events` does, and where two rows disagree."""
    durations: dict[str, float] = {}
    for where, row in read_rows(path, DURATION_COLUMNS):
        filename, duration = _filename(where, row), seconds(where, row, "duration")
        if durations.setdefault(filename, duration) != duration:
            raise SedgeError(
                f"{where}: duration of {filename!r}: expected {durations[filename]} as above, found {duration}"
            )
    return durations


class DesedTable(GrowingTable):
    """Events, with durations beside them; a file without events has a row of its own."""

    decimals = DECIMALS
    header = EVENT_HEADER

    @contextmanager
    def opened(self) -> Iterator[Self]:
        """Open for writing, as any table."""
        with Spool(self.path) as self._durations, super().opened():
            yield self

    def rows(self, kept: Export) -> Iterator[str]:
        """The rows of each file."""
        by_file: dict[str, list[Event]] = {name: [] for name in kept.files}
        for event in kept.events:
            by_file[event.file].append(Event(event.onset, event.offset, event.event_label, event.score))
        for name, duration in kept.durations.items():
            self._durations.put(duration_row(name, duration))
        for name, events in by_file.items():
            yield from event_rows(name, events)

    def finish(self) -> None:
        """Write durations and the rest beside."""
        super().finish()
        place = beside(self.path, DURATIONS_SUFFIX)
        if not self._durations.is_empty:
            with whole_file(place) as handle:
                handle.write(DURATION_HEADER.encode())
                self._durations.copy_to(handle)
        else:
            remove(place)


def write_desed(path: str | Path, export: Export) -> int:
    """Write the events of an export, with its durations beside them; returns how many events were left out.

    Raises SedgeError as `tidy` does.
    """
    return write_once(DesedTable, path, export)


def read_desed(path: str | Path) -> Export:
    """The export in a table of events and what lies beside it. Raises SedgeError as `read_events` does."""
    by_file = read_events(path)
    beside_it = beside(path, DURATIONS_SUFFIX)
    durations = read_durations(beside_it) if beside_it.is_file() else {}
    events = [
        ExportEvent("", name, event.onset, event.offset, event.event_label, event.score)
        for name, found in by_file.items()
        for event in found
    ]
    return read_beside(path, events, durations)


def _order(event: Event) -> tuple[float, str]:
    return event.onset, event.event_label


def _filename(where: str, row: Mapping[str, str]) -> str:
    if not row["filename"]:
        raise SedgeError(f"{where}: filename: expected a name, found none")
    return row["filename"]


def _event(where: str, row: Mapping[str, str], instants: bool) -> Event:
    onset, offset = seconds(where, row, "onset"), seconds(where, row, "offset")
    if onset > offset or (onset == offset and not instants):
        raise SedgeError(f"{where}: expected an onset before the offset, found {onset} and {offset}")
    return Event(onset, offset, row["event_label"])
