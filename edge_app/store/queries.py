"""Rows of the database as records, and which events are asked for."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edge_app.store.clock import to_datetime, to_ns
from edge_app.store.records import (
    Anchor,
    DecodingChange,
    EventRecord,
    EventState,
    GapRecord,
    MarkRecord,
    Review,
    ScoreBlock,
    SessionRecord,
)

EventOrder = Literal["onset", "newest"]
_ORDERS = {"onset": "onset_ns, event_label, id", "newest": "onset_ns DESC, id DESC"}
_SESSION_COLUMNS = (
    "id, started_ns, source, device, sample_rate, model_sha256, model_name, runtime, app_version, "
    "settings_json, ended, recovered, end_sample, recording"
)
_EVENT_COLUMNS = (
    "id, session, number, event_label, onset_sample, offset_sample, onset_ns, peak, mean, state, cut, "
    "review, note, clip_path, clip_start_sample"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to give; what is None does not narrow."""

    session: int | None = None
    event_labels: tuple[str, ...] | None = None
    reviews: tuple[Review, ...] | None = None
    states: tuple[EventState, ...] | None = None
    since: datetime | None = None
    """Onset at or after this instant."""
    until: datetime | None = None
    """Onset before this instant."""
    least_peak: float | None = None
    text: str = ""
    """Found in the note or the label, in any case of ASCII letters."""
    has_clip: bool | None = None
    order: EventOrder = "onset"
    limit: int | None = None
    first: int = 0
    """So many are left out at the beginning."""


def select_events(connection: sqlite3.Connection, folder: Path, wanted: EventFilter) -> list[EventRecord]:
    """The events that a filter lets through; relative clips lie in `folder`."""
    where, values = _conditions(wanted)
    limit = -1 if wanted.limit is None else wanted.limit
    rows = connection.execute(
        f"SELECT {_EVENT_COLUMNS} FROM event WHERE {where} ORDER BY {_ORDERS[wanted.order]} LIMIT ? OFFSET ?",
        [*values, limit, wanted.first],
    )
    return [_event(row, folder) for row in rows]


def count_events(connection: sqlite3.Connection, wanted: EventFilter) -> int:
    """How many events a filter lets through, `limit` and `first` aside."""
    where, values = _conditions(wanted)
    return int(connection.execute(f"SELECT COUNT(*) FROM event WHERE {where}", values).fetchone()[0])


def select_sessions(
    connection: sqlite3.Connection, folder: Path, ids: Iterable[int] | None = None
) -> list[SessionRecord]:
    """Sessions, the newest first; all where no ids are given. Relative recordings lie in `folder`."""
    where, values = ("1", []) if ids is None else _among("id", ids)
    rows = connection.execute(
        f"SELECT {_SESSION_COLUMNS} FROM session WHERE {where} ORDER BY started_ns DESC, id DESC", values
    )
    return [_session(row, folder) for row in rows]


def select_gaps(connection: sqlite3.Connection, session: int) -> list[GapRecord]:
    """Gaps of a session in order of time."""
    rows = connection.execute(
        "SELECT session, start_sample, end_sample, kind FROM gap WHERE session = ? ORDER BY start_sample",
        [session],
    )
    return [GapRecord(*row) for row in rows]


def select_anchors(connection: sqlite3.Connection, session: int) -> list[Anchor]:
    """Anchors of a session in order of time."""
    rows = connection.execute(
        "SELECT session, sample, mono_ns, utc_ns FROM anchor WHERE session = ? ORDER BY sample", [session]
    )
    return [Anchor(*row) for row in rows]


def select_marks(connection: sqlite3.Connection, session: int) -> list[MarkRecord]:
    """Marks of a session in order of time."""
    rows = connection.execute(
        "SELECT id, session, sample, note FROM mark WHERE session = ? ORDER BY sample, id", [session]
    )
    return [MarkRecord(*row) for row in rows]


def select_changes(connection: sqlite3.Connection, session: int) -> list[DecodingChange]:
    """Changes of the decoding of a session in order of time."""
    rows = connection.execute(
        "SELECT session, first_frame, settings_json FROM decoding_change WHERE session = ? ORDER BY first_frame",
        [session],
    )
    return [DecodingChange(*row) for row in rows]


