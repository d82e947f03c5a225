"""Sessions as an export: each is one file with its events, gaps and length."""

import pytest

from edge_app.formats.exchange import ExportGap
from edge_app.store.database import Store
from edge_app.store.export import export_events
from edge_app.store.queries import EventFilter
from edge_app.store.schema import StoreError
from tests.store.told import RATE, event, facts, gap


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "history.sqlite") as opened:
        for source in ("kitchen", "hall"):
            session = opened.begin_session(facts(source))
            opened.take(session, event("closed", 1, RATE, 2 * RATE))
            opened.take(session, event("closed", 2, RATE // 2, 2 * RATE, "Cat"))
            opened.take(session, gap(3 * RATE, 4 * RATE))
            opened.end_session(session, 10 * RATE)
        yield opened


def test_a_session_is_one_file(store):
    export = export_events(store, [1])
    assert export.durations == {"2026-03-01T07-30-00Z": 10.0}
    assert export.gaps == [ExportGap(3.0, 4.0, "lost", "2026-03-01T07-30-00Z")]
    cat, dog = export.events
    assert (cat.event_label, cat.onset, cat.offset, cat.threshold_on) == ("Cat", 0.5, 2.0, None)
    assert (dog.source, dog.threshold_on, dog.threshold_off, dog.session_id) == ("kitchen", 0.6, 0.45, 1)
    assert (export.about["model"]["name"], export.about["sample_rate"]) == ("default", RATE)


def test_sessions_that_began_together_are_two_files(store):
    export = export_events(store, wanted=EventFilter(event_labels=("Dog",)))
    assert list(export.durations) == ["2026-03-01T07-30-00Z-1", "2026-03-01T07-30-00Z-2"]
    assert [one.file for one in export.events] == list(export.durations)
    assert [one["source"] for one in export.about["sessions"]] == ["kitchen", "hall"]


def test_a_session_that_is_not_there_is_told(store):
    with pytest.raises(StoreError, match="session 7: expected one of the store, found none"):
        export_events(store, [1, 7])
