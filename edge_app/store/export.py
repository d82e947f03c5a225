"""Sessions of the store as an export, for every format."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from edge_app.formats.exchange import Export, ExportEvent, ExportGap
from edge_app.store.database import ALL_EVENTS, Store
from edge_app.store.queries import EventFilter
from edge_app.store.records import EventRecord, SessionRecord
from edge_app.store.schema import StoreError


def export_events(
    store: Store, sessions: Iterable[int] | None = None, wanted: EventFilter = ALL_EVENTS
) -> Export:
    """Events that a filter lets through, of some sessions or all, with the sessions' gaps and durations.

    A session is one file, named after its start. Raises StoreError where a session is not there.
    """
    ids = None if sessions is None else list(sessions)
    records = sorted(store.sessions(ids), key=lambda record: (record.started_at, record.id))
    missing = set(ids or ()) - {record.id for record in records}
    if missing:
        raise StoreError(f"{store.path}: session {min(missing)}: expected one of the store, found none")
    names = _names(records)
    by_id = {record.id: record for record in records}
    events = [event for event in store.events(wanted) if event.session in by_id]
    return Export(
        events=[_event(event, by_id[event.session], names[event.session]) for event in events],
        gaps=[gap for record in records for gap in _gaps(store, record, names[record.id])],
        durations={names[record.id]: record.end_sample / record.sample_rate for record in records},
        about=_about(records),
        unrecorded=frozenset(names.values()),  # clips are kept, sessions are not
    )


def _names(records: list[SessionRecord]) -> dict[int, str]:
    """A file name for each session: its start in UTC, with the id where two started together."""
    starts = {record.id: f"{record.started_at:%Y-%m-%dT%H-%M-%SZ}" for record in records}
    count = Counter(starts.values())
    return {
        session: start if count[start] == 1 else f"{start}-{session}" for session, start in starts.items()
    }


def _event(event: EventRecord, session: SessionRecord, name: str) -> ExportEvent:
    decoding = _settings(session).get("decoding", {}).get(event.event_label, {})
    return ExportEvent(
        source=session.source,
        file=name,
        onset=event.onset_sample / session.sample_rate,
        offset=event.offset_sample / session.sample_rate,
        event_label=event.event_label,
        score=event.peak,
        mean=event.mean,
        onset_utc=event.onset_utc,
        session_id=session.id,
        event_id=event.id,
        state=event.state,
        cut=event.cut,
        review=event.review,
        note=event.note,
        clip=str(event.clip_path or ""),
        model=session.model_name,
        threshold_on=decoding.get("threshold_on"),
        threshold_off=decoding.get("threshold_off"),
    )


def _gaps(store: Store, session: SessionRecord, name: str) -> list[ExportGap]:
    rate = session.sample_rate
    return [
        ExportGap(gap.start_sample / rate, gap.end_sample / rate, gap.kind, name)
        for gap in store.gaps(session.id)
    ]


def _about(records: list[SessionRecord]) -> dict[str, Any]:
    """What the sessions were recorded with: of one session by itself, of several in a list."""
    about = [
        {
            "app": record.app_version,
            "model": {"name": record.model_name, "sha256": record.model_sha256},
            "runtime": record.runtime,
            "settings": _settings(record),
            "source": record.source,
            "sample_rate": record.sample_rate,
        }
        for record in records
    ]
    return about[0] if len(about) == 1 else {"sessions": about}


def _settings(session: SessionRecord) -> dict[str, Any]:
    settings = json.loads(session.settings_json)
    return settings if isinstance(settings, dict) else {}
