"""Tables of events and of durations in the form of DESED: TAB-separated, times in seconds.

Names with tabs, line breaks or backslashes are written escaped (`\\t`, `\\n`, `\\r`, `\\\\`), so that every
table stays one row a line. Reading also takes comma-separated tables and ones with further columns.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.exchange import Export, ExportEvent, tidy
from edge_app.formats.rows import escape, read_rows, seconds
from edge_app.formats.side_files import beside, read_beside, remove, write_beside
from edge_app.formats.whole_file import write_whole

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")
DURATION_COLUMNS = ("filename", "duration")
DURATIONS_SUFFIX = ".durations.tsv"
DECIMALS = 3


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
    for where, row in read_rows(path, EVENT_COLUMNS):
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
    for where, row in read_rows(path, DURATION_COLUMNS):
        filename, duration = _filename(where, row), seconds(where, row, "duration")
        if durations.setdefault(filename, duration) != duration:
            raise SedgeError(
                f"{where}: duration of {filename!r}: expected {durations[filename]} as above, found {duration}"
            )
    return durations


def write_desed(path: str | Path, export: Export) -> int:
    """Write the events of an export, with its durations beside them; returns how many events were left out.

    A file without events has a row of its own. Raises SedgeError as `tidy` does.
    """
    export, left_out = tidy(export, DECIMALS)
    by_file: dict[str, list[Event]] = {name: [] for name in export.files}
    for event in export.events:
        by_file[event.file].append(Event(event.onset, event.offset, event.event_label, event.score))
    write_beside(path, export)
    durations = beside(path, DURATIONS_SUFFIX)
    if export.durations:
        write_durations(durations, export.durations)
    else:
        remove(durations)
    write_events(path, by_file)
    return left_out


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
