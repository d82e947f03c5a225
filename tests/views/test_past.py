"""A session of the past: its near misses, other thresholds, its clips drawn, and its replay."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("PyQt6")
import soundfile

from edge_app.commands.detector import open_detector
from edge_app.store.clips import ClipWishes
from edge_app.store.database import Store
from edge_app.stream.board import Board
from edge_app.stream.sources import FileSource
from edge_app.stream.what_if import what_if
from edge_app.views.history.clip_picture import ClipPicture, read_image
from edge_app.views.history.history_page import HistoryPage
from edge_app.views.history.past import load_events, load_past
from edge_app.views.live.stored_run import StoredRun
from edge_app.views.tables.event_rows import EventRow
from tests.views.live_windows import cut_recording

PATIENCE_MS = 10_000
open_live = partial(open_detector, None, "cpu", "live", 1, 25)


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """A store with one session: twelve seconds of the bundled recording, with all clips."""
    folder = tmp_path_factory.mktemp("past")
    recording, path = cut_recording(folder / "cut.wav", 44, 56), folder / "history.sqlite"
    detector = open_live()
    wishes = ClipWishes(event_labels=frozenset(detector.event_labels))
    run = StoredRun(FileSource(recording), detector, Board(detector.event_labels), path, wishes=wishes)
    run.start()
    assert run.wait(60)
    run.close()
    return path


@pytest.fixture
def page(qtbot, heard):
    with Store(heard) as store:
        labels = load_past(store, 1).event_labels
    widget = HistoryPage(heard, labels, open_detector=open_live)
    qtbot.addWidget(widget, before_close_func=lambda page: page.close_threads())
    widget.show()
    with qtbot.waitSignal(widget.table.model.modelReset):
        widget.refresh()
    with qtbot.waitSignal(widget.table.model.modelReset):
        widget.session_view.selectRow(1)
    return widget


def test_stored_scores_decode_to_the_events_of_the_session(heard):
    with Store(heard) as store:
        past, rows = load_past(store, 1), load_events(store, 1)
    found = what_if(past.scores, past.first_frame, past.event_labels, past.decoding, past.enabled).events
    assert rows
    spans = sorted((row.event_label, row.onset, row.offset) for row in rows)
    assert spans == sorted((one.event_label, one.onset_frame / 50, one.offset_frame / 50) for one in found)


def test_other_thresholds_are_tried_on_the_past_and_wanted(page, qtbot):
    with qtbot.waitSignal(page.what_if.shown, timeout=PATIENCE_MS):
        page.tabs.setCurrentWidget(page.what_if)
    panel, changes = page.what_if.panel, page.what_if.changes
    assert not changes.rows()
    (label,) = {row.event_label for row in page.table.shown_events()[:1]}
    with qtbot.waitSignal(page.what_if.shown, timeout=PATIENCE_MS):
        panel.rows[label].slider.setValue(99)
    assert {row.event_label for row in changes.rows()} == {label}
    with qtbot.waitSignal(page.decoding_wanted) as wanted:
        panel.use.click()
    assert wanted.args[0][label].threshold_on == 0.99


def test_replay_of_a_recording_finds_the_same(page, qtbot):
    with qtbot.waitSignal(page.replay.ended, timeout=PATIENCE_MS):
        page.replay.button.click()
    assert f"the same {page.table.model.rowCount()} events as live" in page.replay.table.sentence.text()
    assert not page.replay.table.rows()
    assert page.replay.progress.isHidden()


def test_clip_is_drawn_with_the_part_that_is_the_event(page, qtbot):
    page.table.view.selectRow(0)
    row, picture = page.table.current(), page.review.picture
    qtbot.waitUntil(lambda: picture.image is not None, timeout=PATIENCE_MS)
    samples = soundfile.info(row.clip).frames
    first, last = picture.event_span
    assert first * samples == pytest.approx((row.onset - row.clip_start) * 16_000, abs=1)
    assert (last - first) * samples == pytest.approx(row.duration * 16_000, abs=1)
    image = picture.grab().toImage()
    colours = {image.pixel(x, y) for x in range(0, image.width(), 7) for y in range(0, image.height(), 5)}
    assert len(colours) > 20


def test_picture_of_a_clip_shows_a_tone_where_it_is(tmp_path):
    times = np.arange(32_000) / 16_000
    sound = np.where(times >= 1, 0.5 * np.sin(2 * np.pi * 1000 * times), 0).astype(np.float32)
    soundfile.write(tmp_path / "tone.flac", sound, 16_000)
    image = read_image(tmp_path / "tone.flac")
    assert image.duration_s == 2.0
    assert image.cells.shape == (128, 100)
    assert image.cells[:, 60].argmax() == pytest.approx(128 - 1 - 44, abs=8)
    assert image.cells[:, 20].max() < image.cells[:, 60].max()


def test_clip_that_is_gone_has_no_picture_and_the_next_one_has(qtbot, tmp_path):
    soundfile.write(tmp_path / "there.flac", np.zeros(16_000, np.float32), 16_000)
    picture = ClipPicture()
    qtbot.addWidget(picture, before_close_func=lambda picture: picture.close_threads())
    picture.show_event(EventRow(1, "Dog", 0, 1, 0.5, clip=tmp_path / "gone.flac"))
    picture.show_event(EventRow(2, "Dog", 0, 1, 0.5, clip=tmp_path / "there.flac"))
    qtbot.waitUntil(lambda: picture.image is not None, timeout=PATIENCE_MS)
    assert picture.image.path.name == "there.flac"
    assert picture.event_span is None
    picture.show_event(None)
    assert picture.isHidden()


def test_a_session_that_goes_on_is_not_said_to_be_none(page, heard):
    with Store(heard) as store:
        (record,) = store.sessions()
    page.what_if.show_session(None)
    assert "Choose one session" in page.what_if.message.text()
    page.what_if.show_session(replace(record, ended=False))
    assert "goes on" in page.what_if.message.text()
    page.what_if.show_session(record)
    assert "goes on" not in page.what_if.message.text()
