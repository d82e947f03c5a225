"""A microphone that stalls, comes back, vanishes, overflows or is silent, by a clock of the test's own."""

import threading
from itertools import pairwise

import numpy as np
import pytest

from edge_app.core.errors import DeviceError
from edge_app.stream.engine import Engine
from edge_app.stream.messages import GapNews, Summary
from edge_app.stream.microphone import MicrophoneSource
from edge_app.stream.punctuality import Punctuality
from edge_app.stream.ring import Block, Missing, SampleRing
from tests.stream.fakes import fake_detector
from tests.stream.rooms import BLOCK, RATE, Room


def microphone(room: Room, reconnect_s: float = 30.0) -> tuple[MicrophoneSource, list[str]]:
    notices: list[str] = []
    source = MicrophoneSource(
        None, reconnect_s, notices.append, driver=room, clock=room.clock, wait=room.wait
    )
    return source, notices


def listen(room: Room, reconnect_s: float = 30.0):
    """Items of the ring, what was said, the source, and the error that ended it."""
    source, notices = microphone(room, reconnect_s)
    ring, error = SampleRing(400 * RATE), None
    try:
        source.run(ring, threading.Event())
    except DeviceError as caught:
        error = caught
    ring.close()
    items = []
    while (item := ring.read(10**9)) is not None:
        items.append(item)
    return items, notices, source, error


def lengths(items) -> tuple[int, list[float]]:
    """Samples received, and each gap in seconds."""
    received = sum(len(item.samples) for item in items if isinstance(item, Block))
    gaps = [(item.end - item.start) / RATE for item in items if isinstance(item, Missing)]
    return received, gaps


def test_an_undisturbed_microphone_delivers_everything_and_is_closed():
    room = Room(end_s=20)
    items, notices, source, error = listen(room)
    assert lengths(items) == (room._ticks * BLOCK, [])
    assert (notices, error, source.state, room.closed) == ([], None, "stopped", 1)
    assert source.name == "desk, ALSA"


@pytest.mark.parametrize("silent_s", [1.6, 4.0, 12.0, 29.0])
def test_a_stalled_microphone_comes_back_as_a_gap_as_long_as_the_clock_says(silent_s):
    room = Room(end_s=60)
    room.delivers = lambda now: not 10 <= now < 10 + silent_s
    items, notices, _, error = listen(room)
    received, (gap,) = lengths(items)
    assert error is None
    assert "stopped delivering" in notices[0]
    # The whole is as long as the clock says; the gap lasts from the last block before to the first one after.
    assert received / RATE + gap == pytest.approx(room._ticks * BLOCK / RATE, abs=1 / RATE)
    assert gap >= silent_s - 0.06
    before, _, after = items
    first_heard_s = after.samples[0] / room.loudness
    assert after.start / RATE == pytest.approx(first_heard_s - BLOCK / RATE, abs=2 / RATE)
    assert before.start + len(before.samples) == items[1].start
    assert len(room.refreshed) == len(room.opened) - 1 == room.closed - 1


def test_pauses_between_attempts_grow():
    room = Room(end_s=200)
    room.is_present = lambda now: not 10 <= now < 100
    _, notices, _, error = listen(room, reconnect_s=150.0)
    assert error is None
    times = [10.0, *room.refreshed]
    assert [b - a for a, b in pairwise(times)] == pytest.approx([1, 2, 5, 10, 30, 30, 30], abs=0.55)
    assert len([notice for notice in notices if notice.startswith("attempt")]) == 6
    assert "again" in notices[-1]


def test_a_shorter_pause_is_the_last_attempt_before_the_time_is_up():
    room = Room(end_s=200)
    room.is_present = lambda now: not 10 <= now < 15.5
    items, _, _, error = listen(room, reconnect_s=5.0)
    assert error is None
    assert len(lengths(items)[1]) == 1


def test_a_microphone_that_never_comes_back_ends_with_an_error_and_an_honest_gap():
    room = Room(end_s=200)
    room.is_present = lambda now: now < 10
    items, notices, source, error = listen(room, reconnect_s=20.0)
    assert error is not None
    assert error.exit_code == 3
    assert "desk" in str(error)
    assert "\n" not in str(error)
    received, (gap,) = lengths(items)
    assert 20 < gap < 24
    assert received / RATE + gap == pytest.approx(room.now, abs=0.04)
    assert source.state == "failed"
    assert [notice for notice in notices if "attempt" in notice]


