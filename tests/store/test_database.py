"""The history of sessions: what is told is what is found, and a file that is none of ours is left alone."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.store.clock import NS, to_datetime, to_ns
from edge_app.store.database import Store
from edge_app.store.queries import EventFilter
from edge_app.store.records import EventRecord, GapRecord
from edge_app.store.schema import SCHEMA_VERSION, StoreError
from tests.store.told import RATE, STARTED, event, facts, gap


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "rooms" / "history.sqlite") as opened:
        yield opened


def numbers(store: Store, wanted: EventFilter) -> list[int]:
    return [record.number for record in store.events(wanted)]


def test_a_session_comes_back_as_it_was_told(store):
    session = store.begin_session(facts())
    store.take(session, event("confirmed", 1, 3200, 6400))
    store.take(session, gap(8000, 9600))
    store.take(session, event("closed", 1, 3200, 8000, score=0.875, cut=True))
    (running,) = store.sessions()
    assert (running.ended, running.end_sample) == (False, 9600)
    store.end_session(session, 16_000)

    (record,) = store.sessions()
    assert (record.id, record.ended, record.recovered, record.end_sample) == (session, True, False, 16_000)
    assert (record.source, record.started_at) == ("microphone", STARTED)
    (found,) = store.events()
    onset_utc = STARTED + timedelta(seconds=0.2)
    assert found == EventRecord(
        id=found.id, session=session, number=1, event_label="Dog", onset_sample=3200, offset_sample=8000,
        onset_utc=onset_utc, peak=0.875, cut=True,
    )  # fmt: skip
    assert store.gaps(session) == [GapRecord(session, 8000, 9600, "lost")]


def test_provisional_and_withdrawn_events_are_not_kept(store):
    session = store.begin_session(facts())
    store.take(session, event("provisional", 1, 0, 320))
    assert store.events() == []
    store.take(session, event("confirmed", 2, 0, 320))
    store.take(session, event("withdrawn", 2, 0, 320))
    assert store.events() == []


def test_a_review_outlives_later_news_of_the_event(store):
    session = store.begin_session(facts())
    store.take(session, event("confirmed", 1, 0, 320))
    (found,) = store.events()
    store.review(found.id, "rejected", "the radio")
    store.take(session, event("closed", 1, 0, 640))
    store.review(found.id, "confirmed")
    (found,) = store.events()
    assert (found.review, found.note, found.state) == ("confirmed", "the radio", "closed")
    with pytest.raises(ValueError, match="verdict"):
        store.review(found.id, "perhaps")


def test_filters_narrow_and_sort(store):
    session, other = store.begin_session(facts()), store.begin_session(facts("file"))
    for number, label in enumerate(["Dog", "Cat", "Dog", "Speech"], start=1):
        onset = number * RATE
        store.take(session, event("closed", number, onset, onset + 320, label, score=number / 10))
    store.take(other, event("confirmed", 9, 0, 320))
    dogs = store.events(EventFilter(event_labels=("Dog",), session=session))
    store.review(dogs[1].id, "confirmed", "At the GATE")
    assert [record.number for record in dogs] == [1, 3]
    assert numbers(store, EventFilter(states=("open",))) == [9]
    assert numbers(store, EventFilter(reviews=("confirmed", "rejected"))) == [3]
    assert numbers(store, EventFilter(text="gate")) == [3]
    assert numbers(store, EventFilter(text="%")) == []
    assert numbers(store, EventFilter(least_peak=0.3, session=session)) == [3, 4]
    since, until = STARTED + timedelta(seconds=2), STARTED + timedelta(seconds=4)
    assert numbers(store, EventFilter(since=since, until=until)) == [2, 3]
    assert numbers(store, EventFilter(session=session, order="newest", limit=2, first=1)) == [3, 2]
    assert store.count_events(EventFilter(session=session, limit=1)) == 4
    assert numbers(store, EventFilter(event_labels=())) == []


def test_scores_come_back_in_steps_and_give_the_mean(store):
    session = store.begin_session(facts())
    scores = np.random.default_rng(0).random((50, 2), np.float32)
    store.scores(session, 100, ("Dog", "Cat"), scores[:20])
    store.scores(session, 120, ("Dog", "Cat"), scores[20:])
    blocks = store.score_blocks(session)
    assert [(block.first_frame, block.end_frame) for block in blocks] == [(100, 120), (120, 150)]
    restored = np.concatenate([block.as_float() for block in blocks])
    assert np.abs(restored - scores).max() <= 1 / 510 + 1e-6
    assert [block.first_frame for block in store.score_blocks(session, 125, 130)] == [120]
    assert store.score_blocks(session, 0, 100) == []

    store.take(session, event("closed", 1, 110 * 320, 130 * 320, "Cat"))
    store.take(session, event("closed", 2, 90 * 320, 130 * 320, "Cat"))
    known, unknown = sorted(store.events(), key=lambda record: record.number)
    assert known.mean == pytest.approx(scores[10:30, 1].mean(), abs=1 / 510)
    assert unknown.mean is None


def test_pitfall_counters_past_two_to_the_31_and_32(store):
    session = store.begin_session(facts())
    for number, onset in enumerate([2**31 - RATE, 2**31 + 320, 2**32 - RATE, 2**32 + 320], start=1):
        store.take(session, event("closed", number, onset, onset + 2 * RATE))
        store.take(session, gap(onset + 3 * RATE, onset + 4 * RATE))
        store.anchor(session, onset, onset * NS // RATE, to_ns(STARTED) + onset * NS // RATE)
    found = store.events()
    assert [record.onset_sample for record in found] == [
        2**31 - RATE, 2**31 + 320, 2**32 - RATE, 2**32 + 320,
    ]  # fmt: skip
    for record in found:
        late = record.onset_utc - (STARTED + timedelta(seconds=record.onset_sample / RATE))
        assert abs(late) <= timedelta(microseconds=1)
    assert [one.end_sample - one.start_sample for one in store.gaps(session)] == [RATE] * 4
    assert store.sessions()[0].end_sample == 2**32 + 320 + 4 * RATE


def test_utc_follows_the_anchors_and_one_late_block_moves_nothing(store):
    session = store.begin_session(facts())
    start = to_ns(STARTED) + 5 * NS  # the session began later than was thought
    for second in range(1, 12):
        late = 2 * NS if second == 6 else 0
        store.anchor(session, second * RATE, second * NS, start + second * NS + late)
    store.take(session, event("closed", 1, 12 * RATE, 13 * RATE))
    assert store.events()[0].onset_utc == STARTED + timedelta(seconds=17)


@pytest.mark.parametrize("hours", [8, -1])
def test_utc_follows_a_clock_that_jumps(store, hours):
    """A computer that sleeps, or is set to another time: neither the samples nor the monotonic clock count that."""
    session = store.begin_session(facts())
    start = to_ns(STARTED)
    for second in range(10, 600, 10):
        jump = hours * 3600 * NS if second > 300 else 0
        store.anchor(session, second * RATE, second * NS, start + second * NS + jump)
        if second in (300, 320):
            store.take(session, event("closed", second, second * RATE, (second + 1) * RATE))
    before, after = store.events(EventFilter(order="onset"))[:: 1 if hours > 0 else -1]
    assert before.onset_utc == STARTED + timedelta(seconds=300)
    assert after.onset_utc == STARTED + timedelta(seconds=320, hours=hours)


@given(st.datetimes().map(lambda naive: naive.replace(tzinfo=STARTED.tzinfo)))
def test_instants_survive_to_the_microsecond(instant):
    assert to_datetime(to_ns(instant)) == instant


def test_a_session_that_is_recorded_is_not_taken_for_one_left_behind(store):
    session = store.begin_session(facts())
    store.take(session, event("confirmed", 1, 0, 320))
    with Store(store.path) as other:
        assert other.recovered == []
        assert other.events()[0].state == "open"
    store.end_session(session)
    with Store(store.path) as other:
        assert (other.recovered, other.sessions()[0].recovered) == ([], False)


def test_a_session_left_behind_is_ended_and_its_open_event_cut(tmp_path):
    path = tmp_path / "history.sqlite"
    with Store(path) as store:
        session = store.begin_session(facts())
        store.take(session, event("closed", 1, 0, 320))
        store.take(session, event("confirmed", 2, 640, 960))
        store.take(session, event("update", 2, 640, 3200))
    with Store(path) as store:
        assert store.recovered == [session]
        closed, cut = store.events()
        assert (closed.state, closed.cut, closed.offset_sample) == ("closed", False, 320)
        assert (cut.state, cut.cut, cut.offset_sample) == ("closed", True, 3200)
        assert store.recover() == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["history.sqlite"]


def test_what_is_done_together_is_done_or_not(store):
    session = store.begin_session(facts())

    def fail_halfway():
        with store.together():
            store.take(session, event("closed", 1, 0, 320))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert store.events() == []


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be one" * 50, b"SQLite format 3\0" + b"\1" * 4096]
)
def test_a_file_that_is_no_database_ends_in_a_sentence_and_stays(tmp_path, content):
    path = tmp_path / "history.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_stays(tmp_path):
    path = tmp_path / "history.sqlite"
    for pragma in ("user_version = 0", "user_version = 7"):
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE IF NOT EXISTS bird(name)")
            other.execute(f"PRAGMA {pragma}")
        other.close()
        content = path.read_bytes()
        with pytest.raises(StoreError, match="a database of this program"):
            Store(path)
        assert path.read_bytes() == content


def test_a_later_schema_is_refused(tmp_path):
    path = tmp_path / "history.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as later:
        later.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    later.close()
    with pytest.raises(
        StoreError, match=f"expected schema version {SCHEMA_VERSION}, found {SCHEMA_VERSION + 1}"
    ):
        Store(path)


def test_a_folder_that_cannot_be_made_ends_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "file" / "history.sqlite")
