"""Asks for a format and a file, and writes an export there."""

import threading
from collections.abc import Callable
from pathlib import Path

from PyQt6.QtCore import QStandardPaths, Qt
from PyQt6.QtGui import QCloseEvent
from PyQt6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from edge_app.formats.exchange import Export
from edge_app.formats.export_files import Written, write_export
from edge_app.formats.registry import SUFFIXES, WRITERS, is_at_hand
from edge_app.views.background import Background, Report


def ask_export(load: Callable[[], Export], stem: str, parent: QWidget) -> "ExportDialog":
    """Open the dialog over a window, offering the user's folder of documents; it deletes itself in the end."""
    documents = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
    dialog = ExportDialog(load, stem, Path(documents or Path.home()), parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()
    return dialog


class ExportDialog(QDialog):
    """`load` gives the export and runs beside the window; `stem` is the file name that is offered, in `folder`."""

    def __init__(
        self, load: Callable[[], Export], stem: str, folder: Path, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Export events"))
        self._load, self._stem, self._folder = load, stem, folder
        self.written: Written | None = None
        self._work = Background(self)
        self._work.reported.connect(self._show_written)
        self._work.ended.connect(self._end)
        self._make_controls()
        self._offer_name()

    def save(self) -> None:
        """Write the file, beside the window's work."""
        text, format_name = self.path.text().strip(), self.format.currentData()
        if not text:
            self.message.setText(self.tr("Give the file a name."))
            return
        path = Path(text)
        self.written = None

        def work(report: Report, _cancelled: threading.Event) -> None:
            report(write_export(path, format_name, self._load()))

        if self._work.start(work):
            self.message.setText(self.tr("Writing…"))
            self._enable(False)

    def closeEvent(self, a0: QCloseEvent | None) -> None:  # noqa: N802
        """Wait for the writing thread."""
        self._work.close()
        super().closeEvent(a0)

    def done(self, a0: int) -> None:
        """Wait for the writing thread."""
        self._work.close()
        super().done(a0)

    def _make_controls(self) -> None:
        self.format = QComboBox(self)
        self.format.setAccessibleName(self.tr("Format"))
        for name, words in self._descriptions().items():
            self.format.addItem(words, name)
        self.format.currentIndexChanged.connect(self._offer_name)
        self.path = QLineEdit(self)
        self.path.setAccessibleName(self.tr("File"))
        self.path.setMinimumWidth(380)
        self.browse = QPushButton(self.tr("Browse…"), self)
        self.browse.setAccessibleName(self.tr("Choose the file"))
        self.browse.clicked.connect(self._browse)
        self.message = QLabel(
            self.tr("Gaps and marks are written as well: in JSON inside, otherwise beside the file."), self
        )
        self.message.setWordWrap(True)
        self.message.setAccessibleName(self.tr("How the export went"))
        self._lay_out()

    def _lay_out(self) -> None:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        self.write = QPushButton(self.tr("Save"), self)
        self.write.setAccessibleName(self.tr("Write the file"))
        self.write.setDefault(True)
        self.write.clicked.connect(self.save)
        buttons.addButton(self.write, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        line = QHBoxLayout()
        line.addWidget(self.path, 1)
        line.addWidget(self.browse)
        form = QFormLayout()
        form.addRow(self.tr("Format"), self.format)
        form.addRow(self.tr("File"), line)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.message)
        layout.addWidget(buttons)

    def _descriptions(self) -> dict[str, str]:
        known = {
            "csv": self.tr("CSV: one row an event, for spreadsheets"),
            "desed": self.tr("DESED TSV: filename, onset, offset, event label"),
            "json": self.tr("JSON: events, gaps, model and settings in one file"),
            "jsonl": self.tr("JSON lines: one object an event"),
            "audacity": self.tr("Audacity label track"),
            "raven": self.tr("Raven selection table"),
            "rttm": self.tr("RTTM"),
            "parquet": self.tr("Parquet: typed columns, for data tools"),
            "frame-scores": self.tr("Frame scores TSV: every label in every 20 ms, without the events"),
        }
        return {
            name: known.get(name, name) for name in (*known, *WRITERS) if name in WRITERS and is_at_hand(name)
        }

    def _offer_name(self) -> None:
        self.path.setText(str(self._folder / f"{self._stem}{SUFFIXES[self.format.currentData()]}"))

    def _browse(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, self.tr("Export events"), self.path.text())
        if name:
            self.path.setText(name)

    def _show_written(self, written: Written) -> None:
        self.written = written
        self.message.setText(" ".join(self._sentences(written)))

    def _sentences(self, written: Written) -> list[str]:
        """What was written, and what was not."""
        first = str(written.files[0])
        if written.n_frames:
            text = self.tr("{frames} frames written to {path}.").format(frames=written.n_frames, path=first)
        else:
            text = self.tr("{events} events written to {path}.").format(events=written.n_events, path=first)
        sentences = [text]
        if len(written.files) > 1:
            words = self.tr("One file a recording: {files} files.")
            sentences.append(words.format(files=len(written.files)))
        if written.n_left_out:
            words = self.tr("{count} events were left out: the format needs sound or a length.")
            sentences.append(words.format(count=written.n_left_out))
        if written.n_without:
            words = self.tr("Recordings without frame scores: {count}; none were kept of them.")
            sentences.append(words.format(count=written.n_without))
        return sentences

    def _end(self, failure: str) -> None:
        if failure:
            self.message.setText(failure)
        self._enable(True)

    def _enable(self, can_write: bool) -> None:
        for widget in (self.write, self.browse, self.path, self.format):
            widget.setEnabled(can_write)
