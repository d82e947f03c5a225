"""The live engine equals the detector on the whole signal, whatever happens between."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.stream.messages import EventNews, GapNews
from tests.stream.fakes import ScriptedSource, bursts, cut, fake_detector
from tests.stream.runs import RATE, check_histories, closed, moved, offline, run_engine


@settings(max_examples=12)
@given(
    n_samples=st.integers(0, 5 * RATE),
    seed=st.integers(0, 2**16),
    hop_frames=st.sampled_from([5, 10, 25, 50]),
)
def test_a_stream_cut_anywhere_equals_the_whole_signal(n_samples, seed, hop_frames):
    samples = bursts(n_samples, seed)
    detector = fake_detector(hop_frames=hop_frames)
    news, summary, pieces = run_engine(ScriptedSource(list(cut(samples, seed))), detector)
    scores, events = offline(samples, detector)
    heard = [scores[:0], *(piece for _, piece in pieces)]
    np.testing.assert_array_equal(np.concatenate(heard), scores)
    assert closed(news) == events
    assert summary.samples_received == n_samples
    assert summary.samples_not_analysed == n_samples % 320


@pytest.mark.parametrize("start", [2**31 - 40_000, 2**32 - 40_000, 2**32 - 16_000])
def test_the_count_passes_31_and_32_bits_and_the_wrap_of_the_ring(start):
    start -= start % 320
    # The ring holds 2 s, the signal 20.
    samples = bursts(20 * RATE)
    source = ScriptedSource(list(cut(samples, seed=3)))
    news, _, pieces = run_engine(source, start=start, max_lag_s=1.0)
    scores, events = offline(samples)
    np.testing.assert_array_equal(np.concatenate([piece for _, piece in pieces]), scores)
    assert pieces[0][0] == start // 320
    assert len(events) > 3
    assert closed(news) == moved(events, start / RATE)
    assert [one.onset_sample % 320 for one in news] == [0] * len(news)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_source_of_another_rate_equals_the_resampled_signal(rate, tmp_path):
    import soundfile

    from edge_app.core.audio import read_blocks
    from edge_app.stream.sources import FileSource

    samples = bursts(int(4.3 * rate))
    path = tmp_path / "a clip.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    resampled = np.concatenate(list(read_blocks(path)))
    scores, events = offline(resampled)
    for source in (ScriptedSource(list(cut(samples, seed=5)), rate), FileSource(path)):
        news, summary, pieces = run_engine(source)
        np.testing.assert_array_equal(np.concatenate([piece for _, piece in pieces]), scores)
        assert closed(news) == events
        assert summary.samples_received == len(resampled)


@settings(max_examples=12)
@given(
    lengths=st.lists(st.integers(1, 2 * RATE), min_size=1, max_size=4),
    losses=st.lists(st.integers(1, RATE), min_size=4, max_size=4),
    start=st.integers(0, 10_000),
)
def test_segments_between_gaps_equal_the_detector_on_each_alone(lengths, losses, start):
    steps, segments, position = [], [], start
    for number, (length, lost) in enumerate(zip(lengths, losses, strict=False)):
        samples = bursts(length, seed=number)
        steps += [*cut(samples, seed=number), lost]
        before_grid = -position % 320
        segments.append((position + before_grid, samples[before_grid:]))
        position += length + lost
    news, summary, pieces = run_engine(ScriptedSource(steps), start=start)
    expected = [(first, *offline(samples)) for first, samples in segments]
    heard = [scores[:0] for _, scores, _ in expected] + [scores for _, scores in pieces]
    np.testing.assert_array_equal(
        np.concatenate(heard), np.concatenate([scores for _, scores, _ in expected])
    )
    assert closed(news) == [event for first, _, events in expected for event in moved(events, first / RATE)]
    gaps = [one for one in news if isinstance(one, GapNews)]
    assert [gap.offset_sample - gap.onset_sample for gap in gaps] == losses[: len(lengths)]
    assert summary.samples_received == sum(lengths)
    assert summary.samples_gap == sum(losses[: len(lengths)])
    assert summary.samples_analysed == 320 * sum(len(samples) // 320 for _, samples in segments)


def test_an_event_that_a_gap_ends_is_cut_and_none_reaches_into_the_gap():
    loud = bursts(2 * RATE) * 0 + np.random.default_rng(1).normal(size=2 * RATE).astype(np.float32)
    news, _, _ = run_engine(ScriptedSource([loud, 1600, loud]))
    gap = next(one for one in news if isinstance(one, GapNews))
    ended = [one for one in news if isinstance(one, EventNews) and one.type == "closed"]
    assert {one.cut for one in ended if one.onset_sample < gap.onset_sample} == {True}
    # The end of the signal is no gap.
    assert {one.cut for one in ended if one.onset_sample >= gap.offset_sample} == {False}
    assert all(
        one.offset_sample <= gap.onset_sample or one.onset_sample >= gap.offset_sample for one in ended
    )


def test_histories_are_valid_also_across_gaps():
    samples = bursts(30 * RATE)
    steps: list = list(cut(samples, seed=1, most=40_000))
    steps[3:3] = [777]
    steps[9:9] = [99_999]
    news, _, _ = run_engine(ScriptedSource(steps))
    assert sum(isinstance(one, EventNews) for one in news) > 20
    check_histories(news)


def test_the_duration_ends_the_run_on_the_sample_gaps_included():
    source = ScriptedSource([bursts(RATE), 8_000, bursts(RATE), 100_000, bursts(RATE)])
    for duration_s, received, gap in (
        (0.5, 8_000, 0),
        (1.25, 16_000, 4_000),
        (2.0, 24_000, 8_000),
        (4.0, 32_000, 32_000),
    ):
        _, summary, _ = run_engine(source, duration_s=duration_s)
        assert (summary.samples_received, summary.samples_gap) == (received, gap)
