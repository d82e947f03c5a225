"""The latency figures are those of the stamps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.stream.stamps import FIGURES, STAMPS, TOLD, Stamps

RATE = 16_000


def stamps_with_blocks(n_blocks: int, block: int = 800, late_s=lambda _: 0.0) -> Stamps:
    """Blocks whose last sample was heard at sample / rate + 100 s, told late by so much."""
    stamps = Stamps(RATE)
    for number in range(1, n_blocks + 1):
        stamps.heard(number * block, 100 + number * block / RATE + late_s(number))
    return stamps


@given(st.lists(st.tuples(st.integers(0, 60_000), st.floats(0.1, 3.0)), min_size=1, max_size=40))
def test_percentiles_are_those_of_the_delays(events):
    stamps = stamps_with_blocks(100)
    for number, (onset, delay_s) in enumerate(events):
        stamps.told(number, "Dog", onset)
        stamps.shown(number, "provisional", 100 + onset / RATE + delay_s)
        stamps.shown(number, "provisional", 10**6)  # painted again
        stamps.shown(number, "confirmed", 100 + onset / RATE + 2 * delay_s)
    delays = np.array([delay_s for _, delay_s in events])
    for figures, factor in ((stamps.latency.provisional, 1), (stamps.latency.confirmed, 2)):
        assert figures is not None
        assert figures.count == len(events)
        assert figures.p50_s == pytest.approx(factor * np.percentile(delays, 50))
        assert figures.p95_s == pytest.approx(factor * np.percentile(delays, 95))


def test_the_earliest_estimate_counts_where_blocks_come_late():
    stamps = stamps_with_blocks(100, late_s=lambda number: 0.0 if number % 7 == 0 else 0.04)
    assert stamps.time_of(20_000) == pytest.approx(100 + 20_000 / RATE)


def test_a_loss_far_away_does_not_move_the_estimate():
    stamps = stamps_with_blocks(20)
    # After a stall of 5 s of which only 4 s were noticed.
    for number in range(20):
        stamps.heard(16_000 + 64_000 + number * 800, 100 + 6 + number * 0.05)
    assert stamps.time_of(15_000) == pytest.approx(100 + 15_000 / RATE)
    assert stamps.time_of(80_400) == pytest.approx(100 + 6 + 0.025)


def test_a_state_that_was_over_before_it_was_painted_counts_when_the_next_is():
    stamps = stamps_with_blocks(100)
    stamps.told(1, "Dog", 8_000)
    stamps.shown(1, "closed", 102.0)
    assert stamps.latency.provisional == stamps.latency.confirmed
    assert stamps.latency.confirmed is not None
    assert stamps.latency.confirmed.p50_s == pytest.approx(1.5)


def test_a_guess_that_was_painted_before_the_event_is_its_first_mark():
    stamps = stamps_with_blocks(100)
    stamps.guessed("Dog", 1_000, 4_000, 100.3)  # over before the event begins
    stamps.guessed("Cat", 16_000, 19_000, 101.1)
    stamps.guessed("Dog", 16_640, 19_000, 101.2)
    stamps.guessed("Dog", 16_640, 19_000, 101.3)  # painted again
    stamps.guessed("Dog", 16_320, 22_000, 101.4)
    stamps.told(1, "Dog", 16_000)
    stamps.shown(1, "provisional", 101.6)
    stamps.shown(1, "confirmed", 101.7)
    provisional, confirmed = stamps.latency.provisional, stamps.latency.confirmed
    assert provisional is not None
    assert confirmed is not None
    assert provisional.p50_s == pytest.approx(0.2)
    assert confirmed.p50_s == pytest.approx(0.7)


def test_what_is_unknown_is_not_counted():
    stamps = stamps_with_blocks(10)
    stamps.shown(5, "confirmed", 101.0)  # never told
    stamps.told(6, "Dog", 10**9)
    stamps.shown(6, "confirmed", 101.0)  # never heard
    stamps.told(7, "Dog", 100)
    stamps.shown(7, "withdrawn", 101.0)
    assert (stamps.latency.provisional, stamps.latency.confirmed) == (None, None)


def test_memory_is_bounded_and_the_figures_are_of_the_newest():
    stamps = stamps_with_blocks(5_000)
    for number in range(5_000):
        onset = 5_000 * 800 - 10_000
        stamps.told(number, "Dog", onset)
        stamps.shown(number, "confirmed", 100 + onset / RATE + (1.0 if number < 4_000 else 2.0))
    assert len(stamps._blocks) == STAMPS
    assert len(stamps._told) == TOLD
    assert stamps.latency.confirmed is not None
    assert stamps.latency.confirmed.count == FIGURES
    assert stamps.latency.confirmed.p50_s == pytest.approx(2.0)


def test_figures_outlive_a_run():
    stamps = stamps_with_blocks(10)
    stamps.told(1, "Dog", 100)
    stamps.shown(1, "provisional", 101.0)
    before = stamps.latency
    stamps.forget()
    stamps.shown(1, "confirmed", 102.0)
    assert stamps.latency == before
    assert stamps.time_of(100) is None


def test_guesses_that_are_painted_by_turns_keep_their_first_time():
    stamps = stamps_with_blocks(100)
    for repaint in range(200):
        for onset in (16_000, 40_000):
            stamps.guessed("Dog", onset, onset + 640, 101.1 + repaint * 0.01)
    stamps.told(1, "Dog", 16_000)
    stamps.shown(1, "provisional", 102.0)
    assert [(delay.event_label, delay.state) for delay in stamps.delays] == [("Dog", "provisional")]
    assert stamps.delays[0].seconds == pytest.approx(0.1)
