"""The export dialog writes what each format's reader gives back."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("PyQt6")
from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportScores
from edge_app.formats.registry import EVENT_FORMATS, READERS, SUFFIXES
from edge_app.views.tables.export_dialog import ExportDialog

EXPORT = Export(
    [
        ExportEvent("hall", "a.wav", 0.5, 1.25, "Dog", 0.91),
        ExportEvent("hall", "b.wav", 2.0, 3.5, "Cat", 0.4),
        ExportEvent("hall", "b.wav", 4.0, 5.0, "Dog", 0.8),
    ],
    [ExportGap(6.0, 7.0, "lost", "b.wav")],
    {"a.wav": 10.0, "b.wav": 10.0},
)


def make_dialog(qtbot, folder, load=lambda: EXPORT):
    dialog = ExportDialog(load, "events", folder)
    qtbot.addWidget(dialog)
    return dialog


def save(qtbot, dialog):
    with qtbot.waitSignal(dialog._work.ended):
        dialog.write.click()


@pytest.mark.parametrize("format_name", EVENT_FORMATS)
def test_every_format_is_offered_and_read_back(qtbot, tmp_path, format_name):
    dialog = make_dialog(qtbot, tmp_path)
    dialog.format.setCurrentIndex(dialog.format.findData(format_name))
    assert dialog.path.text().endswith(SUFFIXES[format_name])
    save(qtbot, dialog)
    events = [event for path in dialog.written.files for event in READERS[format_name](path).events]
    found = sorted((event.event_label, round(event.offset - event.onset, 3)) for event in events)
    assert found == [("Cat", 1.5), ("Dog", 0.75), ("Dog", 1.0)]
    assert dialog.written.n_events == 3
    assert "3 events written" in dialog.message.text()


def choose(dialog, format_name):
    dialog.format.setCurrentIndex(dialog.format.findData(format_name))


def test_frame_scores_are_offered_and_what_has_none_is_said(qtbot, tmp_path):
    scores = np.linspace(0, 1, 12, dtype=np.float32).reshape(6, 2)
    kept = ExportScores(("Cat", "Dog"), 8, lambda: [(1, scores)])
    dialog = make_dialog(qtbot, tmp_path, lambda: replace(EXPORT, scores={"b.wav": kept}))
    choose(dialog, "frame-scores")
    save(qtbot, dialog)
    read = READERS["frame-scores"](tmp_path / "events.scores.tsv")
    [found] = read.scores.values()
    np.testing.assert_allclose(found.whole()[1:7], scores, atol=1e-5)
    assert not found.whole()[[0, 7]].any()
    assert [(gap.onset, gap.offset, gap.file) for gap in read.gaps] == [(6.0, 7.0, "b.wav")]
    assert "8 frames written" in dialog.message.text()
    assert "without frame scores: 1" in dialog.message.text()


def test_frame_scores_that_nobody_kept_are_said(qtbot, tmp_path):
    dialog = make_dialog(qtbot, tmp_path)
    choose(dialog, "frame-scores")
    save(qtbot, dialog)
    assert "none were kept" in dialog.message.text()
    assert list(tmp_path.iterdir()) == []


def test_what_went_wrong_is_said_and_the_dialog_stays_usable(qtbot, tmp_path):
    def fail():
        raise SedgeError("history.sqlite: cannot be read")

    dialog = make_dialog(qtbot, tmp_path, fail)
    save(qtbot, dialog)
    assert dialog.message.text() == "history.sqlite: cannot be read"
    assert dialog.written is None
    assert dialog.write.isEnabled()


def test_folder_that_is_not_there_is_said(qtbot, tmp_path):
    dialog = make_dialog(qtbot, tmp_path / "nowhere")
    save(qtbot, dialog)
    assert "nowhere" in dialog.message.text()


def test_empty_name_is_asked_for(qtbot, tmp_path):
    dialog = make_dialog(qtbot, tmp_path)
    dialog.path.clear()
    dialog.write.click()
    assert "name" in dialog.message.text()
