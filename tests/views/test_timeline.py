"""The timeline draws what a snapshot says: events, guesses, marks, outlines of what would have been, and scores."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PyQt6.QtCore import QPointF

from edge_app.core.decode import LabelDecoding, StreamingMedian
from edge_app.core.hops import ScoredHop
from edge_app.stream.advice import SILENCE_WORDS
from edge_app.stream.board import Board
from edge_app.stream.live_run import LiveRun
from edge_app.stream.messages import EventNews, Summary
from edge_app.stream.snapshot import Guess, LaneItem, Snapshot
from edge_app.stream.what_if import Heard, WhatIf
from edge_app.views.live.live_page import LivePage, notice
from edge_app.views.theme import DARK, LIGHT
from edge_app.views.timeline.score_curve import judged, thinned
from tests.stream.fakes import EVENT_LABELS, ScriptedSource, fake_bundle, fake_detector

RATE = 16_000
LANES = {label: lane for lane, label in enumerate(EVENT_LABELS)}


@pytest.fixture
def page(qtbot):
    page = LivePage(fake_bundle().manifest, DARK, 20.0)
    page.resize(900, 600)
    qtbot.addWidget(page)
    with qtbot.waitExposed(page):
        page.show()
    return page


def board_with_scores() -> Board:
    """Ten seconds: Dog sounds from 4 s to 6 s, and again at the very end, where scores are not final."""
    board = Board(EVENT_LABELS)
    run = LiveRun(ScriptedSource([]), fake_detector(), board)
    board.decode_by(run._engine.decoding)
    board.hear(0, np.full(10 * RATE, 0.1, np.float32), 1.0)
    scores = np.full((500, 3), 0.1, np.float32)
    scores[200:300, LANES["Dog"]] = 0.9
    preview = np.full((12, 3), 0.1, np.float32)
    preview[6:, LANES["Dog"]] = 0.8
    board.score(0, ScoredHop(0, scores, preview, scores[:0]))
    board.take(EventNews("closed", 1, "Dog", 4.0, 6.0, 4 * RATE, 6 * RATE, 0.9))
    return board


def drawn(bars) -> list[tuple[float, float]]:
    """Onset and offset of every bar."""
    return [(rect.left(), rect.right()) for rect in bars.rects]


def colour_at(page: LivePage, time_s: float, lane: float) -> str:
    """What is painted at a time since the start in a lane."""
    canvas, box = page.timeline.canvas, page.timeline.lanes.plot.getViewBox()
    place = canvas.mapFromScene(box.mapViewToScene(QPointF(time_s - page.timeline.now_s, lane)))
    return canvas.grab().toImage().pixelColor(place).name()


def test_marks_are_drawn_with_their_notes_while_they_are_in_view(page):
    board = board_with_scores()
    board.mark(2 * RATE, "kettle")
    board.mark(8 * RATE)
    page.show_snapshot(board.snapshot())
    assert page.timeline.marks.notes() == ["⚑ kettle", "⚑"]
    assert colour_at(page, 2.0, 2.9) == DARK.accent
    assert colour_at(page, 2.5, 2.9) != DARK.accent
    board.hear(10 * RATE, np.full(15 * RATE, 0.1, np.float32), 2.0)
    page.show_snapshot(board.snapshot())
    assert page.timeline.marks.notes() == ["⚑"]


def test_what_if_is_outlined_and_explained_until_it_is_taken_away(page):
    page.show_snapshot(board_with_scores().snapshot())
    page.show_what_if(WhatIf((Heard("Cat", 100, 150, 0.4), Heard("Dog", 200, 300, 0.9)), ()))
    lanes = page.timeline.lanes
    assert drawn(lanes._bars["what_if"]) == [(2.0, 3.0), (4.0, 6.0)]
    assert "with other settings" in page.legend.accessibleDescription()
    assert [event.event_label for event in lanes.outlined()] == ["Cat", "Dog"]
    page.show_what_if(None)
    assert drawn(lanes._bars["what_if"]) == []
    assert "with other settings" not in page.legend.accessibleDescription()


def test_guesses_are_told_to_the_stamps_once_they_are_painted(page, qtbot, monkeypatch):
    board = board_with_scores()
    run = LiveRun(ScriptedSource([]), fake_detector(), board)
    guess = next(one for one in board.snapshot().guesses if one.event_label == "Dog")
    assert guess == Guess("Dog", 506 * 320, 512 * 320, guess.score)
    board.stamps.heard(10 * RATE, 50.0)
    told = []
    monkeypatch.setattr(board.stamps, "guessed", lambda *guess: told.append(guess))
    page._run = run
    page.show_snapshot(board.snapshot())
    with qtbot.waitSignal(page.timeline.canvas.painted):
        page.timeline.canvas.viewport().update()
    page.show_snapshot(board.snapshot())
    with qtbot.waitSignal(page.timeline.canvas.painted):
        page.timeline.canvas.viewport().update()
    assert [one[:3] for one in told] == [("Dog", 506 * 320, 512 * 320)]
    page.leave()


def test_the_curve_shows_the_label_that_is_chosen_and_its_lines(page):
    page.show_snapshot(board_with_scores().snapshot())
    timeline = page.timeline
    page.toggle_curve()
    assert timeline.curve.event_label == "Dog"  # the loudest
    times_s, scores = timeline.curve._judged.getData()
    loud = scores > 0.5
    assert (times_s[loud].min(), times_s[loud].max()) == pytest.approx((4.01, 5.99))
    assert timeline.curve._on.value() == 0.5
    assert timeline.curve._off.value() == pytest.approx(0.35)
    preview_s, not_final = timeline.curve._preview.getData()
    assert (preview_s[-1], not_final[-1]) == pytest.approx((10.23, 0.8))
    box = timeline.lanes.plot.getViewBox()
    timeline._click(box.mapViewToScene(QPointF(-1.0, LANES["Speech"] + 0.5)))
    assert timeline.curve.event_label == "Speech"
    timeline.select(timeline.lanes.items[0])
    assert timeline.curve.event_label == "Dog"
    page.toggle_curve()
    assert timeline.curve.plot.scene() is None
    page.toggle_curve()
    assert timeline.curve.plot.scene() is not None


def test_settings_in_force_change_lanes_lines_and_what_counts_as_heard(page):
    page.show_snapshot(board_with_scores().snapshot())
    page.toggle_curve()
    decoding = {**fake_bundle().manifest.decoding, "Dog": LabelDecoding(threshold_on=0.7, threshold_off=0.7)}
    page.set_decoding(decoding, {"Dog", "Cat"})
    assert page.timeline.lanes.lane_names() == ["Cat", "Dog", "Speech (off)"]
    assert page.timeline.curve._on.value() == 0.7
    assert not page.timeline.curve._off.isVisible()
    assert page.hearing_now._thresholds["Dog"] == 0.7
    page.set_decoding(decoding)
    assert page.timeline.lanes.lane_names()[2] == "Speech (off)"


def test_advice_stands_in_the_banner_while_all_runs_and_goes(page):
    snapshot = board_with_scores().snapshot()
    page.show_snapshot(dataclasses.replace(snapshot, advice="Nothing but zeros"))
    assert (page.banner.text(), page.banner.isVisible()) == ("Nothing but zeros", True)
    page.show_snapshot(snapshot)
    assert not page.banner.isVisible()
    stalled = dataclasses.replace(snapshot.pulse, state="stalled")
    unplugged = dataclasses.replace(snapshot, pulse=stalled, message="unplugged", advice="zeros")
    assert notice(unplugged) == "unplugged"


def test_a_theme_reaches_curve_marks_and_outlines(page):
    board = board_with_scores()
    board.mark(2 * RATE)
    page.show_snapshot(board.snapshot())
    page.toggle_curve()
    page.set_theme(LIGHT)
    assert colour_at(page, 2.0, 2.9) == LIGHT.accent
    page.timeline.clear()
    assert page.timeline.curve._judged.getData()[0] is None or not len(
        page.timeline.curve._judged.getData()[0]
    )


@given(seed=st.integers(0, 99), n_frames=st.integers(0, 60), width=st.sampled_from([1, 3, 9, 21]))
def test_what_is_judged_is_the_decoder_s_median(seed, n_frames, width):
    scores = np.random.default_rng(seed).random(n_frames, np.float32)
    expected = StreamingMedian(width).push(scores)  # all but the newest, which wait for what follows
    found = judged(scores, width)
    assert len(found) == n_frames
    np.testing.assert_array_equal(found[: len(expected)], expected)
    assert np.isnan(found[len(expected) :]).all()


def test_where_nothing_was_analysed_nothing_is_judged():
    scores = np.ones(50, np.float32)
    scores[20:30] = np.nan
    assert np.isnan(judged(scores, 5)[20:30]).all()
    assert np.isfinite(judged(scores, 5)[:20]).all()


def test_long_curves_keep_their_peaks():
    scores = np.zeros(30_000, np.float32)
    scores[[7, 12_345, 29_999]] = 1
    times_s, peaks = thinned(1_000, scores)
    assert len(peaks) <= 1_500
    assert times_s[peaks == 1] == pytest.approx(
        [(1_000 + frame) * 0.02 for frame in (7, 12_345, 29_999)], abs=0.22
    )


def test_what_comes_while_the_page_is_hidden_is_not_timed_when_it_is_seen(page, qtbot, monkeypatch):
    board = board_with_scores()
    run = LiveRun(ScriptedSource([]), fake_detector(), board)
    told: list[tuple] = []
    monkeypatch.setattr(board.stamps, "shown", lambda *shown: told.append(shown))
    page._run = run
    page.hide()
    item = LaneItem(1, "Dog", 500 * 320, 505 * 320, "confirmed", 0.8)
    hidden = replace(board.snapshot(), items=(item,))
    page.show_snapshot(hidden)
    page.show()
    qtbot.waitExposed(page)
    page.show_snapshot(hidden)
    page.timeline.canvas.grab()
    page.show_snapshot(replace(hidden, items=(item, replace(item, id=2, event_label="Cat"))))
    qtbot.waitUntil(lambda: bool(told))
    assert [shown[:2] for shown in told] == [(2, "confirmed")]


def test_another_length_of_time_keeps_the_picture_that_is_held(page):
    board = board_with_scores()
    board.see(0, np.full((500, 128), 5.0, np.float32))
    page.timeline.look_back = board.snapshot
    page.show_snapshot(board.snapshot())
    page.set_frozen(True)
    board.see(500, np.full((100, 128), 5.0, np.float32))
    for view_s in (10.0, 60.0):
        page.timeline.set_view(view_s)
        assert page.timeline.spectrogram._image._image.max() > 0
        assert page.timeline.spectrogram.end_frame == 500
        assert page.timeline.lanes.end_frame == 500
        assert [item.id for item in page.timeline.lanes.items] == [1]


def test_a_chosen_event_grows_and_is_let_go_where_it_is_withdrawn(page):
    board, timeline = board_with_scores(), page.timeline
    board.take(EventNews("provisional", 2, "Cat", 7.0, 8.0, 7 * RATE, 8 * RATE, 0.9))
    page.show_snapshot(board.snapshot())
    timeline.select(timeline.lanes.items[-1])
    board.take(EventNews("confirmed", 2, "Cat", 7.0, 9.0, 7 * RATE, 9 * RATE, 0.9))
    page.show_snapshot(board.snapshot())
    assert timeline.selected.state == "confirmed"
    assert timeline.spectrogram._selected == (7.0, 9.0)
    board.take(EventNews("withdrawn", 2, "Cat", 7.0, 9.0, 7 * RATE, 9 * RATE, 0.9))
    page.show_snapshot(board.snapshot())
    assert timeline.selected is None
    assert timeline.spectrogram._selected is None


def test_a_curve_that_is_taken_away_leaves_no_hole(page, qtbot):
    lanes = page.timeline.lanes.plot
    qtbot.waitUntil(lambda: lanes.size().height() > 100)
    height = lanes.size().height()
    page.toggle_curve()
    qtbot.waitUntil(lambda: lanes.size().height() < height)
    page.toggle_curve()
    qtbot.waitUntil(
        lambda: lanes.size().height() == pytest.approx(height, abs=5)
    )  # one more space between rows


def test_a_time_without_an_event_is_boxed(page):
    page.show_snapshot(board_with_scores().snapshot())
    page.timeline.select(page.timeline.lanes.items[0])
    page.timeline.show_span("Cat", 2.0, 3.0)
    assert page.timeline.selected is None
    assert page.timeline.spectrogram._selected == (2.0, 3.0)
    assert page.timeline.curve.event_label == "Cat"


def test_what_was_painted_is_forgotten_with_the_event(page):
    board = Board(EVENT_LABELS, seconds=10.0)
    for number in range(2000):
        at = number * RATE
        board.hear(at, np.zeros(RATE, np.float32), 1.0)
        board.take(EventNews("closed", number, "Dog", number, number + 0.5, at, at + RATE // 2, 0.9))
        page._plan_paint(board.snapshot())
        page._painted.update((item.id, item.state) for item in board.snapshot().items)
    assert len(page._painted) < 1000


def overloaded(page, hop_frames: int, advice: str = "hardly keeps up") -> Snapshot:
    summary = Summary(RATE, RATE, 0, 0, 0, 0.9, "cpu", hop_frames, RATE, 0, 0.0)
    return replace(Board(EVENT_LABELS).snapshot(), advice=advice, summary=summary)


def test_overload_offers_the_larger_step_and_silence_none(page, qtbot):
    allowed = sorted(fake_bundle().manifest.hop_frames.allowed)
    page.show_snapshot(overloaded(page, allowed[0]))
    assert page.remedy.isVisible()
    with qtbot.waitSignal(page.step_wanted) as wanted:
        page.remedy.click()
    assert wanted.args == [allowed[1]]
    for snapshot in (
        overloaded(page, allowed[-1]),
        overloaded(page, allowed[0], SILENCE_WORDS),
        overloaded(page, allowed[0], ""),
    ):
        page.show_snapshot(snapshot)
        assert not page.remedy.isVisible()
