"""JSON lines: one object an event, with its score."""

import json
from collections.abc import Iterator
from pathlib import Path

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent
from edge_app.formats.growing_table import GrowingTable, write_once
from edge_app.formats.rows import read_text
from edge_app.formats.side_files import read_beside

DECIMALS = 6
FIELDS = ("filename", "onset", "offset", "event_label", "score")


class JsonLinesTable(GrowingTable):
    """One object an event, times and scores to six decimals; files without events have no place here."""

    decimals = DECIMALS

    def rows(self, kept: Export) -> Iterator[str]:
        """A line for each event."""
        return (f"{_line(event)}\n" for event in kept.events)


def write_json_lines(path: str | Path, export: Export) -> int:
    """Write one object an event; returns how many events were left out. Raises SedgeError as `tidy` does."""
    return write_once(JsonLinesTable, path, export)


def read_json_lines(path: str | Path) -> Export:
    """The export in a file and what lies beside it. Raises SedgeError, naming the line, where one is wrong."""
    events = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            events.append(_event(f"{path}, line {number}", line))
    return read_beside(path, events)


def _line(event: ExportEvent) -> str:
    values = (event.file, event.onset, event.offset, event.event_label, round(event.score, DECIMALS))
    return json.dumps(dict(zip(FIELDS, values, strict=True)))


def _event(where: str, line: str) -> ExportEvent:
    try:
        found = json.loads(line)
        name, onset, offset, label, score = (found[field] for field in FIELDS)
        return ExportEvent("", str(name), float(onset), float(offset), str(label), float(score))
    except (ValueError, TypeError, LookupError):
        raise SedgeError(f"{where}: expected an object with {list(FIELDS)}, found {line!r:.80}") from None
