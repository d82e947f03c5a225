"""Learning rates over the steps."""

from itertools import pairwise

import pytest

from train.fitting.schedule import ScheduleSettings, exponential_ramp, learning_rate


def test_cosine_rises_then_falls_to_nothing() -> None:
    settings = ScheduleSettings(peak=1e-3, warmup_steps=100)
    rates = [learning_rate(settings, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert rates[49] == pytest.approx(5e-4, rel=0.02)
    assert max(rates) <= 1e-3
    assert rates[500] == pytest.approx(5e-4, rel=1e-3)
    assert rates[-1] < 1e-8
    assert all(later < earlier for earlier, later in pairwise(rates[100:]))


@pytest.mark.parametrize(("step", "rate"), [(50, 0.0), (500, 2.5e-4), (5000, 5e-4), (15_001, 1e-4)])
def test_pitfall_published_rate_at_four_iterations(step, rate) -> None:
    settings = ScheduleSettings(kind="steps", peak=5e-4, warmup_steps=1000)
    assert learning_rate(settings, step, 40_000) == pytest.approx(rate)


def test_published_drop_lands_on_its_step() -> None:
    settings = ScheduleSettings(kind="steps", peak=5e-4, warmup_steps=1000)
    assert learning_rate(settings, 14_999, 40_000) == pytest.approx(5e-4)
    assert learning_rate(settings, 15_000, 40_000) == pytest.approx(1e-4)


def test_ramp_is_the_baselines() -> None:
    settings = ScheduleSettings(kind="ramp", peak=1e-3, warmup_steps=200)
    assert learning_rate(settings, 0, 800) == pytest.approx(1e-3 * 0.006737947)
    assert learning_rate(settings, 100, 800) == pytest.approx(1e-3 * 0.2865048)
    assert learning_rate(settings, 200, 800) == learning_rate(settings, 799, 800) == 1e-3
    assert all(a < b for a, b in pairwise(exponential_ramp(step, 50) for step in range(51)))
