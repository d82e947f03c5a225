"""What is deleted and what is kept: the oldest goes first, reviewed events stay, clips go with their events."""

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge_app.store.database import Store
from edge_app.store.queries import EventFilter
from tests.store.told import RATE, event, facts

DAYS = 10


@pytest.fixture
def store(tmp_path):
    """Ten sessions of ten past days, each with two events that have clips; in the oldest, one is reviewed."""
    with Store(tmp_path / "history.sqlite") as opened:
        now = datetime.now(UTC)
        opened.clip_folder.mkdir()
        for age in range(DAYS, 0, -1):
            session = opened.begin_session(facts(f"day {age}", now - timedelta(days=age - 0.5)))
            with opened.together():
                for number in (1, 2):
                    opened.take(session, event("closed", number, number * RATE, number * RATE + 320))
                    clip = opened.clip_folder / f"{session}-{number}.flac"
                    clip.write_bytes(bytes(50_000))
                    opened.set_clip(session, number, clip)
                opened.scores(
                    session, 0, ("Dog",), np.random.default_rng(age).random((20_000, 1), np.float32)
                )
            opened.end_session(session, 20_000 * 320)
        (oldest, _) = opened.events(EventFilter(limit=2))
        opened.review(oldest.id, "confirmed")
        yield opened


def bytes_taken(store: Store) -> int:
    return sum(file.stat().st_size for file in store.path.parent.rglob("*") if file.is_file())


def test_old_events_go_with_clips_and_scores_and_reviewed_ones_stay(store):
    assert store.delete_older(days=3) == 2 * 7 - 1
    assert [session.source for session in store.sessions()] == ["day 1", "day 2", "day 3", "day 10"]
    kept = store.events()
    assert len(kept) == 7
    assert kept[0].review == "confirmed"
    assert sorted(store.clip_folder.iterdir()) == sorted(record.clip_path for record in kept)
    assert store.score_blocks(kept[0].session) == []
    assert all(store.score_blocks(record.session) for record in kept[1:])
    assert store.delete_older(days=3) == 0


def test_shrinking_deletes_the_oldest_until_it_fits(store):
    before, most = bytes_taken(store), 500_000
    assert before > 2 * most
    assert store.shrink(most) > 0
    assert (
        most / 2 < bytes_taken(store) <= most + 100_000
    )  # what the database leaves beside itself is not counted
    kept = store.events()
    assert kept[0].review == "confirmed"
    newest = [record.session for record in kept[1:]]
    assert newest == sorted(newest)
    assert newest[-1] == DAYS
    assert min(newest) == DAYS - len(set(newest)) + 1
    assert store.shrink(most) == 0


def test_shrinking_ends_where_only_reviewed_events_are_left(store):
    assert store.shrink(0) == 2 * DAYS - 1
    assert [record.review for record in store.events()] == ["confirmed"]
    assert len(list(store.clip_folder.iterdir())) == 1


def test_a_session_that_runs_loses_what_is_old_and_goes_on(store):
    session = store.begin_session(facts("running", datetime.now(UTC) - timedelta(days=40)))
    second = 24 * 3600 * RATE
    for day in (0, 20, 39):
        store.take(session, event("closed", day, day * second, day * second + 320))
    store.take(session, event("confirmed", 99, second, second + 320))
    store.anchor(session, 39 * second, 0, time.time_ns())
    store.delete_older(days=30)
    running = EventFilter(session=session)
    assert [record.number for record in store.events(running)] == [99, 20, 39]
    store.take(session, event("closed", 100, 40 * second, 40 * second + 320))
    assert store.count_events(running) == 4


def test_no_file_outside_the_clip_folder_is_deleted(store, tmp_path):
    (record,) = store.events(EventFilter(limit=1, first=1))
    precious = tmp_path / "precious.flac"
    precious.write_text("")
    store.set_clip(record.session, record.number, precious)
    assert store.shrink(0) > 0
    assert precious.exists()


def recorded(store: Store, age: float, size: int = 1_000_000) -> int:
    """A session that began `age` days ago, with a recording."""
    session = store.begin_session(facts("recorded", datetime.now(UTC) - timedelta(days=age)))
    path = store.clip_folder / f"whole-{session}.flac"
    path.write_bytes(bytes(size))
    store.set_recording(session, path)
    return session


def test_a_recording_goes_by_its_beginning_and_never_while_it_is_made(store):
    old, new, running = recorded(store, 5), recorded(store, 1), recorded(store, 5)
    for session in (old, new):
        store.take(session, event("closed", 1, 4 * 86_400 * RATE, 4 * 86_400 * RATE + 320))
        store.end_session(session)
    store.delete_older(days=3)
    kept = {session.id: session.recording for session in store.sessions([old, new, running])}
    assert kept[old] is None
    assert kept[new] is not None
    assert kept[running] is not None
    assert kept[new].exists()
    assert kept[running].exists()
    assert len(list(store.clip_folder.glob("whole-*"))) == 2


def test_recordings_count_once_they_are_made(store):
    running = recorded(store, 1, size=50_000_000)
    before = store.count_events()
    assert store.shrink(5_000_000) == 0
    store.end_session(running)
    assert store.shrink(5_000_000) > 0
    assert store.count_events() < before
    assert [session.recording for session in store.sessions([running])] in ([], [None])
    assert not list(store.clip_folder.glob("whole-*"))


def test_what_was_marked_stays(store):
    oldest = store.sessions()[-2].id
    mark = store.mark(oldest, RATE, "the kettle")
    store.delete_older(days=3)
    assert [(one.id, one.note) for one in store.marks(oldest)] == [(mark, "the kettle")]
