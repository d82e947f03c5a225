"""An event as a row of a table, and the columns that show it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QCoreApplication

from edge_app.store.records import EventRecord

translate = QCoreApplication.translate


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as the table shows it; times in seconds from the start of its source."""

    id: int
    """Unique in its table."""
    event_label: str
    onset: float
    offset: float
    peak: float
    mean: float | None = None
    at: datetime | None = None
    """When it began, by the clock; None where only the place in a file is known."""
    source: str = ""
    """Recording or device that it was heard in."""
    state: str = "closed"
    """open or closed."""
    cut: bool = False
    """Whether a gap or a crash ended it, and not silence."""
    review: str = ""
    """confirmed, rejected or nothing."""
    note: str = ""
    clip: Path | None = None
    """Its sound, where that was kept."""
    clip_start: float | None = None
    """When the clip begins, in the time of `onset`; None where that is not known."""

    @property
    def duration(self) -> float:
        """Its length in seconds."""
        return self.offset - self.onset


def stored_row(record: EventRecord, sample_rate: int, source: str = "") -> EventRow:
    """An event of the store as a row; `sample_rate` is its session's."""
    start = record.clip_start_sample
    return EventRow(
        id=record.id,
        event_label=record.event_label,
        onset=record.onset_sample / sample_rate,
        offset=record.offset_sample / sample_rate,
        peak=record.peak,
        mean=record.mean,
        at=record.onset_utc,
        source=source,
        state=record.state,
        cut=record.cut,
        review=record.review,
        note=record.note,
        clip=record.clip_path,
        clip_start=None if start is None else start / sample_rate,
    )


@dataclass(frozen=True)
class Column:
    """What a column shows of a row, and what it is sorted by."""

    name: str
    title: str
    text: Callable[[EventRow], str]
    key: Callable[[EventRow], Any]
    is_number: bool = False


def state_text(row: EventRow) -> str:
    """How far the event is, with a mark, so that it can be told without colours."""
    if row.cut:
        return translate("EventTable", "┄ cut")
    return translate("EventTable", "▨ open") if row.state == "open" else translate("EventTable", "▇ closed")


def review_text(review: str) -> str:
    """A verdict with a mark."""
    return {
        "confirmed": translate("EventTable", "✓ confirmed"),
        "rejected": translate("EventTable", "✗ rejected"),
    }.get(review, "")


def time_text(at: datetime | None) -> str:
    """Local date and time to a tenth of a second; empty where the time is not known."""
    if at is None:
        return ""
    local = at.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 100_000}"


def event_columns(names: Sequence[str]) -> list[Column]:
    """The columns of those names, in that order."""
    known = {column.name: column for column in (*_fact_columns(), *_number_columns(), *_verdict_columns())}
    return [known[name] for name in names]


def _fact_columns() -> list[Column]:
    return [
        Column("time", translate("EventTable", "Time"), lambda row: time_text(row.at), _when),
        Column(
            "source",
            translate("EventTable", "Source"),
            lambda row: row.source,
            lambda row: (row.source, row.onset),
        ),
        Column(
            "label",
            translate("EventTable", "Label"),
            lambda row: row.event_label.replace("_", " "),
            lambda row: row.event_label,
        ),
    ]


def _number_columns() -> list[Column]:
    return [
        _number("onset", translate("EventTable", "Start (s)"), lambda row: row.onset),
        _number("offset", translate("EventTable", "End (s)"), lambda row: row.offset),
        _number("duration", translate("EventTable", "Length (s)"), lambda row: row.duration),
        _number("peak", translate("EventTable", "Peak"), lambda row: row.peak),
        _number("mean", translate("EventTable", "Mean"), lambda row: row.mean),
    ]


def _verdict_columns() -> list[Column]:
    return [
        Column("state", translate("EventTable", "State"), state_text, lambda row: (row.state, row.cut)),
        Column(
            "review",
            translate("EventTable", "Review"),
            lambda row: review_text(row.review),
            lambda row: row.review,
        ),
        Column(
            "note", translate("EventTable", "Note"), lambda row: row.note, lambda row: row.note.casefold()
        ),
        Column("clip", translate("EventTable", "Sound"), _clip_text, lambda row: row.clip is None),
    ]


def _number(name: str, title: str, value: Callable[[EventRow], float | None]) -> Column:
    def text(row: EventRow) -> str:
        number = value(row)
        return "" if number is None else f"{number:.2f}"

    def key(row: EventRow) -> float:
        number = value(row)
        return -1.0 if number is None else number

    return Column(name, title, text, key, is_number=True)


def _when(row: EventRow) -> float:
    return row.at.timestamp() if row.at else 0.0


def _clip_text(row: EventRow) -> str:
    return translate("EventTable", "▶ kept") if row.clip else ""
