"""What the store has of the past, read in the thread of the store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_app.core.decode import LabelDecoding
from edge_app.core.events import FRAME_S
from edge_app.formats.exchange import Export
from edge_app.store.database import Store
from edge_app.store.export import export_events
from edge_app.store.queries import EventFilter
from edge_app.store.records import SessionRecord
from edge_app.store.schema import StoreError
from edge_app.views.history.session_model import SessionRow
from edge_app.views.tables.event_rows import EventRow, stored_row

MOST_EVENTS = 10_000
"""Of all sessions together, the newest so many events are shown."""


@dataclass(frozen=True)
class Past:
    """The scores of a session, with what they were decoded by when it ended."""

    record: SessionRecord
    event_labels: tuple[str, ...]
    decoding: Mapping[str, LabelDecoding]
    enabled: frozenset[str]
    scores: NDArray[np.float32]
    """Shape (frame, label); not a number where none were kept. Empty where none were at all."""
    first_frame: int


def load_sessions(store: Store) -> list[SessionRow]:
    """The sessions, the newest first, each with the number of its events."""
    return [
        SessionRow(record, store.count_events(EventFilter(session=record.id))) for record in store.sessions()
    ]


def load_events(store: Store, session: int | None, most: int | None = None) -> list[EventRow]:
    """The events of a session, or the newest of all; at most so many of the newest."""
    sessions = {record.id: record for record in store.sessions(None if session is None else [session])}
    limit = MOST_EVENTS if session is None and most is None else most
    records = store.events(EventFilter(session=session, order="newest", limit=limit))
    return [
        stored_row(record, sessions[record.session].sample_rate, sessions[record.session].source)
        for record in records
        if record.session in sessions
    ]


def load_export(path: Path, session: int | None) -> Export:
    """The events and gaps of a session of the store at that path, or of all."""
    with Store(path) as store:
        return export_events(store, None if session is None else [session])


def load_past(store: Store, session: int) -> Past:
    """The scores of a session. Raises StoreError where it is not there or its settings cannot be read."""
    records = store.sessions([session])
    if not records:
        raise StoreError(f"{store.path}: session {session}: expected one of the store, found none")
    record = records[0]
    changes = store.changes(session)
    decoding, enabled = _settings(changes[-1].settings_json if changes else record.settings_json)
    blocks = store.score_blocks(session)
    event_labels = blocks[-1].event_labels if blocks else tuple(decoding)
    blocks = [block for block in blocks if block.event_labels == event_labels]
    first = blocks[0].first_frame if blocks else 0
    end = max((block.end_frame for block in blocks), default=first)
    scores = np.full((end - first, len(event_labels)), np.nan, np.float32)
    for block in blocks:
        scores[block.first_frame - first : block.end_frame - first] = block.as_float()
    scores = _without_gaps(store, record, scores, first)
    known = {label: decoding.get(label, LabelDecoding()) for label in event_labels}
    on = frozenset(event_labels if enabled is None else enabled)
    return Past(record, event_labels, known, on, scores, first)


def _without_gaps(
    store: Store, record: SessionRecord, scores: NDArray[np.float32], first: int
) -> NDArray[np.float32]:
    hop_length = round(record.sample_rate * FRAME_S)
    for gap in store.gaps(record.id):
        begin, end = gap.start_sample // hop_length - first, -(-gap.end_sample // hop_length) - first
        scores[max(0, begin) : max(0, end)] = np.nan
    return scores


def _settings(settings_json: str) -> tuple[dict[str, LabelDecoding], list[str] | None]:
    try:
        settings = json.loads(settings_json)
        found = {label: LabelDecoding(**one) for label, one in settings.get("decoding", {}).items()}
        return found, settings.get("enabled")
    except (ValueError, TypeError, AttributeError, ValidationError) as error:
        raise StoreError(f"settings of the session: expected those of each label, found {error}") from error
