"""A snapshot is whole at any moment, shows what the graph gave, and a board's memory is bounded."""

import dataclasses
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.hops import ScoredHop
from edge_app.core.logmel import log_mel
from edge_app.stream.board import MAX_ITEMS, Board
from edge_app.stream.frame_ring import FrameRing
from edge_app.stream.live_run import LiveRun
from edge_app.stream.messages import EventNews, GapNews, Summary
from edge_app.stream.snapshot import LOG_MEL_HIGH, LOG_MEL_LOW
from tests.stream.fakes import EVENT_LABELS, ScriptedSource, bursts, cut, fake_bundle, fake_detector
from tests.stream.live import PATIENCE_S, Hops, items_of, run_to_end
from tests.stream.runs import RATE, offline


def quantised(frames):
    """The columns of log-mel frames, by the definition."""
    return np.clip(np.rint((frames - LOG_MEL_LOW) / (LOG_MEL_HIGH - LOG_MEL_LOW) * 255), 0, 255)


@settings(max_examples=40)
@given(
    capacity=st.integers(1, 9),
    writes=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=12),
    start=st.integers(0, 2**33),
    since=st.integers(-5, 80),
)
def test_frame_ring_is_the_newest_of_an_endless_table(capacity, writes, start, since):
    ring, table, position = FrameRing(capacity, 2, np.float32, -1.0), {}, start
    for number, (skipped, count) in enumerate(writes):
        first = position + (skipped if number else 0)
        rows = np.arange(2 * count, dtype=np.float32).reshape(count, 2) + number
        ring.write(first, rows)
        table.update({first + row: rows[row] for row in range(count)})
        position = first + count
    begin = max(start, position - capacity)
    expected_first = min(max(start + since, begin), position) if writes else 0
    first, rows = ring.read(start + since)
    assert first == expected_first
    assert len(rows) == (position - expected_first if writes else 0)
    for frame, row in enumerate(rows, first):
        np.testing.assert_array_equal(row, table.get(frame, [-1.0, -1.0]))


def test_frame_ring_does_not_run_back():
    ring = FrameRing(10, 1, np.uint8, 0)
    ring.write(100, np.ones((5, 1), np.uint8))
    with pytest.raises(ValueError, match="expected 105 or later, found 104"):
        ring.write(104, np.ones((1, 1), np.uint8))


def test_the_last_snapshot_shows_the_whole_run():
    samples = bursts(20 * RATE)
    snapshot, news = run_to_end(ScriptedSource(list(cut(samples, seed=4))))
    scores, _ = offline(samples)
    np.testing.assert_array_equal(snapshot.scores, scores)
    assert snapshot.scores_first == snapshot.log_mel_first == 0
    np.testing.assert_allclose(snapshot.log_mel, quantised(log_mel(samples)), atol=1)
    assert snapshot.now_sample == len(samples)
    assert (snapshot.state, snapshot.message, snapshot.top) == ("stopped", "", ())
    assert len(snapshot.preview) == 0
    assert snapshot.summary == news[-1]
    shown = {item.id: (item.event_label, item.onset_sample, item.offset_sample) for item in snapshot.items}
    assert shown == {
        number: (one.event_label, one.onset_sample, one.offset_sample)
        for number, one in items_of(news).items()
    }
    assert {item.state for item in snapshot.items} <= {"closed", "withdrawn"}


def test_every_snapshot_is_whole_under_a_concurrent_reader():
    samples = bursts(60 * RATE)
    steps: list = list(cut(samples, seed=6, most=8_000))
    steps[80:80] = [5_000]
    board, hops = Board(EVENT_LABELS, seconds=8.0), Hops()
    run = LiveRun(ScriptedSource(steps), fake_detector(), board, listeners=hops.listeners)
    seen = []

    def pull() -> None:
        while not run.is_over:
            seen.append(board.snapshot())
            run.wait(0.001)

    reader = threading.Thread(target=pull)
    run.start()
    reader.start()
    reader.join(PATIENCE_S)
    run.close()
    made = {first + row: hop.scores[row] for first, hop in hops.hops for row in range(len(hop.scores))}
    previews = {first + len(hop.scores): hop.preview for first, hop in hops.hops}
    assert len(seen) > 3
    for snapshot in seen:
        check_whole(snapshot, made, previews)
    for name in ("now_sample", "scores_first", "log_mel_first", "preview_first"):
        values = [getattr(snapshot, name) for snapshot in seen]
        assert values == sorted(values)


