"""An hour of hops leaves as much memory in use as it found, and no hop takes more than another."""

import threading
import tracemalloc

import pytest

from edge_app.stream.board import Board
from edge_app.stream.live_run import LiveRun
from edge_app.stream.messages import News
from edge_app.stream.ring import SampleRing
from tests.stream.fakes import EVENT_LABELS, bursts, fake_detector

RATE = 16_000
BOARD_S = 60.0
MOST_GROWTH = 500_000
"""Bytes from one third of the run to the last: lists of bounded length still fill; a kilobyte a step would show."""
MINUTE = 60 * RATE


class EndlessSource:
    """One minute of noise again and again, as fast as it is taken."""

    name = "noise"
    sample_rate = RATE
    live = False
    overflows = 0

    def __init__(self, minutes: int) -> None:
        self._minutes = minutes
        self._samples = bursts(MINUTE)

    def run(self, ring: SampleRing, stop: threading.Event) -> None:
        for _ in range(self._minutes):
            for start in range(0, MINUTE, RATE):
                if stop.is_set() or not ring.write_when_free(self._samples[start : start + RATE]):
                    return


class Scale:
    """Weighs Python's memory once a minute of sound, in the thread that hands news on."""

    def __init__(self, board: Board) -> None:
        self.in_use: list[int] = []
        self.peaks: list[int] = []
        self._board = board
        self._next = 2 * MINUTE

    def take(self, news: News) -> None:
        if self._board.snapshot().now_sample < self._next:
            return
        self._next += MINUTE
        in_use, peak = tracemalloc.get_traced_memory()
        self.in_use.append(in_use)
        self.peaks.append(peak - in_use)
        tracemalloc.reset_peak()


def weigh(minutes: int) -> Scale:
    board = Board(EVENT_LABELS, seconds=BOARD_S)
    scale = Scale(board)
    tracemalloc.start()
    try:
        run = LiveRun(EndlessSource(minutes), fake_detector(), board, [scale.take])
        run.start()
        assert run.wait(600)
        run.close()
    finally:
        tracemalloc.stop()
    return scale


@pytest.mark.parametrize("minutes", [pytest.param(10), pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_pitfall_allocations_do_not_add_up(minutes: int) -> None:
    scale = weigh(minutes)
    assert len(scale.in_use) >= minutes - 4
    # What is on its way from thread to thread comes on top, more or less of it: the least of each third is compared.
    third = len(scale.in_use) // 3
    first, last = min(scale.in_use[third : 2 * third]), min(scale.in_use[2 * third :])
    print(f"in use {first / 1e6:.2f} -> {last / 1e6:.2f} MB, most beside it {max(scale.peaks) / 1e6:.2f} MB")
    assert last - first < MOST_GROWTH
    assert max(scale.peaks[1:]) < 20_000_000
