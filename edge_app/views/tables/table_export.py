"""The rows of a table as an export, where no store has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportMark
from edge_app.views.tables.event_rows import EventRow


def rows_export(
    rows: Iterable[EventRow],
    name: str,
    duration_s: float,
    gaps: Sequence[ExportGap] = (),
    marks: Sequence[ExportMark] = (),
    about: Mapping[str, Any] | None = None,
    source: str = "",
) -> Export:
    """Rows of one session, whose file in the tables is `name`; times in seconds from its start.

    `source` is what was listened to, where a row does not say. Nothing is said of sound: no format that needs
    some takes these events.
    """
    events = [_event(row, name, source) for row in rows]
    return Export(events, gaps, {name: duration_s}, about or {}, frozenset([name]), marks)


def _event(row: EventRow, name: str, source: str) -> ExportEvent:
    return ExportEvent(
        source=row.source or source,
        file=name,
        onset=row.onset,
        offset=row.offset,
        event_label=row.event_label,
        score=row.peak,
        mean=row.mean,
        onset_utc=row.at,
        state=row.state,
        cut=row.cut,
        review=row.review,
        note=row.note,
        clip=str(row.clip or ""),
    )
