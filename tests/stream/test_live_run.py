"""A run that looks after itself: words for its state, settings changed while it runs, and nothing left behind."""

import itertools
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.decode import Decoder, EventIds, LabelDecoding, closed_events
from edge_app.core.errors import DeviceError, SedgeError
from edge_app.stream.analysis import Listeners
from edge_app.stream.board import Board
from edge_app.stream.engine import Engine
from edge_app.stream.live_run import LiveRun
from edge_app.stream.messages import EventNews
from edge_app.stream.sources import FileSource
from tests.stream.fakes import (
    EVENT_LABELS,
    FakeRuntime,
    ScriptedSource,
    bursts,
    cut,
    fake_bundle,
    fake_detector,
)
from tests.stream.live import PATIENCE_S, Hops, run_to_end
from tests.stream.runs import RATE, check_histories, closed, offline

OWN = fake_bundle().manifest.decoding
label_settings = st.builds(
    LabelDecoding,
    threshold_on=st.sampled_from([0.3, 0.5, 0.6, 0.75]),
    median_frames=st.sampled_from([1, 7, 31]),
    min_on_s=st.sampled_from([0.0, 0.1, 0.5]),
    min_off_s=st.sampled_from([0.0, 0.2, 1.0]),
)


def run_with_changes(samples, changes, detector=None):
    """News and scores of a run in which the n-th hop comes with other settings, for each change."""
    scores, news = [], []

    def on_hop(first, hop):
        change = changes.get(len(scores))
        if change:
            engine.set_decoding(*change)
        scores.append((first, hop.scores))

    engine = Engine(ScriptedSource(list(cut(samples, seed=2))), detector or fake_detector(), on_hop=on_hop)
    news = list(engine)[:-1]
    return news, scores


@settings(max_examples=15)
@given(
    first=st.dictionaries(st.sampled_from(EVENT_LABELS), label_settings),
    second=st.dictionaries(st.sampled_from(EVENT_LABELS), label_settings),
    enabled=st.one_of(st.none(), st.sets(st.sampled_from(EVENT_LABELS))),
    places=st.lists(st.integers(0, 15), min_size=2, max_size=2, unique=True),
    seed=st.integers(0, 99),
)
def test_changed_settings_decode_anew_from_their_frame(first, second, enabled, places, seed):
    samples = bursts(8 * RATE, seed)
    early, late = sorted(places)
    news, hops = run_with_changes(samples, {early: (first, None), late: (second, enabled)})
    scores = np.concatenate([piece for _, piece in hops])
    expected = []
    in_force, on = dict(OWN), set(EVENT_LABELS)
    starts = dict.fromkeys(EVENT_LABELS, 0)  # where each label's settings begin
    changes: list[tuple] = [(early, first, None), (late, second, enabled), (None, {}, None)]
    for place, change, now_on in changes:
        frame = len(scores) if place is None else hops[place][0]
        for column, label in enumerate(EVENT_LABELS):
            wanted = change.get(label, in_force[label])
            stays = wanted == in_force[label] and (now_on is None or (label in now_on) == (label in on))
            if place is not None and stays:
                continue
            if label in on:
                decoder = Decoder([label], in_force, starts[label], EventIds())
                part = scores[starts[label] : frame, column : column + 1]
                expected += closed_events(decoder.push(part) + decoder.flush())
            starts[label] = frame
        in_force, on = {**in_force, **change}, on if now_on is None else set(now_on)
    assert [(e.onset, e.offset, e.event_label) for e in closed(news)] == sorted(
        ((e.onset, e.offset, e.event_label) for e in expected), key=lambda e: (e[0], e[2])
    )
    check_histories(news)


def test_settings_that_do_not_change_leave_open_events_alone():
    samples = bursts(8 * RATE)
    _, expected = offline(samples)
    same = {place: (dict(OWN), EVENT_LABELS) for place in range(3, 12)}
    news, _ = run_with_changes(samples, same)
    assert closed(news) == expected


def test_settings_made_before_the_start_hold_from_the_first_frame():
    samples = bursts(6 * RATE)
    mine = LabelDecoding(threshold_on=0.6, median_frames=3)
    engine = Engine(ScriptedSource([samples]), fake_detector())
    engine.set_decoding({"Dog": mine}, ["Dog"])
    events = closed(list(engine))
    scores, _ = offline(samples)
    decoder = Decoder(["Dog"], {"Dog": mine})
    expected = closed_events(decoder.push(scores[:, 1:2]) + decoder.flush())
    assert [(e.onset, e.offset, e.event_label) for e in events] == [
        (e.onset, e.offset, "Dog") for e in expected
    ]
    assert events


