"""The window on a real recording: it opens, listens, shows events, stops and leaves nothing behind."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PyQt6.QtCore import Qt

from edge_app.store.database import Store
from edge_app.stream.messages import EventNews, GapNews, Summary
from edge_app.stream.snapshot import Snapshot
from edge_app.views.live import live_table
from edge_app.views.main_window import MainWindow
from edge_app.views.theme import DARK, LIGHT
from tests.views.live_windows import LoopProbe, cut_recording, window_on

PATIENCE_MS = 10_000


OF_THE_WINDOW = "sedge-history"


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sedge-")]


def run_threads() -> list[str]:
    """Without the one that reads the history for as long as the window is there."""
    return [name for name in own_threads() if name != OF_THE_WINDOW]


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Two and a half seconds that begin half a second before someone speaks."""
    return cut_recording(tmp_path_factory.mktemp("live") / "speech.wav", 2.1, 4.6)


@pytest.fixture
def window(qtbot, speech, tmp_path):
    window = window_on(speech, store=tmp_path / "history.sqlite")
    qtbot.addWidget(window)
    with qtbot.waitExposed(window):
        window.show()
    yield window
    window.close()
    assert own_threads() == []


@pytest.fixture
def listening(window, qtbot) -> MainWindow:
    with qtbot.waitSignal(window.listening_changed, timeout=PATIENCE_MS):
        window.listen_button.click()
    return window


def stored_labels(path: Path) -> set[str]:
    with Store(path) as store:
        assert all(session.ended and not session.recovered for session in store.sessions())
        return {event.event_label for event in store.events()}


def test_an_event_appears_in_its_lane_and_the_end_leaves_no_thread(
    listening, qtbot, tmp_path, record_property
):
    probe, page = LoopProbe(), listening.live_page
    probe.start()
    appeared = []
    page.item_appeared.connect(appeared.append)
    with qtbot.waitSignal(listening.listening_changed, timeout=PATIENCE_MS) as ended:
        pass
    assert ended.args == [False]
    assert run_threads() == []
    assert {item.event_label for item in appeared} >= {"Speech"}
    assert {"provisional", "confirmed"} & {item.state for item in appeared}
    latency = listening.board.stamps.latency
    assert latency.confirmed is not None
    assert 0 < latency.confirmed.p50_s < 10
    drawn = {(item.event_label, item.state) for item in page.timeline.lanes.items}
    assert ("Speech", "closed") in drawn
    table = listening.live.events.table
    assert {row.event_label for row in table.shown_events()} >= {"Speech"}
    page.timeline.step(1)
    assert table.current().id == page.timeline.selected.id
    assert "Speech" in stored_labels(tmp_path / "history.sqlite")
    paints_ms = np.array(page.timeline.canvas.paint_s) * 1000
    record_property("longest_stall_ms", round(probe.longest_s * 1000, 1))
    print(
        f"longest stall {probe.longest_s * 1000:.0f} ms, "
        f"paint p50 {np.percentile(paints_ms, 50):.1f} p99 {np.percentile(paints_ms, 99):.1f} ms, "
        f"provisional {latency.provisional}, confirmed {latency.confirmed}"
    )


def test_stop_ends_the_run_and_it_can_begin_again(listening, qtbot):
    with qtbot.waitSignal(listening.live_page.snapshot_shown, timeout=PATIENCE_MS):
        pass
    with qtbot.waitSignal(listening.listening_changed, timeout=PATIENCE_MS):
        listening.stop_button.click()
    assert not listening.is_listening
    assert run_threads() == []
    assert listening.status.texts()[0] == "■ stopped"
    with qtbot.waitSignal(listening.listening_changed, timeout=PATIENCE_MS):
        listening.listen()
    assert listening.is_listening


def test_closing_while_it_listens_leaves_no_thread(listening):
    listening.close()
    assert own_threads() == []


def test_closing_while_it_opens_leaves_no_thread(window):
    window.listen()
    window.close()
    assert own_threads() == []


def test_a_source_that_is_not_there_is_told_in_the_banner(qtbot, tmp_path):
    window = window_on(tmp_path / "missing.wav")
    qtbot.addWidget(window)
    with qtbot.waitSignal(window.failed, timeout=PATIENCE_MS) as failed:
        window.listen()
    assert "missing.wav" in failed.args[0]
    assert window.notices.text() == failed.args[0]
    assert window.status.texts()[0] == "✖ failed"
    assert window.listen_button.isEnabled()


def test_keys_work_on_the_live_page(listening, qtbot):
    page, timeline = listening.live_page, listening.live_page.timeline
    listening.activateWindow()
    timeline.canvas.setFocus()
    with qtbot.waitSignal(page.item_appeared, timeout=PATIENCE_MS):
        pass

    def press(key: Qt.Key) -> None:
        qtbot.keyClick(timeline.canvas, key)

    press(Qt.Key.Key_Space)
    assert timeline.is_frozen
    held_s = timeline.now_s
    with qtbot.waitSignal(page.snapshot_shown, timeout=PATIENCE_MS):
        pass
    assert timeline.now_s == held_s
    press(Qt.Key.Key_Tab)
    assert timeline.selected is not None
    press(Qt.Key.Key_Plus)
    assert timeline.view_s == 30.0
    press(Qt.Key.Key_Minus)
    assert timeline.view_s == 60.0
    press(Qt.Key.Key_Home)
    assert not timeline.is_frozen
    assert timeline.selected is None


