"""What was heard before: sessions, their events, and the review of one event after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from PyQt6.QtCore import QModelIndex, Qt, QTimer, pyqtSignal
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSplitter,
    QTableView,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from edge_app.core.detect import Detector
from edge_app.store.records import Review, SessionRecord
from edge_app.views.history.clip_player import ClipPlayer
from edge_app.views.history.past import load_events, load_export, load_sessions
from edge_app.views.history.past_what_if import PastWhatIf
from edge_app.views.history.replay_panel import ReplayPanel
from edge_app.views.history.review import ReviewPanel
from edge_app.views.history.session_model import SessionModel, SessionRow
from edge_app.views.history.store_thread import StoreThread
from edge_app.views.tables.event_rows import EventRow
from edge_app.views.tables.event_table import EventTable
from edge_app.views.tables.export_dialog import ExportDialog, ask_export

SOURCE_COLUMN = 3
LOOK_MS = 2000
"""How often a session that goes on is read again while the page is seen."""
NEWEST = 200
"""Of a session that goes on, so many of the newest events are read again: older ones change no more."""


class HistoryPage(QWidget):
    """Sessions on the left, events of the chosen one on the right, the chosen event below.

    `event_labels` are those that the filter offers. Reviews are written to the store beside the window's work.
    `open_detector` opens the model that a session is replayed with; it is called in a thread.
    """

    reviewed = pyqtSignal(int, str, str)
    """An event's number in the store, its verdict and its note, once asked for."""
    decoding_wanted = pyqtSignal(object)
    """Thresholds that were tried on the past and are wanted from now on, dict[str, LabelDecoding]."""

    def __init__(
        self,
        store_path: Path,
        event_labels: Sequence[str],
        colours: Mapping[str, str] | None = None,
        player: ClipPlayer | None = None,
        parent: QWidget | None = None,
        open_detector: Callable[[], Detector] | None = None,
    ) -> None:
        super().__init__(parent)
        self.store = StoreThread(store_path, self)
        self.store.failed.connect(self._say)
        self.sessions = SessionModel()
        self.table = EventTable(event_labels, colours=colours, parent=self)
        self.review = ReviewPanel(player, self)
        self.review.add_shortcuts(self)
        self.what_if = PastWhatIf(self.store, colours, self)
        self.what_if.decoding_wanted.connect(self.decoding_wanted)
        self.replay = ReplayPanel(self.store, open_detector, colours, self)
        self._session: int | None = None
        self._judged = 0
        self._is_reading = False
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()
        self._make_session_view()
        self._lay_out()
        self.table.selected.connect(self.review.show_event)
        self.table.activated.connect(lambda _row: self.review.play.click())
        self.table.export_asked.connect(self.ask_export)
        self.review.reviewed.connect(self._review)
        self.review.step_asked.connect(self._go_on)

    def refresh(self) -> None:
        """Read the sessions again, and the events of the chosen one."""
        self.store.ask(load_sessions, self._show_sessions)

    def look(self) -> None:
        """Read what a session that goes on has become, if the page is seen and that was not asked already."""
        if not self.isVisible() or not self.sessions.running or self._is_reading:
            return
        self._is_reading = True
        self.store.ask(load_sessions, self._renew)

    def set_colours(self, colours: Mapping[str, str]) -> None:
        """The colour of each label as "#rrggbb", from now on."""
        for part in (self.table, self.what_if, self.replay):
            part.set_colours(colours)

    def show_session(self, session: int | None) -> None:
        """Show the events of a session, or the newest of all."""
        self._session = session
        self._show_parts()
        self.store.ask(lambda store: (session, load_events(store, session)), self._show_events)

    def ask_export(self) -> ExportDialog:
        """Ask where to write the events of the chosen session, or of all."""
        session = self._session
        stem = self.tr("events") if session is None else self.tr("session-{number}").format(number=session)
        return ask_export(partial(load_export, self.store.path, session), stem, self)

    def close_threads(self) -> None:
        """Write what is unsaved, and end the threads of this page."""
        self._timer.stop()
        self.review.close_player()
        self.what_if.close_threads()
        self.replay.close_threads()
        self.store.close()

    def _make_session_view(self) -> None:
        self.session_view = QTableView(self)
        self.session_view.setAccessibleName(self.tr("Sessions"))
        self.session_view.setModel(self.sessions)
        self.session_view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.session_view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.session_view.setTabKeyNavigation(False)
        self.session_view.setShowGrid(False)
        self.session_view.setWordWrap(False)
        self.session_view.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # a path's end is its name
        for column, width in enumerate((138, 60, 55, 100, 85)):
            self.session_view.setColumnWidth(column, width)
        rows, titles = self.session_view.verticalHeader(), self.session_view.horizontalHeader()
        if rows is not None and titles is not None:  # an empty header counts as false
            rows.hide()
            titles.setSectionResizeMode(SOURCE_COLUMN, QHeaderView.ResizeMode.Stretch)
            titles.setHighlightSections(False)
        selection = self.session_view.selectionModel()
        if selection is not None:
            selection.currentRowChanged.connect(self._choose)

    def _lay_out(self) -> None:
        self.again = QPushButton(self.tr("Refresh"), self)
        self.again.setAccessibleName(self.tr("Read the history again"))
        self.again.clicked.connect(self.refresh)
        self.message = QLabel(self)
        self.message.setObjectName("banner")
        self.message.setWordWrap(True)
        self.message.setAccessibleName(self.tr("Message"))
        self.message.hide()
        bar = QHBoxLayout()
        bar.addWidget(QLabel(self.tr("Sessions"), self))
        bar.addStretch(1)
        bar.addWidget(self.again)
        left = QWidget(self)
        left_layout = QVBoxLayout(left)
        left_layout.setContentsMargins(0, 0, 0, 0)
        left_layout.addLayout(bar)
        left_layout.addWidget(self.session_view)
        self.tabs = QTabWidget(self)
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(self.review, self.tr("Event"))
        self.tabs.addTab(self.what_if, self.tr("Other thresholds"))
        self.tabs.addTab(self.replay, self.tr("Replay"))
        both = QSplitter(Qt.Orientation.Horizontal, self)
        both.addWidget(left)
        both.addWidget(self.table)
        both.setStretchFactor(1, 1)
        both.setSizes([410, 970])
        page = QSplitter(Qt.Orientation.Vertical, self)
        page.addWidget(both)
        page.addWidget(self.tabs)
        page.setStretchFactor(0, 1)
        page.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.addWidget(self.message)
        layout.addWidget(page, 1)

    def _show_sessions(self, rows: list[SessionRow]) -> None:
        self.message.hide()
        known = self.session_view.currentIndex()
        self.sessions.set_sessions(rows)
        place = self.sessions.row_of(self._session)
        if place is None:
            self.table.set_events([])
        elif self.session_view.currentIndex().isValid() and known.row() == place:
            self.show_session(self._session)
        else:
            self.session_view.selectRow(place)

    def _renew(self, rows: list[SessionRow]) -> None:
        self._is_reading = False
        running = self.sessions.running
        if [row.id for row in rows] != [row.id for row in self.sessions.listed[1:]]:
            self._show_sessions(rows)
            return
        self.sessions.set_sessions(rows)
        self._show_parts()
        session = self._session
        if session is None or session in running:
            self.store.ask(lambda store: (session, load_events(store, session, NEWEST)), self._renew_events)

    def _renew_events(self, answer: tuple[int | None, list[EventRow]]) -> None:
        session, rows = answer
        if session == self._session:
            self.table.renew(rows)

    def _show_parts(self) -> None:
        """What is done with a session as a whole."""
        record = self._record()
        self.replay.show_session(record)
        self.what_if.show_session(record)

    def _record(self) -> SessionRecord | None:
        place = self.sessions.row_of(self._session)
        return None if place is None else self.sessions.session_at(place).record

    def _choose(self, current: QModelIndex) -> None:
        if current.isValid():
            self.show_session(self.sessions.session_at(current.row()).id)

    def _show_events(self, answer: tuple[int | None, list[EventRow]]) -> None:
        session, rows = answer
        if session != self._session:  # another one has been chosen meanwhile
            return
        chosen = self.table.current()
        self.table.set_events(rows)
        if chosen is not None:
            self.table.select(chosen.id)

    def _review(self, event: int, verdict: str, note: str) -> None:
        checked = cast(Review, verdict)
        self._judged = event
        self.store.ask(lambda store: store.review(event, checked, note))
        for row in self.table.model.events():
            if row.id == event:
                self.table.take(replace(row, review=verdict, note=note))
                break
        self.reviewed.emit(event, verdict, note)

    def _go_on(self, by: int) -> None:
        current = self.table.current()
        if current is not None and current.id == self._judged:  # else the filter has gone on already
            self.table.view.step(by)

    def _say(self, text: str) -> None:
        self._is_reading = False
        self.message.setText(text)
        self.message.show()
