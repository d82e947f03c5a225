"""Advice comes under lasting overload and where only zeros arrive, and goes again."""

import numpy as np
import pytest

from edge_app.stream.advice import OVER_S, SILENCE_WORDS, Adviser, overload_words
from edge_app.stream.board import Board
from edge_app.stream.messages import GapNews, Summary

RATE = 16_000


def books(heard_s: float, busy_s: float, hop_frames: int = 10) -> Summary:
    """All that was heard has been analysed in so much time."""
    heard = round(heard_s * RATE)
    return Summary(heard, heard, 0, 0, 0, busy_s / max(heard_s, 1e-9), "test", hop_frames, RATE, 0, 0.0)


def words_after(loads, step_s: float = 0.1) -> list[str]:
    """What is said after each step of sound that takes such a share of its time."""
    adviser, heard_s, busy_s, said = Adviser(RATE, (50, 5, 10, 25)), 0.0, 0.0, []
    for load in loads:
        heard_s, busy_s = heard_s + step_s, busy_s + load * step_s
        adviser.take(books(heard_s, busy_s))
        said.append(adviser.words)
    return said


def test_ten_seconds_of_overload_are_told_with_the_next_larger_step():
    said = words_after([0.2] * 300 + [0.95] * 200)
    assert not any(said[:300])
    first = next(step for step, words in enumerate(said) if words) - 300
    # The load over ten seconds has to pass 0.8, which 0.95 does after eight of them.
    assert 75 <= first <= 100
    assert "0.5 s instead of 0.2 s" in said[-1]


def test_short_bursts_are_not_told():
    assert not any(words_after(([0.1] * 60 + [1.0] * 40) * 8))


def test_the_first_seconds_are_not_judged():
    assert not any(words_after([0.99] * int(OVER_S / 0.1 - 5)))


def test_advice_stays_the_same_while_it_is_true_and_goes_with_relief():
    said = words_after([0.9] * 200 + [1.0] * 200 + [0.1] * 200)
    assert len({words for words in said if words}) == 1
    assert said[-1] == ""


def test_the_largest_step_has_no_larger_one():
    assert "smaller model" in overload_words(0.93, 50, (5, 10, 25, 50))
    assert "93%" in overload_words(0.93, 50, (5, 10, 25, 50))


@pytest.mark.parametrize("block", [160, 800, 50_000])
def test_five_seconds_of_zeros_are_told_until_sound_comes(block):
    adviser = Adviser(RATE)
    adviser.hear(np.ones(block, np.float32))
    heard = 0
    while heard + block < 5 * RATE:
        adviser.hear(np.zeros(block, np.float32))
        heard += block
        assert adviser.words == ""
    adviser.hear(np.zeros(block, np.float32))
    assert adviser.words == SILENCE_WORDS
    adviser.hear(np.array([0.0, 1e-6, 0.0], np.float32))
    assert adviser.words == ""


def test_a_board_gives_advice_and_forgets_it_with_the_run():
    board = Board(("Cat",))
    board.hear(0, np.zeros(6 * RATE, np.float32), 1.0)
    board.tell(books(6.0, 0.1))
    assert board.snapshot().advice == SILENCE_WORDS
    board.take(books(6.0, 0.1))
    assert board.snapshot().advice == ""


def test_samples_on_their_way_are_not_called_not_analysed():
    board = Board(("Cat",))
    board.tell(Summary(RATE, RATE // 2, RATE // 2, 0, 0, 0.1, "test", 10, RATE, 0, 0.0))
    assert board.snapshot().not_analysed_s == 0
    board.take(GapNews(1.0, 3.0, RATE, 3 * RATE, "skipped"))
    assert board.snapshot().not_analysed_s == 2.0
    board.take(Summary(2 * RATE, RATE, 100, 2 * RATE, 0, 0.1, "test", 10, RATE, 0, 0.0))
    assert board.snapshot().not_analysed_s == pytest.approx(2 + 100 / RATE)


def test_marks_are_kept_in_order_and_forgotten_with_the_past():
    board = Board(("Cat",), seconds=10.0)
    board.mark(RATE, "kettle")
    board.mark(5 * RATE)
    assert [(mark.sample, mark.note) for mark in board.snapshot().marks] == [
        (RATE, "kettle"),
        (5 * RATE, ""),
    ]
    board.take(GapNews(0.0, 12.0, 0, 12 * RATE, "lost"))
    assert [mark.sample for mark in board.snapshot().marks] == [5 * RATE]
