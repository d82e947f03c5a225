"""Files dropped on the batch page, scored by the real detector in the real worker."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PyQt6")
from PyQt6.QtCore import QMimeData, QPointF, Qt, QUrl
from PyQt6.QtGui import QDropEvent

import edge_app
from edge_app.commands.detector import open_detector
from edge_app.core.audio import read_blocks
from edge_app.core.errors import BundleError
from edge_app.scoring.recordings import Found
from edge_app.views.batch import batch_page
from edge_app.views.batch.batch_page import BatchPage

DEMO = Path(edge_app.__file__).parent / "demo" / "soundscape.flac"


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "sounds"
    (folder / "deeper").mkdir(parents=True)
    bank = sorted((Path(__file__).parents[1] / "data" / "bank" / "foreground").rglob("*.flac"))
    shutil.copy(bank[0], folder / "first.flac")
    shutil.copy(bank[1], folder / "deeper" / "second.flac")
    (folder / "third.wav").write_bytes(b"RIFF, but not sound")
    return folder


def built_in_detector():
    return open_detector(None, "cpu", "clip")


def make_page(qtbot, open_it):
    page = BatchPage(open_it, ("Cat",))
    qtbot.addWidget(page, before_close_func=lambda page: page.close_threads())
    return page


def listed(qtbot, page, *paths):
    with qtbot.waitSignal(page._search.ended):
        page.add(paths)


def stages(page):
    return {row.filename: row.stage for row in page.files.rows}


def test_dropped_folder_is_scored_to_the_end_past_a_file_that_fails(qtbot, recordings):
    page = make_page(qtbot, built_in_detector)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(recordings))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    with qtbot.waitSignal(page._search.ended):
        page.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, buttons, keys))
    assert stages(page) == dict.fromkeys(("deeper/second.flac", "first.flac", "third.wav"), "waiting")
    with qtbot.waitSignal(page.ended, timeout=20_000):
        page.begin.click()
    assert stages(page) == {"deeper/second.flac": "done", "first.flac": "done", "third.wav": "failed"}
    assert "third.wav" in page.files.row_of("third.wav").error
    assert page.message.text().startswith("Done.")
    assert "Failed: 1" in page.message.text()
    assert page.progress.value() == page.progress.maximum() == 3
    expected = built_in_detector().detect_file(recordings / "first.flac").events
    shown = [
        (row.onset, row.offset, row.event_label)
        for row in page.table.model.events()
        if row.source == "first.flac"
    ]
    assert sorted(shown) == sorted((event.onset, event.offset, event.event_label) for event in expected)
    export = page.export()
    assert len(export.events) == page.table.model.rowCount()
    assert set(export.durations) == set(export.scores) == {"deeper/second.flac", "first.flac"}
    assert export.recordings["first.flac"] == str(recordings / "first.flac")
    raw = np.concatenate([*built_in_detector().scores(read_blocks(recordings / "first.flac", 16_000))])
    np.testing.assert_array_equal(export.scores["first.flac"].whole(), raw)


def test_cancelled_run_says_what_is_left_and_can_go_on(qtbot, recordings):
    gate = threading.Event()

    def open_late():
        gate.wait(20)
        return built_in_detector()

    page = make_page(qtbot, open_late)
    listed(qtbot, page, recordings / "first.flac")
    page.begin.click()
    assert page.stop.isEnabled()
    assert not page.begin.isEnabled()
    page.stop.click()
    with qtbot.waitSignal(page.ended, timeout=20_000):
        gate.set()
    assert stages(page) == {"first.flac": "cancelled"}
    assert page.message.text().startswith("Cancelled.")
    assert not page.stop.isEnabled()
    with qtbot.waitSignal(page.ended, timeout=20_000):
        page.begin.click()
    assert stages(page) == {"first.flac": "done"}


def test_recordings_can_be_added_after_a_run_and_only_they_are_scored(qtbot, recordings):
    page = make_page(qtbot, built_in_detector)
    listed(qtbot, page, recordings / "first.flac")
    with qtbot.waitSignal(page.ended, timeout=20_000):
        page.start()
    before = dict(page._detections)
    listed(qtbot, page, recordings / "deeper" / "second.flac")
    assert stages(page) == {"first.flac": "done", "second.flac": "waiting"}
    with qtbot.waitSignal(page.ended, timeout=20_000):
        page.start()
    assert page._detections["first.flac"] is before["first.flac"]
    assert stages(page) == {"first.flac": "done", "second.flac": "done"}


def test_another_model_scores_what_is_done_anew(qtbot, recordings):
    hops = iter((25, 50))
    page = make_page(qtbot, lambda: open_detector(None, "cpu", "live", hop_frames=next(hops)))
    listed(qtbot, page, recordings / "first.flac")
    with qtbot.waitSignal(page.ended, timeout=20_000):
        page.start()
    before = page._detections["first.flac"]
    listed(qtbot, page, recordings / "deeper" / "second.flac")
    with qtbot.waitSignal(page.ended, timeout=20_000):
        page.start()
    assert stages(page) == {"first.flac": "done", "second.flac": "done"}
    assert page._detections["first.flac"] is not before
    export = page.export()
    assert export.about["settings"]["hop_frames"] == 50
    assert len(export.events) == page.table.model.rowCount()
    page.clear()
    assert page.export().scores == {}


def test_all_can_be_scored_again_where_all_are_done(qtbot, recordings):
    page = make_page(qtbot, built_in_detector)
    listed(qtbot, page, recordings / "first.flac")
    assert page.begin.text() == "▶ Score"
    for _ in range(2):
        with qtbot.waitSignal(page.ended, timeout=20_000):
            page.begin.click()
        assert page.begin.text() == "▶ Score again"
        assert page.begin.isEnabled()
    assert stages(page) == {"first.flac": "done"}
    assert page.table.model.rowCount() == len(page.export().events) > 0


def test_folder_that_cannot_be_read_stays_failed(qtbot, recordings, monkeypatch):
    found = Found({"first.flac": recordings / "first.flac"}, {"locked": "locked: cannot be read"})
    monkeypatch.setattr(batch_page, "collect", lambda _: found)
    page = make_page(qtbot, built_in_detector)
    listed(qtbot, page, recordings)
    with qtbot.waitSignal(page.ended, timeout=20_000):
        page.start()
    assert stages(page) == {"first.flac": "done", "locked": "failed"}
    assert page.files.row_of("locked").error == "locked: cannot be read"


def test_two_recordings_of_one_name_are_refused_in_words(qtbot, recordings):
    page = make_page(qtbot, built_in_detector)
    listed(qtbot, page, recordings / "first.flac")
    (recordings / "deeper" / "first.flac").write_bytes(b"")
    listed(qtbot, page, recordings / "deeper" / "first.flac")
    assert "first.flac" in page.message.text()
    assert stages(page) == {"first.flac": "waiting"}


def test_model_that_cannot_be_opened_ends_the_run_in_words(qtbot, recordings):
    def fail():
        raise BundleError("bundle.json: expected a model, found none")

    page = make_page(qtbot, fail)
    listed(qtbot, page, recordings / "first.flac")
    with qtbot.waitSignal(page.ended):
        page.start()
    assert "expected a model" in page.message.text()
    assert stages(page) == {"first.flac": "cancelled"}


def test_bundled_recording_gives_its_events(qtbot):
    page = make_page(qtbot, built_in_detector)
    listed(qtbot, page, DEMO)
    with qtbot.waitSignal(page.ended, timeout=60_000):
        page.start()
    assert page.table.model.rowCount() > 5
