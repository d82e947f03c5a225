"""The whole path from samples to the disk is killed at random moments: what had been closed is there, to the sample."""

import multiprocessing
import random
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from edge_app.store.database import Store
from edge_app.store.queries import EventFilter
from edge_app.store.records import EventRecord
from edge_app.stream.messages import EventNews
from tests.app.kept import RATE, SECONDS, SEED, Closed, listen
from tests.stream.fakes import ScriptedSource, bursts
from tests.stream.runs import run_engine

KILLS = 20
AT_ONCE = 4
COMMIT_S = 0.3
"""So long before the kill, an event that was told is on the disk."""
PATIENCE_S = 60.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs processes that start in no time")


@pytest.fixture(scope="module")
def truth() -> list[Closed]:
    """All events of the signal in the order in which they are closed, from a run that nobody kills."""
    news, _, _ = run_engine(ScriptedSource([bursts(SECONDS * RATE, SEED)]))
    return [
        (one.event_label, one.onset_sample, one.offset_sample)
        for one in news
        if isinstance(one, EventNews) and one.type == "closed"
    ]


class Victim:
    """One listening process."""

    def __init__(self, path: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.app.kept"])
        self.path = path
        self.told: list[tuple[float, Closed]] = []
        self._receiver: Connection
        self._receiver, sender = context.Pipe(duplex=False)
        self._process: BaseProcess = context.Process(target=listen, args=(path, sender))
        self._process.start()
        sender.close()

    def hear(self, until_s: float) -> bool:
        """Take what is told until that moment; whether anything was."""
        while self._receiver.poll(max(0.0, until_s - time.monotonic())):
            self.told.append((time.monotonic(), self._receiver.recv()))
        return bool(self.told)

    def kill(self) -> float:
        """End it as a power cut does; the moment before."""
        moment = time.monotonic()
        self._process.kill()
        self._process.join()
        self._receiver.close()
        return moment


@pytest.mark.parametrize("round_number", range(KILLS // AT_ONCE))
def test_pitfall_what_was_closed_before_the_kill_is_there_and_what_was_open_is_cut(
    tmp_path, truth, round_number
):
    chance = random.Random(round_number)
    victims = [Victim(tmp_path / f"{number}.sqlite") for number in range(AT_ONCE)]
    begin = time.monotonic()
    for victim in victims:  # each has told of something, and goes on for a while
        while not victim.hear(time.monotonic() + 0.05):
            assert time.monotonic() < begin + PATIENCE_S
    moments = sorted((chance.uniform(0.0, 0.6), number) for number in range(AT_ONCE))
    begin = time.monotonic()
    kept, cut = 0, 0
    for delay_s, number in moments:
        victim = victims[number]
        victim.hear(begin + delay_s)
        of_this = check(victim, victim.kill(), truth)
        kept, cut = kept + of_this[0], cut + of_this[1]
    print(f"whole {kept}, cut {cut}")
    assert kept > AT_ONCE


def check(victim: Victim, killed_s: float, truth: list[Closed]) -> tuple[int, int]:
    """How many events were kept whole, and how many were cut by the kill."""
    with Store(victim.path) as store:
        (session,) = store.sessions()
        assert session.ended
        assert session.recovered
        records = store.events(EventFilter(session=session.id))
        blocks = store.score_blocks(session.id)
    assert [block.first_frame for block in blocks] == sorted(block.first_frame for block in blocks)
    whole = {closed_record(record) for record in records if not record.cut}
    order = [truth.index(one) for one in whole]  # an event that never was is not in the list
    assert sorted(order) == list(range(len(order))), "one that was closed earlier is missing"
    known = {one for told_s, one in victim.told if killed_s - told_s > COMMIT_S}
    assert known <= whole
    for record in records:
        assert record.state == "closed"
        if record.cut:
            assert any(
                (label, onset) == (record.event_label, record.onset_sample) and record.offset_sample <= offset
                for label, onset, offset in truth
            )
    return len(whole), len(records) - len(whole)


def closed_record(record: EventRecord) -> Closed:
    return record.event_label, record.onset_sample, record.offset_sample
