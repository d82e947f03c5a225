"""One action with its thread: what is told, tried again, dropped and given up, and that nobody waits for it."""

import threading
import time

import pytest

from edge_app.actions.action import CAPACITY, RETRY_WAITS_S, Action
from edge_app.actions.command import Command
from edge_app.actions.receiver import DeliveryError
from edge_app.actions.webhook import Webhook
from tests.actions.receivers import PATIENCE_S, an_occasion, nobody, receiver, silent_server
from tests.actions.test_command import python

LABELS = ["Dog", "Cat", "Speech", "Blender"]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class Held:
    """A receiver that is stuck until `free` is set."""

    name = "held"

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.free = threading.Event()
        self.done = threading.Semaphore(0)
        self.labels: list[str] = []

    def deliver(self, occasion) -> None:
        self.entered.set()
        assert self.free.wait(PATIENCE_S)
        self.labels.append(occasion.event_label)
        self.done.release()

    def abandon(self) -> None:
        self.free.set()


def counts(action: Action) -> dict[str, int]:
    names = ("delivered", "failed", "dropped", "held_back", "unsent")
    return {name: getattr(action, name) for name in names if getattr(action, name)}


def no_complaint(message: str) -> None:
    raise AssertionError(message)


def test_pitfall_a_label_is_told_once_a_cooldown_and_each_label_on_its_own():
    with receiver() as server:
        with Action(Webhook(f"{server.url}/x"), no_complaint, cooldown_s=60) as action:
            for onset in range(0, 130, 10):
                for label in LABELS[:2]:
                    action.take(an_occasion(label, onset))
        told = [(one["event_label"], one["onset"]) for one in server.told]
    assert told == [(label, onset) for onset in (0, 60, 120) for label in LABELS[:2]]
    assert counts(action) == {"delivered": 6, "held_back": 20}
    assert action.summary_text == (f"webhook {server.url}: told of 6 events, 20 held back by the cooldown")


def test_a_server_error_is_tried_again_and_told_to_nobody():
    with receiver(500, 503) as server:
        action = Action(Webhook(server.url), no_complaint, retry_waits_s=(0.001, 0.001))
        action.take(an_occasion())
        server.wait_for(3)
        action.close()
    assert counts(action) == {"delivered": 1}
    assert len({body for *_, body in server.requests}) == 1


def test_attempts_are_bounded():
    complaints: list[str] = []
    with receiver(*[500] * 10) as server:
        action = Action(Webhook(server.url), complaints.append, retry_waits_s=(0.001, 0.001))
        action.take(an_occasion())
        server.wait_for(3)
        action.close()
    assert len(server.requests) == 3
    assert counts(action) == {"failed": 1}
    assert complaints == [f"webhook {server.url}: expected answer 200, found 500 Internal Server Error"]
    assert sum(RETRY_WAITS_S) < 10
    assert list(RETRY_WAITS_S) == sorted(RETRY_WAITS_S)


def test_what_is_refused_is_not_tried_again():
    complaints: list[str] = []
    with receiver(404) as server, Action(Webhook(server.url), complaints.append) as action:
        action.take(an_occasion())
    assert len(server.requests) == 1
    assert counts(action) == {"failed": 1}


@pytest.mark.parametrize("kind", ["nobody", "silent"])
def test_pitfall_a_dead_or_silent_receiver_delays_nobody(kind):
    with nobody() if kind == "nobody" else silent_server() as url:
        action = Action(Webhook(url, timeout_s=0.2), lambda _: None, cooldown_s=0, capacity=8)
        begin = time.perf_counter()
        for onset in range(1000):
            action.take(an_occasion("Dog", onset))
        took_s = time.perf_counter() - begin
        action.close(grace_s=0.0)
    assert took_s < 3.0  # a thousand of them, while a single attempt waits for 0.2 s
    assert action.delivered == 0
    assert action.dropped >= 980
    assert action.dropped + action.failed + action.unsent == 1000
    assert "dropped because 8 were waiting" in action.summary_text


def test_a_full_queue_drops_and_the_label_stays_ready():
    held = Held()
    with Action(held, no_complaint, capacity=2) as action:
        action.take(an_occasion("Dog"))
        assert held.entered.wait(PATIENCE_S)
        for label in LABELS[1:]:
            action.take(an_occasion(label))
        assert counts(action) == {"dropped": 1}
        held.free.set()
        for _ in LABELS[:2]:
            assert held.done.acquire(timeout=PATIENCE_S)
        action.take(an_occasion(LABELS[3], onset=2.0))
    assert held.labels == LABELS
    assert counts(action) == {"delivered": 4, "dropped": 1}
    assert CAPACITY >= 10


def test_what_waits_at_the_end_is_told_within_the_grace():
    with receiver() as server:
        action = Action(Webhook(server.url), no_complaint, cooldown_s=0)
        for onset in range(20):
            action.take(an_occasion("Dog", onset))
        action.close()
        assert [one["onset"] for one in server.told] == list(range(20))


def test_what_does_not_end_is_given_up_and_counted():
    command = Command(python("import time; time.sleep(600)"))
    before = threading.active_count()
    action = Action(command, no_complaint, cooldown_s=0)
    for onset in range(3):
        action.take(an_occasion("Dog", onset))
    action.close(grace_s=0.2)
    assert counts(action) == {"unsent": 3}
    assert action.summary_text.endswith(": told of 0 events, 3 given up at the end")
    assert threading.active_count() == before


def test_the_end_does_not_wait_for_another_attempt():
    with nobody() as url:
        action = Action(Webhook(url), lambda _: None, retry_waits_s=(3600,))
        action.take(an_occasion())
        action.close()
    assert counts(action) == {"failed": 1}


def test_a_failing_command_is_told_once_a_cooldown():
    times, complaints = iter([0.0, 59.0, 60.0, 61.0]), []
    command = Command(python("raise SystemExit(4)"))
    with Action(command, complaints.append, cooldown_s=60, clock=lambda: next(times)) as action:
        for number in range(4):
            action.take(an_occasion(f"label {number}"))
    assert counts(action) == {"failed": 4}
    assert complaints == [f"{command.name}: expected exit code 0, found 4"] * 2


def test_an_error_that_nobody_thought_of_ends_neither_the_thread_nor_the_secret():
    class Broken(Held):
        def deliver(self, occasion) -> None:
            raise RuntimeError("s3cret")

    complaints: list[str] = []
    with Action(Broken(), complaints.append, cooldown_s=0) as action:
        action.take(an_occasion(onset=1))
        action.take(an_occasion(onset=2))
    assert counts(action) == {"failed": 2}
    assert complaints == ["held: failed with RuntimeError"] * 2


def test_words_that_cannot_be_written_do_not_end_it():
    def closed_stream(_message: str) -> None:
        raise BrokenPipeError

    class Failing(Held):
        def deliver(self, occasion) -> None:
            raise DeliveryError("no", temporary=False)

    with Action(Failing(), closed_stream, cooldown_s=0) as action:
        action.take(an_occasion(onset=1))
        action.take(an_occasion(onset=2))
    assert counts(action) == {"failed": 2}