def test_theme_switch_changes_every_part_while_it_listens(listening, qtbot):
    for choice, theme in (("light", LIGHT), ("dark", DARK)):
        listening.set_theme(choice)
        with qtbot.waitSignal(listening.live_page.timeline.canvas.painted, timeout=PATIENCE_MS):
            pass
        picture = listening.live_page.timeline.canvas.grab().toImage()
        assert picture.pixelColor(2, 2).name() == theme.canvas
        background = listening.palette().color(listening.backgroundRole()).name()
        assert background == theme.window


def test_controls_have_names_for_screen_readers(window):
    page = window.live_page
    named = (page.timeline.canvas, page.meter, page.hearing_now, page.legend, window.picker.box)
    assert all(part.accessibleName() for part in named)


def test_deeds_that_nobody_does_cannot_be_chosen_until_they_are_offered(window):
    done = []
    action = window.actions_by_name["mark"]
    assert not action.isEnabled()
    window.offer("mark", lambda: done.append("mark"))
    action.trigger()
    assert done == ["mark"]


def test_a_gap_is_told_in_the_lanes_and_in_the_status_bar(window):
    rate, board = 16_000, window.board
    board.take(GapNews(1.0, 9.0, rate, 9 * rate, "lost"))
    board.tell(Summary(rate, rate, 0, 8 * rate, 0, 0.1, "test", 10, rate, 0, 0.0))
    snapshot: Snapshot = board.snapshot()
    window.live_page.show_snapshot(snapshot)
    assert "not analysed 8.0 s" in window.status.texts()[2]
    texts = [text for text in window.live_page.timeline.lanes.gap_texts() if text]
    assert texts == ["not analysed 8.0 s"]


def test_a_verdict_can_be_given_on_an_event_that_was_chosen_while_it_went_on(window):
    table, timeline = window.live.events, window.live_page.timeline
    for news in ("confirmed", "closed"):
        window.board.take(EventNews(news, 1, "Dog", 0.5, 1.0, 8_000, 16_000, 0.8))
        window.live_page.show_snapshot(window.board.snapshot())
        if news == "confirmed":
            timeline.select(timeline.lanes.items[0])
            timeline.set_frozen(True)
    assert timeline.selected.state == "confirmed"  # as in the picture that is held
    assert table.chosen.state == "closed"


def test_a_larger_step_is_taken_by_listening_again(listening, qtbot):
    stages = []
    listening.listening_changed.connect(stages.append)
    listening.live_page.step_wanted.emit(25)
    qtbot.waitUntil(lambda: stages == [False, True], timeout=PATIENCE_MS)
    assert listening.run._engine.summary.hop_frames == 25
    assert listening.choices.now.hop_frames == 25


def test_a_level_is_not_shown_for_longer_than_it_is_heard(listening, qtbot):
    with qtbot.waitSignal(listening.listening_changed, timeout=PATIENCE_MS):
        pass
    assert listening.live_page.meter.text() == "−99 dB"


def test_the_table_of_a_long_run_is_bounded(window, monkeypatch):
    monkeypatch.setattr(live_table, "MOST_LISTED", 3)
    for number in range(8):
        at = number * 16_000
        window.board.take(EventNews("closed", number, "Dog", number, number + 0.5, at, at + 8_000, 0.8))
        window.live.events.show_snapshot(window.board.snapshot())
    assert sorted(row.id for row in window.live.events.table.shown_events()) == [5, 6, 7]


def test_nothing_is_chosen_in_the_table_once_nothing_is_on_the_timeline(window):
    events, timeline = window.live.events, window.live_page.timeline
    window.board.hear(0, np.zeros(100 * 16_000, np.float32), 1.0)
    for number, onset in ((1, 2), (2, 95)):
        at = onset * 16_000
        window.board.take(EventNews("confirmed", number, "Dog", onset, onset + 1, at, at + 16_000, 0.8))
        window.live_page.show_snapshot(window.board.snapshot())
    events.table.select(1)  # long out of view
    assert events.chosen is not None
    assert events.chosen.id == 1
    assert timeline.selected is None
    events.table.select(2)
    assert timeline.selected is not None
    assert timeline.selected.id == 2
    timeline.show_span("Cat", 90.0, 91.0)
    assert events.chosen is None
    window.board.take(EventNews("closed", 2, "Dog", 95, 97, 95 * 16_000, 97 * 16_000, 0.8))
    window.live_page.show_snapshot(window.board.snapshot())
    assert events.chosen is None
    assert timeline.spectrogram._selected == (90.0, 91.0)
