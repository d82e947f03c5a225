"""The status bar's figures: what was measured beside what the settings make."""

import dataclasses

import pytest

from edge_app.core.delay import algorithmic_delay
from edge_app.stream.board import Board
from edge_app.stream.messages import GapNews, Summary
from edge_app.stream.stamps import Latency, Percentiles
from edge_app.views.live.status import StatusRow, delay_text, health_text, worst_ms
from tests.stream.fakes import EVENT_LABELS, fake_bundle

RATE = 16_000


def test_the_first_mark_stands_beside_the_delay_of_a_guess_whose_scores_are_final():
    computed = algorithmic_delay(fake_bundle().manifest, 10)
    # A hop of 0.2 s, 0.24 s of context and 0.02 s of features; confirmed: half a median of 7 and 5 frames more.
    assert worst_ms(computed) == pytest.approx((460, 460 + 60 + 80))
    latency = Latency(Percentiles(9, 0.37, 0.49), Percentiles(8, 0.5, 0.58))
    snapshot = dataclasses.replace(Board(EVENT_LABELS).snapshot(), latency=latency)
    text = delay_text(snapshot, computed)
    assert text == "delay s: first mark 0.37/0.49 (≤ 0.46) · confirmed 0.50/0.58 (≤ 0.60)"
    assert "first mark – · confirmed –" in delay_text(Board(EVENT_LABELS).snapshot(), None)


def test_only_what_will_never_be_analysed_counts_as_not_analysed():
    board = Board(EVENT_LABELS)
    board.tell(Summary(RATE, RATE // 4, 3 * RATE // 4, 0, 2, 0.1, "test", 10, RATE, 0, 0.0))
    assert "overflows 2 · not analysed 0.0 s" in health_text(board.snapshot())
    board.take(GapNews(1.0, 1.5, RATE, 24_000, "lost"))
    assert "not analysed 0.5 s" in health_text(board.snapshot())


def test_numbers_change_a_few_times_a_second_and_the_state_at_once(qapp):
    row, board = StatusRow(), Board(EVENT_LABELS)
    row.set_delay(algorithmic_delay(fake_bundle().manifest, 10))
    row.show_snapshot(board.snapshot())
    assert row.texts()[0] == "■ stopped"
    board.take(GapNews(1.0, 1.5, RATE, 24_000, "lost"))
    row.show_snapshot(board.snapshot())
    assert "not analysed 0.0 s" in row.texts()[2]
    running = dataclasses.replace(board.snapshot().pulse, state="running")
    row.show_snapshot(dataclasses.replace(board.snapshot(), pulse=running))
    assert row.texts()[0] == "● listening"
    assert "not analysed 0.5 s" in row.texts()[2]
