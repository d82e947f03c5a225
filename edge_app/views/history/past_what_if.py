"""Other thresholds and near misses over the stored scores of a session."""

from collections.abc import Mapping
from dataclasses import replace

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QShowEvent
from PyQt6.QtWidgets import QLabel, QSplitter, QTabWidget, QVBoxLayout, QWidget

from edge_app.store.records import SessionRecord
from edge_app.stream.what_if import WhatIf
from edge_app.views.history.change_table import ChangeTable, changes, tried_text
from edge_app.views.history.past import Past, load_past
from edge_app.views.history.store_thread import StoreThread
from edge_app.views.live.near_miss_table import NearMissTable, merged
from edge_app.views.live.what_if_panel import WhatIfPanel
from edge_app.views.live.what_if_runner import WhatIfRunner
from edge_app.views.tables.export_dialog import ExportDialog, ask_export


class PastWhatIf(QWidget):
    """Reads the scores of the session that is shown once somebody looks, and decodes them by what is tried."""

    decoding_wanted = pyqtSignal(object)
    """The decoding that is wanted from now on, dict[str, LabelDecoding]."""
    shown = pyqtSignal()
    """What was asked last is shown."""

    def __init__(
        self, store: StoreThread, colours: Mapping[str, str] | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._store, self._colours = store, dict(colours or {})
        self._session: int | None = None
        self._loaded: int | None = None
        self._past: Past | None = None
        self._runner: WhatIfRunner | None = None
        self.panel: WhatIfPanel | None = None
        self.near_misses: NearMissTable | None = None
        self.changes = ChangeTable(self.tr("What would be different"), ("time", "label"), colours, self)
        self.tables = QTabWidget(self)
        self.tables.setDocumentMode(True)
        self.message = QLabel(self)
        self.message.setWordWrap(True)
        self.message.setAccessibleName(self.tr("Message"))
        self._halves = QSplitter(Qt.Orientation.Horizontal, self)
        self._halves.addWidget(self.tables)
        self._halves.setChildrenCollapsible(False)
        self._halves.hide()
        self.show_session(None)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.message)
        layout.addWidget(self._halves, 1)

    def show_session(self, record: SessionRecord | None) -> None:
        """Show what other thresholds would make of that session, once it is over; None: of none."""
        session = record.id if record is not None and record.ended else None
        if session != self._session:
            self._session = session
            self._clear("")
            self._load()
        if session is None:
            self.message.setText(
                self.tr("Choose one session to try other thresholds on it.")
                if record is None
                else self.tr(
                    "The session goes on: the live page tries other thresholds on it, and this page once it has ended."
                )
            )

    def set_colours(self, colours: Mapping[str, str]) -> None:
        """The colour of each label as "#rrggbb", from now on."""
        self._colours = dict(colours)
        for table in (self.changes, self.near_misses):
            if table is not None:
                table.set_colours(colours)

    def close_threads(self) -> None:
        """Wait for the thread; nothing is told afterwards."""
        if self._runner is not None:
            self._runner.close()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Somebody looks."""
        super().showEvent(event)
        self._load()

    def ask_export(self) -> ExportDialog | None:
        """Ask where to write the near misses."""
        if self.near_misses is None or self._past is None:
            return None
        export = self.near_misses.near_miss_export(f"session-{self._past.record.id}")
        return ask_export(lambda: export, self.tr("near-misses"), self)

    def _load(self) -> None:
        session = self._session
        if session is None or session == self._loaded or not self.isVisible():
            return
        self._loaded = session
        self.message.setText(self.tr("Reading the scores of the session…"))
        self._store.ask(lambda store: load_past(store, session), self._take)

    def _take(self, past: Past) -> None:
        if past.record.id != self._session:  # another one has been chosen meanwhile
            return
        if not len(past.scores):
            self._clear(self.tr("No scores were kept of this session: the settings say whether they are."))
            return
        self._past = past
        self._make(past)
        self.message.setText("")
        self.message.hide()
        self._halves.show()
        self._ask()

    def _make(self, past: Past) -> None:
        """Widgets for the labels of that session, which may be those of another model than today's."""
        self.panel = WhatIfPanel(past.event_labels, past.decoding, past.enabled, self)
        self.near_misses = NearMissTable(past.event_labels, self._colours, self)
        self._runner = WhatIfRunner(past.event_labels, self)
        self._runner.look(past.scores, past.first_frame)
        self._runner.found.connect(self._show)
        self._runner.failed.connect(self.message.setText)
        self.panel.changed.connect(lambda _: self._ask())
        self.panel.left.connect(self._ask)
        self.panel.used.connect(self.decoding_wanted)
        self.near_misses.export_asked.connect(self.ask_export)
        self._halves.insertWidget(0, self.panel)
        self._halves.setSizes([660, 640])
        self.tables.addTab(self.near_misses, self.tr("Near misses"))
        self.tables.addTab(self.changes, self.tr("Differences"))

    def _ask(self) -> None:
        if self._runner is not None and self.panel is not None and self._past is not None:
            self._runner.ask(self.panel.decoding, self.panel.enabled, self._past.decoding)

    def _show(self, found: WhatIf, before: WhatIf) -> None:
        if self._past is None or self.near_misses is None or self.panel is None:
            return
        record = self._past.record
        found = replace(found, near_misses=merged(found.near_misses))
        self.near_misses.show_misses(found.near_misses, record.started_at, record.source)
        self.panel.show_result(found, before)
        told = changes(before.events, found.events)
        words = [(change, tried_text(change)) for change in told]
        self.changes.show_changes(words, self._sentence(found, before, len(told)), record.started_at)
        self.tables.setTabText(1, self.tr("Differences ({count})").format(count=len(told)))
        self.shown.emit()

    def _sentence(self, found: WhatIf, before: WhatIf, count: int) -> str:
        if not count:
            return self.tr("The same {count} events.").format(count=len(before.events))
        return self.tr("{found} events instead of {before}; {count} are not the same.").format(
            found=len(found.events), before=len(before.events), count=count
        )

    def _clear(self, words: str) -> None:
        self.close_threads()
        for widget in (self.panel, self.near_misses, self._runner):
            if widget is not None:
                widget.deleteLater()
        self.tables.clear()
        self.panel = self.near_misses = self._runner = self._past = self._loaded = None
        self._halves.hide()
        self.message.setText(words)
        self.message.show()
