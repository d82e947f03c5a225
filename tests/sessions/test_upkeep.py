"""The store is kept small beside a program that runs, and its thread ends at once."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from edge_app.sessions.upkeep import Upkeep
from edge_app.store.database import Store
from tests.store.told import RATE, event, facts

PATIENCE_S = 30.0
MOST = 100_000_000


@pytest.fixture
def path(tmp_path):
    """Three sessions of 1, 10 and 40 days ago, with ten events each."""
    with Store(tmp_path / "history.sqlite") as store:
        for age in (40, 10, 1):
            session = store.begin_session(facts(f"{age}", datetime.now(UTC) - timedelta(days=age)))
            with store.together():
                for number in range(1, 11):
                    store.take(session, event("closed", number, number * RATE, number * RATE + 320))
            store.end_session(session, 20 * RATE)
        return store.path


def sources(path):
    with Store(path) as store:
        return [session.source for session in store.sessions()]


def test_what_is_old_goes_at_the_start_and_when_the_limits_change(path):
    with Upkeep(path, 30, MOST) as upkeep:
        assert upkeep.wait(1, PATIENCE_S)
        assert sources(path) == ["1", "10"]
        upkeep.change(30, MOST)  # the same: nothing to do
        upkeep.change(5, MOST)
        assert upkeep.wait(2, PATIENCE_S)
        assert sources(path) == ["1"]
        assert (upkeep.deleted, upkeep.problem) == (20, None)


def test_it_looks_again_after_the_interval(path):
    with Upkeep(path, None, None, interval_s=0.02) as upkeep:
        assert upkeep.wait(3, PATIENCE_S)
    assert len(sources(path)) == 3


def test_beyond_the_size_the_oldest_goes(path):
    with Upkeep(path, None, 1) as upkeep:
        assert upkeep.wait(1, PATIENCE_S)
        assert upkeep.deleted == 30
    with Store(path) as store:
        assert store.count_events() == 0


def test_a_store_that_is_none_is_told_and_one_that_is_not_there_is_not_made(tmp_path):
    text = tmp_path / "text"
    text.write_text("no database" * 100)
    with Upkeep(text, 30, MOST) as upkeep, Upkeep(tmp_path / "none", 30, MOST) as other:
        assert upkeep.wait(1, PATIENCE_S)
        assert other.wait(1, PATIENCE_S)
        assert "text: cannot be opened" in (upkeep.problem or "")
        assert other.problem is None
    assert not (tmp_path / "none").exists()


def test_its_thread_ends_with_it(path):
    upkeep = Upkeep(path, 30, MOST)
    upkeep.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "sedge-upkeep"]
