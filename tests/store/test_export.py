"""Sessions as an export: each is one file with its events, gaps and length."""

import pytest

from edge_app.formats.exchange import ExportGap, ExportMark
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


def test_thresholds_are_those_in_force_when_the_event_began(store):
    for second, text in (
        (4, '{"decoding": {"Dog": {"threshold_on": 0.8}}}'),
        (6, '{"decoding": {"Dog": 3}}'),
    ):
        store.change_decoding(1, second * 50, text)
    for number, onset in enumerate((4 * RATE - 320, 4 * RATE, 6 * RATE), 10):
        store.take(1, event("closed", number, onset, onset + 640))
    found = [one for one in export_events(store, [1]).events if one.event_label == "Dog"]
    thresholds = [(one.threshold_on, one.threshold_off) for one in found]
    assert thresholds == [(0.6, 0.45), (0.6, 0.45), (0.8, pytest.approx(0.65)), (None, None)]


def test_marks_are_in_it_and_a_recording_is_named(store, tmp_path):
    store.mark(2, 5 * RATE, "the kettle")
    store.mark(2, 2 * RATE)
    store.set_recording(2, store.clip_folder / "whole.flac")
    export = export_events(store)
    hall = "2026-03-01T07-30-00Z-2"
    assert export.marks == [ExportMark(2.0, "", hall), ExportMark(5.0, "the kettle", hall)]
    assert export.recordings == {hall: str(store.clip_folder / "whole.flac")}
    assert export.unrecorded == {"2026-03-01T07-30-00Z-1"}
