"""RTTM: lines of fields with spaces between them, as diarisation tools read.

White space and % in names are written as in web addresses (%20), since a field cannot hold them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent
from edge_app.formats.growing_table import GrowingTable, write_once
from edge_app.formats.rows import read_text, seconds
from edge_app.formats.side_files import read_beside

DECIMALS = 3
N_FIELDS = 10


class RttmTable(GrowingTable):
    """One line an event, without scores; files without events have no place here."""

    decimals = DECIMALS

    def rows(self, kept: Export) -> Iterator[str]:
        """A line for each event."""
        return map(_line, kept.events)


def write_rttm(path: str | Path, export: Export) -> int:
    """Write one line an event; returns how many events were left out. Raises SedgeError as `tidy` does."""
    return write_once(RttmTable, path, export)


def read_rttm(path: str | Path) -> Export:
    """The export in a file and what lies beside it; lines of other types than SPEAKER are passed over.

    Raises SedgeError, naming the line, where one is not as written.
    """
    events = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.startswith("SPEAKER "):
            events.append(_event(f"{path}, line {number}", line.split()))
    return read_beside(path, events)


def _line(event: ExportEvent) -> str:
    length = event.offset - event.onset
    name, label = _quote(event.file), _quote(event.event_label)
    return f"SPEAKER {name} 1 {event.onset:.3f} {length:.3f} <NA> <NA> {label} <NA> <NA>\n"


def _event(where: str, fields: list[str]) -> ExportEvent:
    if len(fields) < N_FIELDS - 1:  # the last one came late to the format
        raise SedgeError(f"{where}: expected {N_FIELDS} fields, found {len(fields)}")
    row = {"onset": fields[3], "duration": fields[4]}
    onset, length = seconds(where, row, "onset"), seconds(where, row, "duration")
    return ExportEvent(
        "", _unquote(fields[1]), onset, round(onset + length, DECIMALS), _unquote(fields[7]), 1.0
    )


def _quote(name: str) -> str:
    def as_bytes(match: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))

    return re.sub(r"[\s%]", as_bytes, name)


def _unquote(name: str) -> str:
    return unquote_to_bytes(name.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