def select_event_id(connection: sqlite3.Connection, session: int, number: int) -> int | None:
    """Id of an event by its number in the news of its session."""
    row = connection.execute(
        "SELECT id FROM event WHERE session = ? AND number = ?", [session, number]
    ).fetchone()
    return None if row is None else int(row[0])


def select_scores(
    connection: sqlite3.Connection, session: int, first_frame: int, end_frame: int | None
) -> Iterator[ScoreBlock]:
    """Blocks of scores of a session that touch frames [first_frame, end_frame), in order of time."""
    # Blocks do not overlap, so none before the last that begins by `first_frame` can reach it: a day has thousands.
    rows = connection.execute(
        "SELECT session, first_frame, event_labels, scores FROM score_block "
        "WHERE session = ?1 AND end_frame > ?2 AND (?3 IS NULL OR first_frame < ?3) AND first_frame >= "
        "coalesce((SELECT max(first_frame) FROM score_block WHERE session = ?1 AND first_frame <= ?2), 0) "
        "ORDER BY first_frame",
        [session, first_frame, end_frame],
    )
    for row in rows.fetchall():
        event_labels = tuple(json.loads(row[2]))
        scores = np.frombuffer(row[3], np.uint8).reshape(-1, len(event_labels))
        yield ScoreBlock(row[0], row[1], event_labels, scores)


def mean_score(
    connection: sqlite3.Connection, session: int, event_label: str, first_frame: int, end_frame: int
) -> float | None:
    """Mean of a label's scores over frames [first_frame, end_frame); None where not all are there."""
    scores = np.empty(0, np.uint8)
    for block in select_scores(connection, session, first_frame, end_frame):
        if event_label not in block.event_labels:
            return None
        frames = slice(max(0, first_frame - block.first_frame), end_frame - block.first_frame)
        scores = np.concatenate([scores, block.scores[frames, block.event_labels.index(event_label)]])
    return float(scores.mean() / 255) if len(scores) == end_frame - first_frame > 0 else None


def _conditions(wanted: EventFilter) -> tuple[str, list[Any]]:
    """A WHERE clause and its values."""
    parts: list[tuple[str, list[Any]]] = [("1", [])]
    for column, value in (("session = ?", wanted.session), ("peak >= ?", wanted.least_peak)):
        if value is not None:
            parts.append((column, [value]))
    for column, instant in (("onset_ns >= ?", wanted.since), ("onset_ns < ?", wanted.until)):
        if instant is not None:
            parts.append((column, [to_ns(instant)]))
    lists = (("event_label", wanted.event_labels), ("review", wanted.reviews), ("state", wanted.states))
    parts += [_among(column, values) for column, values in lists if values is not None]
    if wanted.text:
        parts.append(
            ("(instr(lower(note), lower(?)) OR instr(lower(event_label), lower(?)))", [wanted.text] * 2)
        )
    if wanted.has_clip is not None:
        parts.append((f"clip_path IS {'NOT ' if wanted.has_clip else ''}NULL", []))
    return " AND ".join(clause for clause, _ in parts), [value for _, values in parts for value in values]


def _among(column: str, values: Iterable[Any]) -> tuple[str, list[Any]]:
    # One value however many there are: SQLite bounds the number of question marks.
    return f"{column} IN (SELECT value FROM json_each(?))", [json.dumps(list(values))]


def _session(row: tuple[Any, ...], folder: Path) -> SessionRecord:
    fields = dict(zip(_SESSION_COLUMNS.split(", "), row, strict=True))
    fields["started_at"] = to_datetime(fields.pop("started_ns"))
    fields |= {name: bool(fields[name]) for name in ("ended", "recovered")}
    fields["recording"] = _path(folder, fields["recording"])
    return SessionRecord(**fields)


def _event(row: tuple[Any, ...], folder: Path) -> EventRecord:
    fields = dict(zip(_EVENT_COLUMNS.split(", "), row, strict=True))
    fields["onset_utc"] = to_datetime(fields.pop("onset_ns"))
    fields |= {"cut": bool(fields["cut"]), "clip_path": _path(folder, fields["clip_path"])}
    return EventRecord(**fields)


def _path(folder: Path, kept: str | None) -> Path | None:
    return folder / kept if kept else None
