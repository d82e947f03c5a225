"""The window on a real recording: it opens, listens, shows events, stops and leaves nothing behind."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PyQt6.QtCore import Qt

from edge_app.store.database import Store
from edge_app.stream.messages import GapNews, Summary
from edge_app.stream.snapshot import Snapshot
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
