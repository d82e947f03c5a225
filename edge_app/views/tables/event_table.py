"""A table of events with its filters: live, of a past session, and of scored files."""

from collections.abc import Iterable, Mapping, Sequence

from PyQt6.QtCore import QModelIndex, Qt, pyqtSignal
from PyQt6.QtGui import QResizeEvent
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from edge_app.views.tables.event_model import EventFilter, EventModel, Wanted
from edge_app.views.tables.event_rows import EventRow, event_columns

LIVE_COLUMNS = ("time", "label", "onset", "offset", "duration", "peak", "review", "state")
"""Of a run that goes on: the rest is not known before its events are stored."""
PAST_COLUMNS = (*LIVE_COLUMNS[:-2], "mean", *LIVE_COLUMNS[-2:], "note", "clip")
FILE_COLUMNS = ("source", "label", "onset", "offset", "duration", "peak")
WIDTHS = {"time": 152, "label": 148, "duration": 72, "state": 68, "review": 90, "clip": 56}
NUMBER_WIDTH = 58
WORDS_WIDTH = 16  # characters
LEAST_STRETCH = 120
"""The column that takes what the others leave has at least this width."""


class EventView(QTableView):
    """Rows one at a time by the arrow keys or Tab and Shift+Tab; from the last row, Tab goes on to the next control."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stretched: int | None = None
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)  # rows of one height: ten thousand are never measured
        rows, titles = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and titles is not None:  # an empty header counts as false
            rows.hide()
            rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            rows.setDefaultSectionSize(self.fontMetrics().height() + 10)
            titles.setHighlightSections(False)

    def stretch(self, column: int) -> None:
        """Give a column the width that the others leave."""
        self._stretched = column
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Another width is left."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        titles, viewport, column = self.horizontalHeader(), self.viewport(), self._stretched
        if titles is None or viewport is None or column is None:
            return
        left = viewport.width() - (titles.length() - titles.sectionSize(column))
        has_room = left >= LEAST_STRETCH
        mode = QHeaderView.ResizeMode.Stretch if has_room else QHeaderView.ResizeMode.Interactive
        titles.setSectionResizeMode(column, mode)
        if not has_room:
            titles.resizeSection(column, LEAST_STRETCH)

    def focusNextPrevChild(self, next: bool) -> bool:  # noqa: N802
        """Move by Tab and Shift+Tab while there is a row to move to."""
        return self.step(1 if next else -1) or super().focusNextPrevChild(next)

    def step(self, by: int) -> bool:
        """Select the row so many further; False where there is none."""
        model = self.model()
        row = self.currentIndex().row() + by
        if model is None or not 0 <= row < model.rowCount():
            return False
        self.selectRow(row)
        return True


class EventTable(QWidget):
    """Events, sorted by a click on a title, filtered by words, label, verdict and peak."""

    selected = pyqtSignal(object)
    """The EventRow that is chosen, or None."""
    activated = pyqtSignal(object)
    """The EventRow that was double-clicked, or on which Enter was pressed."""
    export_asked = pyqtSignal()

    def __init__(
        self,
        event_labels: Sequence[str],
        columns: Sequence[str] = PAST_COLUMNS,
        colours: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.model = EventModel(event_columns(columns), colours, self)
        self.shown = EventFilter(self.model, self)
        self.view = EventView(self)
        self.view.setAccessibleName(self.tr("Events"))
        self.view.setModel(self.shown)
        self._set_up_view(columns)
        self._make_filters(event_labels, has_reviews="review" in columns)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._bar())
        layout.addWidget(self.view, 1)
        for signal in (self.shown.rowsInserted, self.shown.rowsRemoved, self.shown.modelReset):
            signal.connect(self._count)
        self._count()

    def set_events(self, rows: Iterable[EventRow]) -> None:
        """Show these events and no others."""
        self.model.set_events(rows)
        self.selected.emit(None)

    def renew(self, rows: Iterable[EventRow]) -> None:
        """Show these as they are now beside those that are there; what is as it was costs little."""
        known = {row.id: row for row in self.model.events()}
        for row in rows:
            if known.get(row.id) != row:
                self.take(row)

    def take(self, row: EventRow) -> None:
        """Show one more event, or what has become of one."""
        self.model.take(row)
        current = self.current()
        if current is not None and current.id == row.id:
            self.selected.emit(current)

    def set_colours(self, colours: Mapping[str, str]) -> None:
        """The colour of each label as "#rrggbb", from now on."""
        self.model.set_colours(colours)

    def current(self) -> EventRow | None:
        """The chosen event."""
        index = self.view.currentIndex()
        return self.shown.event_at(index.row()) if index.isValid() else None

    def shown_events(self) -> list[EventRow]:
        """The events that the filters let through, in the order shown."""
        return [self.shown.event_at(row) for row in range(self.shown.rowCount())]

    def select(self, event_id: int) -> bool:
        """Choose an event by its number; False where it is not shown."""
        for row in range(self.shown.rowCount()):
            if self.shown.event_at(row).id == event_id:
                self.view.selectRow(row)
                return True
        return False

    def clear_choice(self) -> None:
        """Choose none."""
        self.view.setCurrentIndex(QModelIndex())

    def _set_up_view(self, columns: Sequence[str]) -> None:
        for place, name in enumerate(columns):
            self.view.setColumnWidth(place, WIDTHS.get(name, NUMBER_WIDTH))
        stretched = next(name for name in ("note", "source", "label") if name in columns)
        self.view.stretch(columns.index(stretched))
        self.view.setSortingEnabled(True)
        newest_first = columns[0] == "time"
        order = Qt.SortOrder.DescendingOrder if newest_first else Qt.SortOrder.AscendingOrder
        self.view.sortByColumn(0, order)
        selection = self.view.selectionModel()
        if selection is not None:
            selection.currentRowChanged.connect(self._tell_selected)
        self.view.activated.connect(self._tell_activated)

    def _make_filters(self, event_labels: Sequence[str], has_reviews: bool) -> None:
        self.words = QLineEdit(self)
        self.words.setPlaceholderText(self.tr("Filter by words"))
        self.words.setAccessibleName(self.tr("Filter by words in label, source or note"))
        self.words.setClearButtonEnabled(True)
        self.words.setMinimumWidth(self.fontMetrics().averageCharWidth() * WORDS_WIDTH)
        self.label = QComboBox(self)
        self.label.setAccessibleName(self.tr("Filter by label"))
        self.label.addItem(self.tr("All labels"), None)
        for event_label in event_labels:
            self.label.addItem(event_label.replace("_", " "), event_label)
        self.review = QComboBox(self)
        self.review.setAccessibleName(self.tr("Filter by verdict"))
        verdicts = (
            (self.tr("Any verdict"), None),
            (self.tr("Not reviewed"), ""),
            (self.tr("Confirmed"), "confirmed"),
            (self.tr("Rejected"), "rejected"),
        )
        for text, verdict in verdicts:
            self.review.addItem(text, verdict)
        self.review.setVisible(has_reviews)
        self.least_peak = QDoubleSpinBox(self)
        self.least_peak.setRange(0.0, 1.0)
        self.least_peak.setSingleStep(0.05)
        self.least_peak.setPrefix(self.tr("peak ≥ "))
        self.least_peak.setAccessibleName(self.tr("Lowest peak score shown"))
        self.words.textChanged.connect(self._filter)
        self.label.currentIndexChanged.connect(self._filter)
        self.review.currentIndexChanged.connect(self._filter)
        self.least_peak.valueChanged.connect(self._filter)

    def _bar(self) -> QHBoxLayout:
        self.count = QLabel(self)
        self.count.setAccessibleName(self.tr("How many events are shown"))
        self.export = QPushButton(self.tr("Export…"), self)
        self.export.setToolTip(self.tr("Write the events to a file (Ctrl+E)"))
        self.export.setAccessibleName(self.tr("Export events"))
        self.export.clicked.connect(self.export_asked)
        bar = QHBoxLayout()
        bar.addWidget(self.words, 1)
        for widget in (self.label, self.review, self.least_peak, self.count, self.export):
            bar.addWidget(widget)
        return bar

    def _filter(self) -> None:
        self.shown.want(
            Wanted(
                text=self.words.text().strip().casefold(),
                event_label=self.label.currentData(),
                review=self.review.currentData(),
                least_peak=self.least_peak.value(),
            )
        )
        self._count()

    def _count(self) -> None:
        there, shown = self.model.rowCount(), self.shown.rowCount()
        if not there:
            text = self.tr("No events yet")
        elif shown == there:
            text = self.tr("1 event") if there == 1 else self.tr("{there} events").format(there=there)
        else:
            text = self.tr("{shown} of {there} events").format(shown=shown, there=there)
        self.count.setText(text)
        self.export.setEnabled(there > 0)

    def _tell_selected(self, current: QModelIndex) -> None:
        self.selected.emit(self.shown.event_at(current.row()) if current.isValid() else None)

    def _tell_activated(self, index: QModelIndex) -> None:
        self.activated.emit(self.shown.event_at(index.row()))
