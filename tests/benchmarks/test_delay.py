"""How much sound the resampler holds back."""

from benchmarks.latency.delay import resampler_delay_ms


def test_resampler_holds_back_little_and_nothing_where_it_is_not_needed():
    assert resampler_delay_ms(16_000, 16_000, 0.03) == 0
    assert 0 < resampler_delay_ms(44_100, 16_000, 0.03) < 100
