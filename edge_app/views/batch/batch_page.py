"""Recordings dropped here are scored one after the other, while the window stays free."""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QDragEnterEvent, QDropEvent
from PyQt6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from edge_app.core.detect import Detector, FileDetection
from edge_app.formats.exchange import Export
from edge_app.scoring.build_export import build_export
from edge_app.scoring.recordings import Found, collect
from edge_app.scoring.run import FileNews, FileStage
from edge_app.scoring.spool import ScoreSpool
from edge_app.views.background import Background
from edge_app.views.batch.batch_work import Job, Opened, score_files
from edge_app.views.batch.file_model import UNFINISHED, FileModel, FileRow
from edge_app.views.batch.file_view import FileView
from edge_app.views.tables.event_rows import EventRow
from edge_app.views.tables.event_table import FILE_COLUMNS, EventTable
from edge_app.views.tables.export_dialog import ExportDialog, ask_export


class BatchPage(QWidget):
    """Files on top, their events below, and at the end a sentence that says how it went.

    `open_detector` opens the model, in the worker. Another model than before scores all recordings anew.
    """

    ended = pyqtSignal()
    """The run is over, whichever way."""

    def __init__(
        self,
        open_detector: Callable[[], Detector],
        event_labels: Sequence[str],
        colours: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._open_detector = open_detector
        self._recordings: dict[str, Path] = {}
        self._spool = ScoreSpool()
        self._detections: dict[str, FileDetection] = {}
        self._detector: Detector | None = None
        self._roots: list[Path] = []
        self._ids = itertools.count(1)
        self._began, self._is_cancelled = 0.0, False
        self.files = FileModel()
        self.table = EventTable(event_labels, FILE_COLUMNS, colours, self)
        self.table.export_asked.connect(self.ask_export)
        self._search = Background(self)
        self._search.reported.connect(self._list)
        self._search.ended.connect(self._end_search)
        self._work = Background(self)
        self._work.reported.connect(self._take)
        self._work.ended.connect(self._end)
        self.setAcceptDrops(True)
        self._make_controls()
        self._lay_out()
        self._update()

    @property
    def is_running(self) -> bool:
        """Whether recordings are being scored."""
        return self._work.is_running

    def add(self, paths: Iterable[Path]) -> None:
        """List the recordings in files and folders, below those that are listed."""
        new = [path for path in paths if path not in self._roots]
        if not new or self._search.is_running or self.is_running:
            return
        roots = [*self._roots, *new]
        self._search.start(lambda report, _: report((roots, collect(roots))))
        self._say(self.tr("Looking for recordings…"))

    def start(self) -> None:
        """Score every recording that is not done; all of them again where all are."""
        if self.is_running:
            return
        self.files.set_stage(("failed", "cancelled"), "waiting", self._recordings)
        if not self.files.count("waiting"):
            self._forget_events()
        job = Job(self._at("waiting"), self._at("done"), self._detector)
        if not job.waiting:
            return
        self._began, self._is_cancelled = time.monotonic(), False
        self._work.start(partial(score_files, self._open_detector, job, self._spool))
        self._say(self.tr("Opening the model…"))
        self._update()

    def cancel(self) -> None:
        """End the run early; what is done stays."""
        if self.is_running:
            self._is_cancelled = True
            self._work.cancel()
            self._say(self.tr("Cancelling…"))

    def clear(self) -> None:
        """Forget the recordings and their events."""
        if self.is_running:
            return
        self._roots, self._recordings, self._detections = [], {}, {}
        self._spool.clear()
        self.files.set_files([])
        self.table.set_events([])
        self._say(self.tr("Drop recordings or folders here, or add them with the buttons."))
        self._update()

    def export(self) -> Export:
        """The events and frame scores of the recordings that are done."""
        return self._load_export()()

    def ask_export(self) -> ExportDialog:
        """Ask where to write the events or frame scores of the recordings that are done."""
        return ask_export(self._load_export(), self.tr("events"), self)

    def set_colours(self, colours: Mapping[str, str]) -> None:
        """The colour of each label as "#rrggbb", from now on."""
        self.table.set_colours(colours)

    def close_threads(self) -> None:
        """Cancel, and end the threads of this page."""
        self._search.close()
        self._work.close()
        self._spool.clear()

    def dragEnterEvent(self, a0: QDragEnterEvent | None) -> None:  # noqa: N802
        """Take files from another program."""
        mime = a0.mimeData() if a0 else None
        if a0 and mime and mime.hasUrls() and not self.is_running:
            a0.acceptProposedAction()

    def dropEvent(self, a0: QDropEvent | None) -> None:  # noqa: N802
        """List what was dropped."""
        mime = a0.mimeData() if a0 else None
        if a0 and mime:
            self.add(Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile())
            a0.acceptProposedAction()

    def _make_controls(self) -> None:
        self.add_files = self._button(self.tr("Add files…"), self.tr("Choose recordings to score"))
        self.add_folder = self._button(
            self.tr("Add folder…"), self.tr("Choose a folder of recordings to score")
        )
        self.begin = self._button(self.tr("▶ Score"), self.tr("Score the recordings that are not done"))
        self.stop = self._button(self.tr("■ Cancel"), self.tr("Cancel scoring; what is done stays"))
        self.empty = self._button(self.tr("Clear"), self.tr("Take all recordings off the list"))
        self.add_files.clicked.connect(self.ask_files)
        self.add_folder.clicked.connect(self.ask_folder)
        self.begin.clicked.connect(self.start)
        self.stop.clicked.connect(self.cancel)
        self.empty.clicked.connect(self.clear)
        self.message = QLabel(self.tr("Drop recordings or folders here, or add them with the buttons."), self)
        self.message.setWordWrap(True)
        self.message.setAccessibleName(self.tr("How far scoring is"))
        self.progress = QProgressBar(self)
        self.progress.setAccessibleName(self.tr("Recordings done"))
        self.progress.setFormat(self.tr("%v of %m recordings"))

    def _button(self, text: str, explanation: str) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(explanation)
        button.setAccessibleName(explanation)
        return button

    def _lay_out(self) -> None:
        self.file_view = FileView(self.files, self)
        bar = QHBoxLayout()
        for button in (self.add_files, self.add_folder, self.empty, self.begin, self.stop):
            bar.addWidget(button)
        bar.addWidget(self.progress, 1)
        both = QSplitter(Qt.Orientation.Vertical, self)
        both.addWidget(self.file_view)
        both.addWidget(self.table)
        both.setStretchFactor(1, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(bar)
        layout.addWidget(self.message)
        layout.addWidget(both, 1)

    def ask_files(self) -> None:
        """Ask for recordings, and list them."""
        names, _ = QFileDialog.getOpenFileNames(self, self.tr("Recordings to score"))
        self.add(map(Path, names))

    def ask_folder(self) -> None:
        """Ask for a folder, and list its recordings."""
        name = QFileDialog.getExistingDirectory(self, self.tr("Folder of recordings to score"))
        if name:
            self.add([Path(name)])

    def _load_export(self) -> Callable[[], Export]:
        """What makes an export of what is done by now, in any thread."""
        if self._detector is None:
            return Export
        detections, scores = dict(self._detections), self._spool.scores()
        return partial(build_export, self._detector, dict(self._recordings), detections, scores)

    def _at(self, stage: FileStage) -> dict[str, Path]:
        """The recordings at a stage, by filename."""
        return {row.filename: row.path for row in self.files.rows if row.stage == stage}

    def _list(self, answer: tuple[list[Path], Found]) -> None:
        self._roots, found = answer
        self._recordings = dict(found.recordings)
        known = {row.filename: row for row in self.files.rows}
        rows = [known.get(name) or FileRow(name, path) for name, path in found.recordings.items()]
        rows += [FileRow(name, Path(name), "failed", error=error) for name, error in found.failures.items()]
        self.files.set_files(rows)

    def _end_search(self, failure: str) -> None:
        waiting = self.tr("Recordings that wait to be scored: {count}.").format(
            count=self.files.count("waiting")
        )
        self._say(failure or waiting)
        self._update()

    def _take(self, news: Any) -> None:
        if isinstance(news, Opened):
            self._detector = news.detector
            if news.is_another:
                self._forget_events()
            self._say(self.tr("Scoring with {runtime}").format(runtime=news.detector.runtime_text))
        elif isinstance(news, FileNews):
            self.files.take(news)
            if news.detection is not None:
                self._detections[news.filename] = news.detection
                self._show_events(news.filename, news.detection)
            if news.stage != "working":
                self._update()

    def _forget_events(self) -> None:
        """What is done is to be done anew."""
        self.files.set_stage(("done",), "waiting")
        self._detections = {}
        self.table.set_events([])

    def _show_events(self, filename: str, detection: FileDetection) -> None:
        for event in detection.events:
            label, onset, offset = event.event_label, event.onset, event.offset
            row = EventRow(next(self._ids), label, onset, offset, event.score, source=filename)
            self.table.take(row)

    def _end(self, failure: str) -> None:
        self.files.set_stage(UNFINISHED, "cancelled")
        self._say(self._closing_text(failure))
        self._update()
        self.ended.emit()

    def _closing_text(self, failure: str) -> str:
        failed, left = self.files.count("failed"), self.files.count("cancelled")
        n_events = sum(len(detection.events) for detection in self._detections.values())
        parts = [
            failure or (self.tr("Cancelled.") if self._is_cancelled else self.tr("Done.")),
            self.tr("Recordings scored: {done}; events: {events}; {seconds:.1f} s.").format(
                done=self.files.count("done"), events=n_events, seconds=time.monotonic() - self._began
            ),
        ]
        if failed:
            parts.append(self.tr("Failed: {failed}; the list says why.").format(failed=failed))
        if left:
            parts.append(self.tr("Not scored: {left}; Score goes on with them.").format(left=left))
        return " ".join(parts)

    def _update(self) -> None:
        is_running, n_files = self.is_running, len(self.files.rows)
        self.progress.setMaximum(max(1, n_files))
        self.progress.setValue(self.files.count("done", "failed"))
        self.progress.setVisible(n_files > 0)
        self.stop.setEnabled(is_running)
        is_done = n_files > 0 and not self.files.count("waiting", "failed", "cancelled")
        self.begin.setText(self.tr("▶ Score again") if is_done and not is_running else self.tr("▶ Score"))
        self.begin.setEnabled(not is_running and n_files > 0)
        for button in (self.add_files, self.add_folder):
            button.setEnabled(not is_running)
        self.empty.setEnabled(not is_running and n_files > 0)

    def _say(self, text: str) -> None:
        self.message.setText(text)
