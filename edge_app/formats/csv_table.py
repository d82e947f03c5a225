"""A table of events for spreadsheets: RFC 4180, UTF-8, one row an event."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent
from edge_app.formats.growing_table import GrowingTable, write_once
from edge_app.formats.json_file import utc_moment, utc_text
from edge_app.formats.rows import number, read_rows, seconds
from edge_app.formats.side_files import read_beside

COLUMNS = (
    *("session_id", "event_id", "source", "file", "onset_s", "offset_s", "duration_s", "onset_utc", "label"),
    *("peak", "mean", "state", "cut", "review", "model", "threshold_on", "threshold_off", "clip"),
)
DECIMALS = 6


class CsvTable(GrowingTable):
    """One row an event, times and scores with six decimals; notes and files without events have no place here."""

    decimals = DECIMALS
    header = ",".join(COLUMNS) + "\r\n"

    def rows(self, kept: Export) -> Iterator[str]:
        """The rows of all events in one text."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows(map(_row, kept.events))
        yield text.getvalue()


def write_csv(path: str | Path, export: Export) -> int:
    """Write one row an event; returns how many events were left out. Raises SedgeError as `tidy` does."""
    return write_once(CsvTable, path, export)


def read_csv(path: str | Path) -> Export:
    """The export in a table and what lies beside it. Raises SedgeError, naming the row, where one is wrong."""
    events = [_event(where, row) for where, row in read_rows(path, COLUMNS)]
    return read_beside(path, events)


def _row(event: ExportEvent) -> list[str]:
    return [
        *(_text(event.session_id), _text(event.event_id), event.source, event.file),
        *(_text(event.onset), _text(event.offset), _text(event.offset - event.onset)),
        *(utc_text(event.onset_utc) or "", event.event_label, _text(event.score), _text(event.mean)),
        *(event.state, "true" if event.cut else "false", event.review, event.model),
        *(_text(event.threshold_on), _text(event.threshold_off), event.clip),
    ]


def _text(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.{DECIMALS}f}"


def _event(where: str, row: Mapping[str, str]) -> ExportEvent:
    if row["cut"] not in ("true", "false"):
        raise SedgeError(f"{where}: cut: expected true or false, found {row['cut']!r}")
    return ExportEvent(
        source=row["source"],
        file=row["file"],
        onset=seconds(where, row, "onset_s"),
        offset=seconds(where, row, "offset_s"),
        event_label=row["label"],
        score=number(where, row, "peak"),
        mean=_optional(where, row, "mean"),
        onset_utc=utc_moment(where, row["onset_utc"]) if row["onset_utc"] else None,
        session_id=_whole(where, row, "session_id"),
        event_id=_whole(where, row, "event_id"),
        state=row["state"],
        cut=row["cut"] == "true",
        review=row["review"],
        clip=row["clip"],
        model=row["model"],
        threshold_on=_optional(where, row, "threshold_on"),
        threshold_off=_optional(where, row, "threshold_off"),
    )


def _optional(where: str, row: Mapping[str, str], column: str) -> float | None:
    return number(where, row, column) if row[column] else None


def _whole(where: str, row: Mapping[str, str], column: str) -> int | None:
    if not row[column]:
        return None
    try:
        return int(row[column])
    except ValueError:
        raise SedgeError(f"{where}: {column}: expected a whole number, found {row[column]!r}") from None