def check_whole(snapshot, made, previews) -> None:
    """The parts of a snapshot belong together, and none can be written to."""
    end = snapshot.scores_first + len(snapshot.scores)
    assert end == snapshot.preview_first
    assert len(snapshot.scores) <= 400
    if end:
        np.testing.assert_array_equal(snapshot.preview, previews[snapshot.preview_first])
    for frame, row in enumerate(snapshot.scores[-3:], end - len(snapshot.scores[-3:])):
        np.testing.assert_array_equal(row, made.get(frame, np.full(3, np.nan)))
    for array in (snapshot.scores, snapshot.preview, snapshot.log_mel):
        assert not array.flags.writeable
    assert len({item.id for item in snapshot.items}) == len(snapshot.items)
    assert all(item.offset_sample <= 320 * end for item in snapshot.items)
    summary = snapshot.summary
    if summary:
        assert summary.samples_analysed + summary.samples_not_analysed == summary.samples_received


def test_the_preview_is_the_graphs_frames_that_are_not_final():
    samples = bursts(6 * RATE)
    detector, board, seen = fake_detector(hop_frames=10), Board(EVENT_LABELS), []
    hops = Hops()
    listeners = dataclasses.replace(
        hops.listeners, on_hop=lambda first, hop: seen.append((first, hop, board.snapshot()))
    )
    run_to_end(ScriptedSource([samples]), board, detector=detector, listeners=listeners)
    scorer = detector.scorer()
    expected = scorer.push(log_mel(samples)) + scorer.finish()
    assert len(seen) == len(expected) > 20
    for (first, _, snapshot), hop in zip(seen, expected, strict=True):
        assert first == hop.start_frame
        assert snapshot.preview_first == hop.start_frame + len(hop.scores)
        np.testing.assert_array_equal(snapshot.preview, hop.preview)
        assert len(hop.preview) == (12 if hop is not expected[-1] else 0)
        check_guesses(snapshot)


def check_guesses(snapshot) -> None:
    """Guesses cover exactly the undecided frames at or above the label's threshold."""
    final = snapshot.scores[-3:]  # half of a median of 7
    undecided = np.concatenate([final, snapshot.preview])[: None if len(snapshot.preview) else 0]
    start = snapshot.preview_first - len(final)
    for column, label in enumerate(EVENT_LABELS):
        threshold = fake_bundle().manifest.decoding[label].threshold_on
        marked = np.zeros(len(undecided), bool)
        for guess in snapshot.guesses:
            if guess.event_label == label:
                first, end = (sample // 320 - start for sample in (guess.onset_sample, guess.offset_sample))
                marked[first:end] = True
                assert guess.score == undecided[first:end, column].max()
        np.testing.assert_array_equal(marked, undecided[:, column] >= threshold)


def test_a_gap_is_a_band_and_its_frames_hold_no_scores():
    snapshot, news = run_to_end(ScriptedSource([bursts(2 * RATE), 3 * RATE, bursts(2 * RATE)]))
    gap = next(one for one in news if isinstance(one, GapNews))
    assert [(band.start_sample, band.end_sample, band.kind) for band in snapshot.gaps] == [
        (gap.onset_sample, gap.offset_sample, "lost")
    ]
    empty = np.isnan(snapshot.scores).all(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(empty), np.arange(100, 250))
    assert not snapshot.log_mel[empty].any()
    assert snapshot.not_analysed_s == 3.0


def test_the_level_is_that_of_the_newest_tenth_of_a_second():
    board = Board(EVENT_LABELS)
    assert board.snapshot().level.rms_dbfs == -120
    tone = (0.5 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)).astype(np.float32)
    board.hear(0, tone, 1.0)
    level = board.snapshot().level
    assert level.rms_dbfs == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=1e-3)
    assert level.peak_dbfs == pytest.approx(20 * np.log10(0.5), abs=1e-3)
    assert not level.clipped
    board.hear(RATE, np.array([1.0, 0.0], np.float32), 1.1)
    assert board.snapshot().level.clipped
    board.hear(RATE + 2, np.zeros(2 * RATE, np.float32), 2.0)
    level = board.snapshot().level
    assert (level.rms_dbfs, level.peak_dbfs, level.clipped) == (-120, -120, False)