def test_a_microphone_that_opens_again_but_stays_mute_ends_too():
    room = Room(end_s=300)
    room.delivers = lambda now: now < 10
    _, _, _, error = listen(room, reconnect_s=20.0)
    assert error is not None
    assert room.now < 40
    assert len(room.opened) > 2


def test_stopping_while_it_is_stalled_counts_the_time_since():
    room = Room(end_s=20)
    room.delivers = lambda now: now < 10
    items, _, _, error = listen(room)
    received, (gap,) = lengths(items)
    assert error is None
    assert received / RATE + gap == pytest.approx(room.now, abs=0.04)


def test_a_microphone_that_cannot_be_opened_at_first_is_an_error_at_once():
    room = Room(end_s=20)
    source, _ = microphone(room)
    room.is_present = lambda _: False
    with pytest.raises(DeviceError):
        source.run(SampleRing(RATE), threading.Event())
    assert room.now == 0
    with pytest.raises(DeviceError):
        microphone(room)


def test_blocks_of_a_stream_that_was_given_up_are_not_heard():
    room = Room(end_s=20)
    source, _ = microphone(room)
    room.delivers = lambda now: not 5 <= now < 8
    ring = SampleRing(400 * RATE)
    source.run(ring, threading.Event())
    assert len(room.listeners) == 2
    backlog = ring.backlog
    for listener in room.listeners:
        listener(np.ones(BLOCK, np.float32), False)
    assert ring.backlog == backlog


def test_an_overflow_is_counted_and_its_length_is_taken_from_the_clock():
    room = Room(end_s=30)
    # 0.6 s of blocks are dropped, and the driver says so with the next one.
    room.delivers = lambda now: not 10 <= now < 10.6
    room.overflows = lambda now: 10.6 <= now < 10.6 + BLOCK / RATE
    items, notices, source, _ = listen(room)
    received, (gap,) = lengths(items)
    assert gap == pytest.approx(0.6, abs=0.031)
    assert received / RATE + gap == pytest.approx(room._ticks * BLOCK / RATE, abs=0.001)
    assert source.overflows == 1
    assert notices == []


def test_an_overflow_without_a_loss_breaks_the_signal_by_a_sample():
    room = Room(end_s=20)
    room.overflows = lambda now: 10 <= now < 10 + BLOCK / RATE
    items, _, source, _ = listen(room)
    assert lengths(items) == (room._ticks * BLOCK, [1 / RATE])
    assert source.overflows == 1


def test_a_loss_that_the_driver_hides_is_found_by_the_clock():
    room = Room(end_s=30)
    room.delivers = lambda now: not 10 <= now < 10.6
    items, _, source, _ = listen(room)
    _, (gap,) = lengths(items)
    assert gap == pytest.approx(0.6, abs=0.031)
    assert source.overflows == 0


def test_nothing_but_zeros_is_hinted_at_once():
    room = Room(end_s=60)
    room.loudness = 0.0
    _, notices, _, _ = listen(room)
    assert len(notices) == 1
    assert "zeros" in notices[0]


def test_drift_and_late_blocks_are_no_loss():
    punctuality, now, missing = Punctuality(RATE), 0.0, 0
    rng = np.random.default_rng(1)
    punctuality.restart(0.0)
    for _ in range(100_000):  # 50 minutes
        now += BLOCK / RATE * (1 + 300e-6)
        # Every now and then a block is late, and those behind it come in a burst.
        missing += punctuality.take(BLOCK, now + rng.exponential(0.03))
    assert missing == 0


def test_the_engine_goes_on_after_a_stall_in_the_same_count_of_time():
    room = Room(end_s=40)
    room.delivers = lambda now: not 10 <= now < 14
    source, _ = microphone(room)
    *news, summary = Engine(source, fake_detector(), max_lag_s=100.0)
    assert isinstance(summary, Summary)
    (gap,) = [one for one in news if isinstance(one, GapNews)]
    assert gap.kind == "lost"
    assert summary.samples_gap == gap.offset_sample - gap.onset_sample
    assert summary.samples_received + summary.samples_gap == pytest.approx(room._ticks * BLOCK, abs=1)
    assert summary.samples_analysed + summary.samples_not_analysed == summary.samples_received


def test_the_engine_sums_up_before_it_tells_that_the_microphone_has_gone():
    room = Room(end_s=200)
    room.is_present = lambda now: now < 10
    source, _ = microphone(room, reconnect_s=5.0)
    news = []
    with pytest.raises(DeviceError):
        news.extend(Engine(source, fake_detector(), max_lag_s=100.0))
    assert isinstance(news[-2], GapNews)
    assert isinstance(news[-1], Summary)
    assert news[-1].samples_gap > 6 * RATE
