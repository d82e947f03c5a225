"""Sessions of the store as an export, for every format."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from edge_app.core.decode import LabelDecoding
from edge_app.core.events import FRAME_S
from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportMark
from edge_app.store.database import ALL_EVENTS, Store
from edge_app.store.queries import EventFilter
from edge_app.store.records import EventRecord, SessionRecord
from edge_app.store.schema import NotKeptError
from edge_app.store.score_export import session_scores


def export_events(
    store: Store, sessions: Iterable[int] | None = None, wanted: EventFilter = ALL_EVENTS
) -> Export:
    """Events that a filter lets through, of some sessions or all, with the sessions' gaps, marks, scores and durations.

    A session is one file, named after its start. Thresholds are those in force at an event's onset. Raises NotKeptError
    where a session is not there.
    """
    ids = None if sessions is None else list(sessions)
    records = sorted(store.sessions(ids), key=lambda record: (record.started_at, record.id))
    missing = set(ids or ()) - {record.id for record in records}
    if missing:
        raise NotKeptError(f"{store.path}: session {min(missing)}: expected one of the store, found none")
    names = _names(records)
    by_id = {record.id: record for record in records}
    settings = {record.id: _Settings(store, record) for record in records}
    recordings = {names[one.id]: str(one.recording.absolute()) for one in records if one.recording}
    if ids and len(ids) == 1:  # so that one of a thousand sessions costs no more than it is long
        wanted = replace(wanted, session=ids[0])
    events = [event for event in store.events(wanted) if event.session in by_id]
    return Export(
        events=[
            _event(event, by_id[event.session], names[event.session], settings[event.session])
            for event in events
        ],
        gaps=[gap for record in records for gap in _gaps(store, record, names[record.id])],
        marks=[mark for record in records for mark in _marks(store, record, names[record.id])],
        durations={names[record.id]: record.end_sample / record.sample_rate for record in records},
        about=_about(records),
        unrecorded=frozenset(names.values()) - frozenset(recordings),
        recordings=recordings,
        scores=session_scores(store, records, names),
    )


def _names(records: list[SessionRecord]) -> dict[int, str]:
    """A file name for each session: its start in UTC, with the id where two started together."""
    starts = {record.id: f"{record.started_at:%Y-%m-%dT%H-%M-%SZ}" for record in records}
    count = Counter(starts.values())
    return {
        session: start if count[start] == 1 else f"{start}-{session}" for session, start in starts.items()
    }


class _Settings:
    """The settings of a session's decoder over its frames."""

    def __init__(self, store: Store, session: SessionRecord) -> None:
        changes = store.changes(session.id)
        self._hop_length = round(FRAME_S * session.sample_rate)
        self._first_frames = [change.first_frame for change in changes]
        self._settings = [_settings(session.settings_json)]
        self._settings += [_settings(change.settings_json) for change in changes]

    def at(self, event: EventRecord) -> LabelDecoding | None:
        """Those of an event's label at its onset; None where they are not known."""
        place = bisect_right(self._first_frames, event.onset_sample // self._hop_length)
        found = self._settings[place].get("decoding", {}).get(event.event_label)
        try:
            return None if found is None else LabelDecoding.model_validate(found)
        except ValidationError:
            return None


def _event(event: EventRecord, session: SessionRecord, name: str, settings: _Settings) -> ExportEvent:
    decoding = settings.at(event)
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
        threshold_on=decoding.threshold_on if decoding else None,
        threshold_off=decoding.off if decoding else None,
    )


def _gaps(store: Store, session: SessionRecord, name: str) -> list[ExportGap]:
    rate = session.sample_rate
    return [
        ExportGap(gap.start_sample / rate, gap.end_sample / rate, gap.kind, name)
        for gap in store.gaps(session.id)
    ]


def _marks(store: Store, session: SessionRecord, name: str) -> list[ExportMark]:
    return [
        ExportMark(mark.sample / session.sample_rate, mark.note, name) for mark in store.marks(session.id)
    ]


def _about(records: list[SessionRecord]) -> dict[str, Any]:
    """What the sessions were recorded with: of one session by itself, of several in a list."""
    about = [
        {
            "app": record.app_version,
            "model": {"name": record.model_name, "sha256": record.model_sha256},
            "runtime": record.runtime,
            "settings": _settings(record.settings_json),
            "source": record.source,
            "sample_rate": record.sample_rate,
        }
        for record in records
    ]
    return about[0] if len(about) == 1 else {"sessions": about}


def _settings(text: str) -> dict[str, Any]:
    settings = json.loads(text)
    return settings if isinstance(settings, dict) else {}
