"""A recording process is killed at random moments: the database opens, and nothing that was closed is lost."""

import multiprocessing
import random
import sys
from pathlib import Path

import pytest

from edge_app.store.database import Store
from edge_app.store.queries import EventFilter
from tests.store.recorder import record

KILLS = 20

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs processes that start in no time")


def record_and_kill(path: Path, chance: random.Random) -> int:
    """Number of the last event that was on the disk when the process was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.store.recorder"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=record, args=(path, sender))
    process.start()
    sender.close()
    last = 0
    try:
        for _ in range(chance.randint(0, 6)):
            last = receiver.recv()
        receiver.poll(chance.uniform(0, 0.02))  # anywhere in the writing of the next one
    finally:
        process.kill()
        process.join()
    while True:  # what it wrote before it was killed
        try:
            last = receiver.recv()
        except EOFError:
            return last


def test_pitfall_no_closed_event_is_lost_when_the_process_is_killed(tmp_path):
    path, chance = tmp_path / "history.sqlite", random.Random(5)
    lasts = [record_and_kill(path, chance) for _ in range(KILLS)]
    with Store(path) as store:
        sessions = sorted(store.sessions(), key=lambda session: session.id)
        # Killed before it had begun, a process leaves no session: then it had told of nothing on the disk.
        told = [last for last in lasts if last]
        assert len(sessions) >= len(told) > KILLS // 2
        assert all(session.ended and session.recovered for session in sessions)
        kept = [closed_numbers(store, session.id) for session in sessions]
    remaining = iter(kept)
    for last in told:
        assert any(set(range(1, last + 1)) <= numbers for numbers in remaining)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["history.sqlite"]


def closed_numbers(store: Store, session: int) -> set[int]:
    """Numbers of a session's whole events; the others must be marked as cut."""
    records = store.events(EventFilter(session=session))
    assert all(record.state == "closed" for record in records)
    left_open = [record for record in records if record.number < 0 or record.offset_sample % 16_000 < 960]
    assert all(record.cut for record in left_open)
    assert len(left_open) <= 2
    whole = {record.number for record in records if record not in left_open}
    assert not any(record.cut for record in records if record.number in whole)
    return whole
