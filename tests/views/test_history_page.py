"""Sessions, their events and the review of them, on a real store with real news."""

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PyQt6")
import soundfile
from PyQt6.QtCore import QObject, Qt, QTimer

from edge_app.formats.json_file import read_json
from edge_app.store.database import Store
from edge_app.store.records import SessionFacts
from edge_app.stream.messages import EventNews, GapNews
from edge_app.views.history.clip_player import ClipPlayer
from edge_app.views.history.history_page import HistoryPage
from edge_app.views.tables.event_table import PAST_COLUMNS

LABELS = ("Cat", "Dog")
RATE = 16_000


def facts(source):
    return SessionFacts(started_at=datetime(2026, 3, 1, 12, tzinfo=UTC), source=source, model_name="tiny")


def closed(number, label="Dog", onset=1.0, offset=2.5, score=0.8, cut=False):
    samples = (round(onset * RATE), round(offset * RATE))
    return EventNews("closed", number, label, onset, offset, *samples, score, cut)


@pytest.fixture
def store_path(tmp_path):
    path = tmp_path / "history.sqlite"
    clip = tmp_path / "history.clips" / "one.flac"
    clip.parent.mkdir()
    soundfile.write(clip, np.zeros(RATE, np.float32), RATE)
    with Store(path) as store:
        kitchen = store.begin_session(facts("kitchen"))
        for number in range(3):
            store.take(
                kitchen, closed(number, LABELS[number % 2], onset=10.0 * number, offset=10.0 * number + 2)
            )
        store.take(kitchen, GapNews(31.0, 32.0, 31 * RATE, 32 * RATE, "lost"))
        store.set_clip(kitchen, 1, clip)
        store.end_session(kitchen, 40 * RATE)
        hall = store.begin_session(facts("hall"))
        store.take(hall, closed(0, cut=True))
        store.end_session(hall, 5 * RATE)
    return path


@pytest.fixture
def played():
    return []


@pytest.fixture
def page(qtbot, store_path, played):
    def play(samples, sample_rate, stopped):
        played.append((len(samples), sample_rate))
        stopped.wait(20)

    player = ClipPlayer(play)
    widget = HistoryPage(store_path, LABELS, player=player)
    qtbot.addWidget(widget, before_close_func=lambda page: page.close_threads())
    with qtbot.waitSignal(widget.table.model.modelReset):
        widget.refresh()
    return widget


def choose_session(qtbot, page, source):
    rows = [page.sessions.session_at(row) for row in range(page.sessions.rowCount())]
    row = next(row for row, there in enumerate(rows) if there.record and there.record.source == source)
    if page.session_view.currentIndex().row() != row:
        with qtbot.waitSignal(page.table.model.modelReset):
            page.session_view.selectRow(row)


def stored(path: Path):
    with Store(path) as store:
        return {event.id: event for event in store.events()}


def test_sessions_are_listed_with_their_events_below_one_row_for_all(page):
    texts = [[page.sessions.index(row, column).data() for column in range(5)] for row in range(3)]
    assert texts[0][:3] == ["All sessions", "", "4"]
    assert sorted((row[3], row[2], row[1]) for row in texts[1:]) == [
        ("hall", "1", "0:00:05"),
        ("kitchen", "3", "0:00:40"),
    ]
    assert len(page.table.shown_events()) == 4


def test_choosing_a_session_shows_its_events_as_they_are_stored(page, qtbot, store_path):
    choose_session(qtbot, page, "kitchen")
    shown = {row.id: row for row in page.table.shown_events()}
    expected = {id: event for id, event in stored(store_path).items() if event.session == 1}
    assert set(shown) == set(expected)
    for id, event in expected.items():
        assert shown[id].onset == event.onset_sample / RATE
        assert shown[id].offset == event.offset_sample / RATE
        assert shown[id].at == event.onset_utc
        assert (shown[id].event_label, shown[id].peak) == (event.event_label, event.peak)


def test_verdicts_by_keys_reach_the_store_and_go_on_to_the_next_event(page, qtbot, store_path):
    choose_session(qtbot, page, "kitchen")
    with qtbot.waitActive(page):
        page.show()
    page.table.view.setFocus()
    page.table.view.selectRow(0)
    ids = [row.id for row in page.table.shown_events()]
    for key, id in ((Qt.Key.Key_Y, ids[0]), (Qt.Key.Key_N, ids[1])):
        assert page.table.current().id == id
        with qtbot.waitSignal(page.reviewed):
            qtbot.keyClick(page.table.view, key)
    page.close_threads()
    assert [stored(store_path)[id].review for id in ids] == ["confirmed", "rejected", ""]
    assert [row.review for row in page.table.shown_events()] == ["confirmed", "rejected", ""]


