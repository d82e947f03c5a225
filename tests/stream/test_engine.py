"""The live engine equals the detector on the whole signal, whatever happens between."""

import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.decode import decode
from edge_app.core.events import Event
from edge_app.stream.engine import Engine
from edge_app.stream.messages import EventNews, GapNews, News, Summary
from tests.stream.fakes import EVENT_LABELS, FakeRuntime, ScriptedSource, bursts, cut, fake_detector

RATE = 16_000


def run_engine(source, detector=None, **options):
    """All news, the summary apart, and the scores with the absolute index of their first frame."""
    pieces: list = []
    engine = Engine(
        source,
        detector or fake_detector(),
        on_hop=lambda first, hop: pieces.append((first, hop.scores)),
        **options,
    )
    *news, summary = list(engine)
    assert isinstance(summary, Summary)
    assert summary.samples_analysed + summary.samples_not_analysed == summary.samples_received
    return news, summary, pieces


def closed(news: list[News]) -> list[Event]:
    events = [
        Event(one.onset, one.offset, one.event_label, one.score)
        for one in news
        if isinstance(one, EventNews) and one.type == "closed"
    ]
    return sorted(events, key=lambda event: (event.onset, event.event_label))


def offline(samples, detector=None):
    detector = detector or fake_detector()
    scores = np.concatenate([np.empty((0, len(EVENT_LABELS)), np.float32), *detector.scores([samples])])
    events = decode(scores, detector.event_labels, detector.bundle.manifest.decoding)
    return scores, [Event(e.onset, e.offset, e.event_label, round(e.score, 6)) for e in events]


def moved(events: list[Event], seconds: float) -> list[Event]:
    return [
        Event(round(e.onset + seconds, 6), round(e.offset + seconds, 6), e.event_label, e.score)
        for e in events
    ]


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


def check_histories(news: list[News]) -> None:
    histories: dict[int, list[EventNews]] = {}
    for one in news:
        if isinstance(one, EventNews):
            histories.setdefault(one.id, []).append(one)
    assert sorted(histories) == list(range(1, len(histories) + 1))
    for history in histories.values():
        words = [one.type for one in history]
        assert words[0] == "provisional"
        if words[-1] == "withdrawn":
            assert words == ["provisional", "withdrawn"]
        else:
            assert words[1] == "confirmed"
            assert words[-1] == "closed"
            assert set(words[2:-1]) <= {"update"}
        assert {(one.event_label, one.onset_sample) for one in history} == {
            (history[0].event_label, history[0].onset_sample)
        }
        assert all(a.offset_sample <= b.offset_sample and a.score <= b.score for a, b in pairwise(history))


def test_histories_are_valid_also_across_gaps():
    samples = bursts(30 * RATE)
    steps = [block for number, block in enumerate(cut(samples, seed=1, most=40_000))]
    steps[3:3] = [777]
    steps[9:9] = [99_999]
    news, _, _ = run_engine(ScriptedSource(steps))
    assert sum(isinstance(one, EventNews) for one in news) > 20
    check_histories(news)


def test_a_writer_that_is_not_live_waits_and_loses_nothing():
    gate = threading.Event()
    source = ScriptedSource([bursts(60 * RATE), gate.set])
    engine = Engine(source, fake_detector(), max_lag_s=1.0)
    news = iter(engine)
    next(news)
    # The ring holds 2 s of 60: the source cannot have written all of it before more has been read.
    *_, summary = news
    assert gate.is_set()
    assert summary.samples_received == 60 * RATE
    assert summary.samples_not_analysed == summary.overflows == summary.samples_gap == 0


def test_the_queue_is_bounded_and_its_depth_is_counted():
    source = ScriptedSource(list(cut(bursts(40 * RATE), seed=1)))
    news, summary, _ = run_engine(source, queue_capacity=3)
    assert len(news) > 20
    assert 1 <= summary.max_queue_depth <= 3


