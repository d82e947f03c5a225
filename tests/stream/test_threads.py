"""The engine's threads: who waits for whom, what is skipped, how a run ends, and that nothing is left."""

import threading

import pytest

from edge_app.core.detect import Detector
from edge_app.stream.engine import Engine
from edge_app.stream.messages import GapNews, News, Summary
from tests.stream.fakes import FakeRuntime, ScriptedSource, bursts, cut, fake_bundle, fake_detector
from tests.stream.runs import RATE, check_histories, run_engine, summary_of


def test_a_writer_that_is_not_live_waits_and_loses_nothing():
    gate = threading.Event()
    source = ScriptedSource([bursts(60 * RATE), gate.set])
    engine = Engine(source, fake_detector(), max_lag_s=1.0)
    news = iter(engine)
    next(news)
    # The ring holds 2 s of 60: the source cannot have written all of it before more has been read.
    summary = summary_of(list(news))
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
    summary = summary_of(collected)
    assert any(isinstance(one, GapNews) and one.kind == "skipped" for one in collected)
    assert summary.samples_received == 60 * RATE
    assert summary.samples_analysed < 20 * RATE
    check_histories(collected)


def test_stop_from_another_thread_flushes_and_sums_up():
    source = ScriptedSource([bursts(5 * RATE)] * 1000)
    engine = Engine(source, fake_detector())
    collected: list[News] = []
    for one in engine:
        collected.append(one)
        if len(collected) == 5:
            stopper = threading.Thread(target=engine.stop)
            stopper.start()
            stopper.join()
    summary = summary_of(collected)
    assert 0 < summary.samples_received < 5000 * RATE
    check_histories(collected)


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

    news: list[News] = []
    with pytest.raises(OSError, match="cable") as caught:
        news.extend(Engine(ScriptedSource([bursts(RATE), fail]), fake_detector()))
    assert caught.value is error
    # `extend` keeps what came before the error.
    assert summary_of(news).samples_received == RATE


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
    with pytest.raises(ValueError, match="live"):
        Engine(ScriptedSource([]), Detector(fake_bundle(), FakeRuntime(), "clip"))