def test_settings_for_a_label_that_is_not_there_are_refused():
    engine = Engine(ScriptedSource([]), fake_detector())
    with pytest.raises(SedgeError, match="event label 'Whale': expected one of"):
        engine.set_decoding({"Whale": LabelDecoding()})
    with pytest.raises(SedgeError, match="'Whale'"):
        engine.set_decoding({}, ["Whale"])
    engine.close()


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_listeners_are_told_all_samples_and_frames_at_the_models_rate(rate):
    hops = Hops()
    steps = [*cut(bursts(2 * rate), seed=1), rate // 2, *cut(bursts(2 * rate), seed=2)]
    snapshot, _ = run_to_end(ScriptedSource(steps, rate), listeners=hops.listeners)
    assert snapshot.summary is not None
    assert sum(len(samples) for _, samples in hops.samples) == snapshot.summary.samples_received
    position = 0
    jumps = []
    for first, samples in hops.samples:
        if first != position:
            jumps.append((position, first))
        position = first + len(samples)
    assert jumps == [(band.start_sample, band.end_sample) for band in snapshot.gaps]
    frames = sum(len(frames) for _, frames in hops.log_mel)
    assert 320 * frames == snapshot.summary.samples_analysed
    assert hops.log_mel[0][0] == 0


def test_hooks_and_boards_change_no_score(tmp_path):
    samples = bursts(5 * RATE)
    hops = Hops()
    _, news = run_to_end(ScriptedSource(list(cut(samples, seed=9))), listeners=hops.listeners)
    scores, events = offline(samples)
    np.testing.assert_array_equal(np.concatenate([hop.scores for _, hop in hops.hops]), scores)
    assert closed(news) == events
    np.testing.assert_array_equal(np.concatenate([piece for _, piece in hops.samples]), samples)


def test_states_go_from_stopped_by_opening_and_running_to_stopped():
    asked, go_on = threading.Event(), threading.Event()
    board = Board(EVENT_LABELS)

    def wait() -> None:
        asked.set()
        go_on.wait(PATIENCE_S)

    states: list[str] = []
    run = LiveRun(
        ScriptedSource([wait, bursts(RATE // 4)]),
        fake_detector(),
        board,
        listeners=Listeners(on_samples=lambda *_: states.append(board.snapshot().state)),
    )
    states += [board.snapshot().state, run.state]
    run.start()
    asked.wait(PATIENCE_S)
    states.append(board.snapshot().state)
    go_on.set()
    run.wait(PATIENCE_S)
    states.append(board.snapshot().state)
    assert states == ["stopped", "stopped", "opening", "running", "stopped"]
    assert board.snapshot().runtime_text == "fake"
    run.close()


def test_a_source_tells_its_own_state():
    class Microphone(ScriptedSource):
        state = "stopped"

    seen: list[str] = []
    board = Board(EVENT_LABELS)
    source = Microphone([])

    def become(state):
        def step() -> None:
            source.state = state
            seen.append(board.snapshot().state)

        return step

    source.steps = [become(state) for state in ("opening", "running", "stalled", "reconnecting", "running")]
    run_to_end(source, board)
    assert seen == ["opening", "running", "stalled", "reconnecting", "running"]


def test_a_source_that_fails_is_told_in_words():
    def vanish() -> None:
        raise DeviceError("Desk mic: expected sound,\nfound none")

    snapshot, news = run_to_end(ScriptedSource([bursts(RATE), vanish]))
    assert snapshot.state == "failed"
    assert snapshot.message == "Desk mic: expected sound, found none"
    assert news[-1] == snapshot.summary


def test_a_graph_that_fails_is_told_in_words_and_leaves_nothing_running():
    def fail() -> None:
        raise RuntimeError("out of memory")

    snapshot, _ = run_to_end(ScriptedSource([bursts(3 * RATE)]), detector=fake_detector(FakeRuntime(fail)))
    assert (snapshot.state, snapshot.message) == ("failed", "RuntimeError: out of memory")


def test_a_consumer_that_fails_is_told_and_ends_nothing():
    def refuse(_news) -> None:
        raise OSError("disk full")

    board, taken = Board(EVENT_LABELS), []
    run = LiveRun(ScriptedSource([bursts(5 * RATE)]), fake_detector(), board, [refuse, taken.append])
    run.start()
    assert run.wait(PATIENCE_S)
    run.close()
    snapshot = board.snapshot()
    assert (snapshot.state, snapshot.message) == ("stopped", "OSError: disk full")
    assert sum(isinstance(one, EventNews) for one in taken) > 3


def test_anchors_come_once_a_second_and_agree_with_the_clocks():
    anchors: list = []
    run_to_end(
        ScriptedSource(list(cut(bursts(5 * RATE), seed=1))), on_anchor=lambda *anchor: anchors.append(anchor)
    )
    samples = [sample for sample, _, _ in anchors]
    assert 1 <= len(anchors) <= 6
    assert all(later - sooner >= RATE for sooner, later in itertools.pairwise(samples))
    assert max(utc - mono for _, mono, utc in anchors) - min(utc - mono for _, mono, utc in anchors) < 10**8


def test_a_run_that_never_started_closes():
    run = LiveRun(ScriptedSource([]), fake_detector(), Board(EVENT_LABELS))
    run.close()
    assert run.state == "stopped"


def handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="handles are counted in /proc")
def test_no_thread_and_no_handle_is_left_after_a_hundred_runs(tmp_path):
    import soundfile

    path = Path(tmp_path) / "room.wav"
    soundfile.write(path, bursts(2 * RATE), RATE)
    detector, board = fake_detector(), Board(EVENT_LABELS, seconds=5.0)
    endings: list[Callable[[LiveRun], object]] = [LiveRun.close, LiveRun.stop, LiveRun.wait, repr]
    threads = handles_before = None
    for number in range(100):
        run = LiveRun(FileSource(path), detector, board)
        run.start()
        endings[number % 4](run)
        run.close()
        assert run.is_over
        if number == 3:  # whatever libraries open once is open now
            threads, handles_before = threading.active_count(), handles()
    assert threading.active_count() == threads
    assert handles() == handles_before