def test_review_of_what_is_not_reviewed_yet_leaves_out_nothing(page, qtbot, store_path):
    page.table.review.setCurrentIndex(page.table.review.findData(""))
    ids = [row.id for row in page.table.shown_events()]
    page.table.view.selectRow(0)
    for id in ids:
        assert page.table.current().id == id
        page.review.note.setText(f"note {id}")
        page.review.confirm.click()
    assert page.table.shown.rowCount() == 0
    page.close_threads()
    events = stored(store_path)
    assert [(events[id].review, events[id].note) for id in ids] == [("confirmed", f"note {id}") for id in ids]


def test_session_is_exported_with_its_verdicts_and_gaps(page, qtbot, tmp_path):
    choose_session(qtbot, page, "kitchen")
    page.table.view.selectRow(0)
    page.review.confirm.click()
    dialog = page.ask_export()
    dialog.format.setCurrentIndex(dialog.format.findData("json"))
    dialog.path.setText(str(tmp_path / "kitchen.json"))
    page.store.close()
    with qtbot.waitSignal(dialog._work.ended):
        dialog.save()
    export = read_json(tmp_path / "kitchen.json")
    assert sorted(event.review for event in export.events) == ["", "", "confirmed"]
    assert [(gap.onset, gap.offset, gap.kind) for gap in export.gaps] == [(31.0, 32.0, "lost")]
    dialog.close()


def test_note_is_kept_when_another_event_is_chosen(page, qtbot, store_path):
    choose_session(qtbot, page, "kitchen")
    page.table.view.selectRow(0)
    id = page.table.current().id
    page.review.note.setText("  the neighbour's ")
    page.table.view.selectRow(1)
    assert page.review.note.text() == ""
    page.close_threads()
    assert stored(store_path)[id].note == "the neighbour's"


def test_clip_is_played_and_stopped(page, qtbot, played):
    choose_session(qtbot, page, "kitchen")
    page.table.view.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    page.table.view.selectRow(0)
    assert not page.review.play.isEnabled()
    page.table.view.selectRow(1)
    with qtbot.waitSignal(page.review.player.changed):
        page.review.play.click()
    assert page.review.play.text() == "■ Stop"
    with qtbot.waitSignal(page.review.player.changed):
        page.review.play.click()
    assert played == [(RATE, RATE)]
    assert page.review.play.text() == "▶ Play"


def test_clip_that_is_gone_is_said(page, qtbot, store_path):
    choose_session(qtbot, page, "kitchen")
    (store_path.parent / "history.clips" / "one.flac").unlink()
    page.table.view.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    page.table.view.selectRow(1)
    with qtbot.waitSignal(page.review.player.failed):
        page.review.play.click()
    assert "one.flac" in page.review.message.text()


def test_store_that_cannot_be_read_is_said(qtbot, tmp_path):
    path = tmp_path / "no.sqlite"
    path.write_bytes(b"not a database, but long enough to look like one" * 50)
    page = HistoryPage(path, LABELS)
    qtbot.addWidget(page, before_close_func=lambda page: page.close_threads())
    with qtbot.waitSignal(page.store.failed):
        page.refresh()
    assert "no.sqlite" in page.message.text()


def test_event_of_a_gap_is_marked_as_cut(page, qtbot):
    choose_session(qtbot, page, "hall")
    (row,) = page.table.shown_events()
    assert row.cut
    assert page.table.shown.index(0, PAST_COLUMNS.index("state")).data() == "┄ cut"


class Probe(QObject):
    """Measures the longest time that the event loop was away."""

    def __init__(self):
        super().__init__()
        self.longest_s, self._last = 0.0, time.perf_counter()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)

    def _tick(self):
        now = time.perf_counter()
        self.longest_s = max(self.longest_s, now - self._last)
        self._last = now


def test_ten_thousand_events_are_read_without_a_stall(qtbot, tmp_path):
    path = tmp_path / "long.sqlite"
    with Store(path) as store:
        session = store.begin_session(facts("a long night"))
        with store.together():
            for number in range(10_000):
                store.take(session, closed(number, onset=3.0 * number, offset=3.0 * number + 1))
        store.end_session(session)
    page = HistoryPage(path, LABELS)
    qtbot.addWidget(page, before_close_func=lambda page: page.close_threads())
    page.show()
    stalls = []
    for _ in range(3):  # what a busy machine adds is not the page's
        probe = Probe()
        with qtbot.waitSignal(page.table.model.modelReset):
            page.refresh() if page.sessions.rowCount() == 0 else page.show_session(None)
        qtbot.wait(0)
        stalls.append(probe.longest_s)
    assert page.table.shown.rowCount() == 10_000
    assert min(stalls) < 0.1, stalls
