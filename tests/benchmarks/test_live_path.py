"""The timed live path does what the live engine does, and its stopwatch adds up."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.latency.live_path import LAST_BLOCK, STAGES, WHOLE, LivePath, Pace, time_stages
from edge_app.core.audio import MonoResampler
from tests.stream.fakes import FakeRuntime, bursts, fake_detector

RATE = 44_100
BLOCK = 1_323


class Counter:
    """A clock that goes on by one each time it is read, and by what is slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        self.now += 1
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_path_gives_the_scores_of_the_detector():
    detector, signal = fake_detector(), bursts(3 * RATE)
    path = LivePath(detector, RATE)
    hops = [hop for first in range(0, len(signal), BLOCK) for hop in path.push(signal[first : first + BLOCK])]
    resampler = MonoResampler(RATE, 16_000)
    expected = np.concatenate(list(detector.scores([resampler.push(signal), resampler.flush()])))
    scores = np.concatenate([hop.scores for hop in hops])
    assert len(scores) >= 100
    np.testing.assert_array_equal(scores, expected[: len(scores)])


def test_stopwatch_adds_up():
    path, signal = LivePath(fake_detector(), RATE, Counter()), bursts(3 * RATE)
    pushes = [len(path.push(signal[first : first + BLOCK])) for first in range(0, len(signal), BLOCK)]
    ends = np.flatnonzero(pushes) + 1
    assert len(path.spent) == len(ends) >= 4
    for hop, n_pushes in zip(path.spent, np.diff([0, *ends]), strict=True):
        # the clock counts one for each stage of each push, and two more where the graph has run
        spent = dict(zip(STAGES, (n_pushes, n_pushes, 1, n_pushes + 1, 1), strict=True))
        assert {stage: hop[stage] for stage in STAGES} == spent
        assert hop[WHOLE] == sum(spent.values())
        assert hop[LAST_BLOCK] == 6


PLANTED_S = 0.02


@pytest.mark.parametrize("stage", STAGES)
def test_a_planted_delay_shows_in_its_stage_and_in_the_whole_and_nowhere_else(stage, monkeypatch):
    clock = Counter()
    monkeypatch.setattr(Counter, "__call__", lambda self: self.now)  # time goes by where it is planted only

    def wait() -> None:
        clock.now += PLANTED_S

    detector = fake_detector(FakeRuntime(wait if stage == "inference" else lambda: None))
    path, calls = LivePath(detector, RATE, clock), []
    parts = {"resample": "_resampler", "features": "_features", "pooling": "_scorer", "decode": "_decoder"}
    if stage in parts:
        part = getattr(path, parts[stage])
        push = part.push

        def slow_push(rows: NDArray[np.float32]) -> object:
            wait()
            calls.append(rows)
            return push(rows)

        monkeypatch.setattr(part, "push", slow_push)
    spent = time_stages(path, bursts(RATE), BLOCK, n_hops=3, warm_up=1)
    for hop in range(3):
        once = PLANTED_S if stage in ("inference", "decode") else None
        assert spent[stage][hop] == pytest.approx(once or round(spent[stage][hop] / PLANTED_S) * PLANTED_S)
        assert spent[stage][hop] >= 0.99 * PLANTED_S
        assert spent[WHOLE][hop] == pytest.approx(spent[stage][hop])
        assert spent[LAST_BLOCK][hop] == pytest.approx(PLANTED_S)
        assert all(spent[other][hop] == pytest.approx(0, abs=1e-9) for other in STAGES if other != stage)
    assert bool(calls) == (stage != "inference")


class DeviceRuntime(FakeRuntime):
    """Keeps the tag memory to itself, as a device does."""

    def tag_memory(self, slots: int):
        memory = super().tag_memory(slots)
        return SimpleNamespace(step=memory.step)


def test_a_memory_on_the_device_is_timed_as_a_whole():
    clock = Counter()
    path = LivePath(fake_detector(DeviceRuntime()), RATE, clock)
    spent = time_stages(path, bursts(RATE), BLOCK, n_hops=2, warm_up=0)
    assert spent["inference"] == [1, 1]


def test_warm_up_is_left_out_and_not_paced():
    clock = Counter()
    pace = Pace(1000.0, clock, clock.sleep)
    path = LivePath(fake_detector(), RATE)
    spent = time_stages(path, bursts(RATE), BLOCK, n_hops=3, warm_up=2, pace=pace)
    assert set(spent) == {*STAGES, WHOLE, LAST_BLOCK}
    assert {len(durations) for durations in spent.values()} == {3}
    assert len(path.spent) == 5
    # 3 hops of half a second in blocks of 30 ms
    assert 45 <= len(clock.slept) <= 55


def test_pace_keeps_its_moments_and_does_not_wait_for_those_that_are_past():
    clock = Counter()
    pace = Pace(10.0, clock, clock.sleep)
    moments = []
    for busy_s in (0, 5, 35, 0, 0, 0, 0):
        clock.now += busy_s
        pace.wait()
        moments.append(clock.now)
    assert moments[:2] == [11, 21]
    assert moments[2] > 51  # late, and three more moments went by meanwhile
    assert len(clock.slept) == 4
    assert moments[-1] == 71


@pytest.mark.parametrize("hop_frames", [5, 50])
def test_every_hop_is_timed_whatever_its_length(hop_frames):
    path = LivePath(fake_detector(hop_frames=hop_frames), RATE)
    spent = time_stages(path, bursts(RATE), BLOCK, n_hops=2, warm_up=1)
    assert {len(durations) for durations in spent.values()} == {2}
    assert all(duration >= 0 for durations in spent.values() for duration in durations)