def test_a_slow_model_skips_to_the_newest_and_says_so():
    """Each step of the model lets 2 s of sound go by: it hears 0.5 s of every so many."""
    samples = bursts(120 * RATE)
    blocks = iter(cut(samples, seed=2, most=3_000))
    turn, heard = threading.Semaphore(1), threading.Semaphore(0)

    class SlowSource(ScriptedSource):
        def run(self, ring, stop):
            while not stop.is_set():
                turn.acquire()
                amount = 0
                while amount < 2 * RATE:
                    block = next(blocks, None)
                    if block is None:
                        heard.release(10**6)
                        return
                    ring.write(block)
                    amount += len(block)
                heard.release()

    def let_time_pass() -> None:
        turn.release()
        heard.acquire()

    source = SlowSource([], live=True)
    news, summary, pieces = run_engine(source, fake_detector(FakeRuntime(let_time_pass)), max_lag_s=5.0)
    skipped = [one for one in news if isinstance(one, GapNews)]
    assert {one.kind for one in skipped} == {"skipped"}
    assert len(skipped) > 5
    assert summary.samples_received == 120 * RATE
    assert summary.samples_gap == 0
    # One step's worth of sound may come on top of the limit before it is noticed.
    assert 5.0 < summary.max_lag_s <= 5.0 + 2 * 2.2
    fringe = 2 * 320 * (len(skipped) + 1)
    missed = sum(one.offset_sample - one.onset_sample for one in skipped)
    assert missed <= summary.samples_not_analysed <= missed + fringe
    assert summary.samples_analysed == 320 * sum(len(scores) for _, scores in pieces)
    check_histories(news)


def test_a_consumer_that_rests_makes_a_live_source_skip_and_not_pile_up():
    written = threading.Event()
    source = ScriptedSource([*(bursts(3 * RATE, seed) for seed in range(20)), written.set], live=True)
    engine = Engine(source, fake_detector(), max_lag_s=2.0, queue_capacity=1)
    news = iter(engine)
    collected = [next(news)]
    written.wait()
    collected += news
    *_, summary = collected
    assert any(isinstance(one, GapNews) and one.kind == "skipped" for one in collected)
    assert summary.samples_received == 60 * RATE
    assert summary.samples_analysed < 20 * RATE
    check_histories(collected)


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


def test_stop_from_another_thread_flushes_and_sums_up():
    source = ScriptedSource([bursts(5 * RATE)] * 1000)
    engine = Engine(source, fake_detector())
    collected = []
    for one in engine:
        collected.append(one)
        if len(collected) == 5:
            stopper = threading.Thread(target=engine.stop)
            stopper.start()
            stopper.join()
    *news, summary = collected
    assert isinstance(summary, Summary)
    assert 0 < summary.samples_received < 5000 * RATE
    check_histories(news)


def test_no_thread_is_left_after_fifty_runs_however_they_end():
    before = threading.active_count()
    for number in range(50):
        source = ScriptedSource([bursts(2 * RATE, seed) for seed in range(5)], live=number % 2 == 0)
        engine = Engine(source, fake_detector(), queue_capacity=1)
        if number % 5 == 0:
            assert isinstance(list(engine)[-1], Summary)
        elif number % 5 == 1:
            for _ in engine:
                break
        elif number % 5 == 2:
            with engine:
                next(iter(engine))
        elif number % 5 == 3:
            with engine:
                pass
        else:
            news = iter(engine)
            next(news)
            engine.stop()
            assert isinstance(list(news)[-1], Summary)
        assert threading.active_count() == before


def test_an_error_of_the_source_is_raised_after_the_summary():
    error = OSError("the cable is out")

    def fail() -> None:
        raise error

    news = []
    with pytest.raises(OSError, match="cable") as caught:
        news.extend(Engine(ScriptedSource([bursts(RATE), fail]), fake_detector()))
    assert caught.value is error
    # `extend` keeps what came before the error.
    assert isinstance(news[-1], Summary)
    assert news[-1].samples_received == RATE


def test_an_error_of_the_model_is_raised_as_itself():
    error = ArithmeticError("no such number")

    def fail() -> None:
        raise error

    before = threading.active_count()
    with pytest.raises(ArithmeticError) as caught:
        list(Engine(ScriptedSource([bursts(5 * RATE)] * 50), fake_detector(FakeRuntime(fail))))
    assert caught.value is error
    assert threading.active_count() == before


def test_an_engine_needs_a_live_detector():
    from edge_app.core.detect import Detector
    from tests.stream.fakes import fake_bundle

    with pytest.raises(ValueError, match="live"):
        Engine(ScriptedSource([]), Detector(fake_bundle(), FakeRuntime(), "clip"))
