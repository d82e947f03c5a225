"""The window never stands still for more than a tenth of a second, whatever is done with it while it listens."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PyQt6.QtCore import Qt, QTimer
from pytestqt.qtbot import QtBot

from edge_app.store.settings import LabelSettings
from edge_app.views.main_window import MainWindow
from edge_app.views.tables.event_rows import EventRow
from tests.app.probe import StallProbe
from tests.app.windows import live_table
from tests.views.live_windows import cut_recording, window_on

MOST_S = 0.1
PATIENCE_MS = 20_000
N_EVENTS = 10_000
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut_recording(tmp_path_factory.mktemp("stalls") / "room.wav", 0.0, 30.0)


@pytest.fixture
def window(qtbot: QtBot, recording: Path, tmp_path: Path) -> Iterator[MainWindow]:
    """A window that is listening."""
    window = window_on(recording, store=tmp_path / "history.sqlite")
    qtbot.addWidget(window)
    with qtbot.waitExposed(window):
        window.show()
    with qtbot.waitSignal(window.listening_changed, timeout=PATIENCE_MS):
        window.listen()
    see(window, qtbot)
    yield window
    window.close()


def see(window: MainWindow, qtbot: QtBot, times: int = 3) -> None:
    """Let the window show so many more moments."""
    for _ in range(times):
        with qtbot.waitSignal(window.live_page.snapshot_shown, timeout=PATIENCE_MS):
            pass


def check(probe: StallProbe, what: str, record_property: Callable[[str, object], None]) -> None:
    words = f"{probe.longest_s * 1000:.0f} ms, with the machine {probe.longest_with_machine_s * 1000:.0f} ms"
    print(f"longest stall, {what}: {words}")
    record_property(f"longest_stall {what}", words)
    assert probe.rounds > 3
    assert probe.longest_s <= MOST_S, words


def event_row(number: int) -> EventRow:
    labels = ("Cat", "Dog", "Speech", "Dishes")
    return EventRow(
        id=number + 1,
        event_label=labels[number % len(labels)],
        onset=number * 3.0,
        offset=number * 3.0 + 1.5,
        peak=0.5 + number % 50 / 100,
        at=NOON + timedelta(seconds=3 * number),
        source="room",
    )


def test_pitfall_the_probe_sees_a_stall_and_leaves_out_the_machines(qtbot):
    """What holds the loop up is counted to the millisecond, whether it computes or waits."""
    with StallProbe() as probe:
        QTimer.singleShot(10, lambda: threading.Event().wait(0.15))
        qtbot.waitUntil(lambda: probe.longest_s > MOST_S, timeout=PATIENCE_MS)
    assert probe.longest_s == pytest.approx(0.15, abs=0.05)


def test_listening_alone_stalls_nothing(window, qtbot, record_property):
    with StallProbe() as probe:
        see(window, qtbot, 30)
    check(probe, "listening", record_property)


def test_settings_that_change_stall_nothing(window, qtbot, record_property):
    labels = window.board.event_labels
    with StallProbe() as probe:
        for threshold in (0.3, 0.5, 0.9):
            changed = LabelSettings(threshold_on=threshold, min_on_s=0.2, median_frames=9, save_audio=True)
            window.choices.set(
                labels={**dict.fromkeys(labels, changed), labels[0]: LabelSettings(enabled=False)}
            )
            see(window, qtbot, 4)
        window.choices.set(labels={}, view_s=30)
        see(window, qtbot, 4)
    assert window.is_listening
    check(probe, "settings", record_property)


def test_themes_stall_nothing(window, qtbot, record_property):
    window.choices.set(theme="light")  # the first switch loads what later ones have
    see(window, qtbot)
    with StallProbe() as probe:
        for choice in ("dark", "light", "system", "dark"):
            window.choices.set(theme=choice)
            see(window, qtbot, 2)
    check(probe, "themes", record_property)


def test_sizes_stall_nothing(window, qtbot, record_property):
    with StallProbe() as probe:
        for width, height in ((1000, 600), (1600, 950), (1100, 700), (1400, 900)):
            window.resize(width, height)
            see(window, qtbot, 2)
        window.showMinimized()
        see(window, qtbot, 4)  # it goes on unseen
        window.showNormal()
        see(window, qtbot, 2)
        window.showMaximized()
        see(window, qtbot, 2)
        window.live_page.timeline.zoom(-2)
        see(window, qtbot, 2)
        window.live_page.timeline.zoom(3)
        see(window, qtbot, 2)
    check(probe, "sizes", record_property)


def test_ten_thousand_events_in_the_table_stall_nothing(window, qtbot, record_property):
    table = live_table(window)
    rows = [event_row(number) for number in range(N_EVENTS + 20)]
    with StallProbe() as probe:
        table.set_events(rows[:N_EVENTS])
        see(window, qtbot, 2)
        for row in rows[N_EVENTS:]:
            table.take(row)
            see(window, qtbot, 1)
        table.view.scrollToBottom()
        see(window, qtbot, 2)
        for column in (1, 5, 0):
            table.view.sortByColumn(column, Qt.SortOrder.AscendingOrder)
            see(window, qtbot, 2)
        table.select(N_EVENTS // 2)
        see(window, qtbot, 2)
        window.resize(1200, 800)
        see(window, qtbot, 2)
    assert table.shown.rowCount() >= N_EVENTS
    check(probe, "ten thousand events", record_property)


def test_every_page_opens_without_a_stall(window, qtbot, record_property):
    with StallProbe() as probe:
        for place in range(window.pages.count()):
            window.pages.setCurrentIndex(place)
            see(window, qtbot, 2)
        window.pages.setCurrentIndex(0)
        see(window, qtbot, 2)
    check(probe, "pages", record_property)