def test_what_is_heard_now_is_sorted_and_leaves_out_labels_that_are_off():
    board = Board(EVENT_LABELS)
    assert board.snapshot().top == ()
    run = LiveRun(ScriptedSource([]), fake_detector(), board)
    run.set_decoding({}, {"Dog", "Speech"})
    scores = np.array([[0.9, 0.2, 0.1], [0.9, 0.1, 0.3]], np.float32)
    board.score(0, ScoredHop(0, scores, np.array([[0.9, 0.25, 0.0]], np.float32), scores[:0]))
    snapshot = board.snapshot()
    assert [label for label, _ in snapshot.top] == ["Speech", "Dog"]
    assert [score for _, score in snapshot.top] == pytest.approx([0.3, 0.25])
    assert {guess.event_label for guess in snapshot.guesses} == set()


def event(number: int, kind="closed", label="Dog", step=100) -> EventNews:
    onset = number * step
    return EventNews(kind, number, label, onset / RATE, (onset + 50) / RATE, onset, onset + 50, 0.7)


def test_items_are_bounded_by_time_and_number_and_open_ones_stay():
    board = Board(EVENT_LABELS, seconds=10.0)
    board.take(event(0, "confirmed", "Cat"))
    for number in range(1, 200):
        board.take(event(number, step=RATE))
    assert [item.id for item in board.snapshot().items] == [0, *range(189, 200)]
    for number in range(200, 200 + 2 * MAX_ITEMS):
        board.take(event(number, "withdrawn", step=1) if number % 2 else event(number, step=1))
    assert len(board.snapshot().items) == MAX_ITEMS
    assert board.snapshot().items[0].id == 0
    for number in range(2 * MAX_ITEMS):
        board.take(GapNews(0.0, 0.0, number, number + 1, "lost"))
    assert len(board.snapshot().gaps) == MAX_ITEMS


@pytest.mark.slow
def test_memory_of_a_board_does_not_grow():
    board, rng = Board(EVENT_LABELS, seconds=20.0), np.random.default_rng(1)
    frames = rng.normal(size=(25, 128)).astype(np.float32)
    scores = rng.random((25, 3)).astype(np.float32)

    def go_on(first_hop: int, n_hops: int) -> int:
        for hop in range(first_hop, first_hop + n_hops):
            board.see(25 * hop, frames)
            board.hear(8_000 * hop, scores[:, 0], float(hop))
            board.stamps.heard(8_000 * hop, float(hop))
            board.score(25 * hop, ScoredHop(0, scores, scores[:12], scores[:0]))
            board.take(event(hop, "confirmed", step=8_000))
            board.take(event(hop, step=8_000))
            board.take(GapNews(0.0, 0.0, 8_000 * hop, 8_000 * hop + 10, "lost"))
            board.snapshot(25 * hop)
            board.stamps.shown(hop, "closed", float(hop))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        settled = go_on(0, 1_200)
        assert go_on(1_200, 1_200) - settled < 100_000  # 80 bytes a hop; a table may have been resized
    finally:
        tracemalloc.stop()


def test_a_board_begins_anew_with_each_run():
    board = Board(EVENT_LABELS)
    first, _ = run_to_end(ScriptedSource([bursts(4 * RATE)]), board)
    again, _ = run_to_end(ScriptedSource([bursts(4 * RATE)]), board)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.items == again.items
    assert isinstance(again.summary, Summary)


def test_columns_since_a_frame_are_the_end_of_all_columns():
    board = Board(EVENT_LABELS)
    run_to_end(ScriptedSource([bursts(4 * RATE)]), board)
    whole = board.snapshot()
    for since in (0, 77, 199, 200, 900):
        part = board.snapshot(since)
        assert part.log_mel_first == min(since, 200)
        np.testing.assert_array_equal(part.log_mel, whole.log_mel[since:])
