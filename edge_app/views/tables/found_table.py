"""A plain table of what was found in the past: sorted by a click, exported, with a sentence that counts."""

from collections.abc import Mapping, Sequence

from PyQt6.QtCore import QModelIndex, Qt, pyqtSignal
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from edge_app.views.tables.event_model import EventModel
from edge_app.views.tables.event_rows import Column, EventRow
from edge_app.views.tables.event_table import EventView

WIDTHS = {"time": 152, "label": 135}
NUMBER_WIDTH = 66


class FoundTable(QWidget):
    """Rows with `columns`; the last column takes the width that is left. `name` is for screen readers."""

    selected = pyqtSignal(object)
    """The row that is chosen, or None."""
    activated = pyqtSignal(object)
    """The row that was double-clicked, or on which Enter was pressed."""
    export_asked = pyqtSignal()

    def __init__(
        self,
        columns: Sequence[Column],
        name: str,
        colours: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.model = EventModel(columns, colours, self)
        self.view = EventView(self)
        self.view.setAccessibleName(name)
        self.view.setModel(self.model)
        for place, column in enumerate(columns):
            self.view.setColumnWidth(place, WIDTHS.get(column.name, NUMBER_WIDTH))
        self.view.stretch(len(columns) - 1)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        self.view.activated.connect(lambda index: self.activated.emit(self.model.event_at(index.row())))
        selection = self.view.selectionModel()
        if selection is not None:
            selection.currentRowChanged.connect(self._tell_selected)
        self.sentence = QLabel(self)
        self.sentence.setWordWrap(True)
        self.sentence.setAccessibleName(self.tr("What was found"))
        self.export = QPushButton(self.tr("Export…"), self)
        self.export.setAccessibleName(self.tr("Export these rows"))
        self.export.setEnabled(False)
        self.export.clicked.connect(self.export_asked)
        self._lay_out()

    def set_rows(self, rows: Sequence[EventRow]) -> None:
        """Show these rows and no others; the chosen one stays chosen where it is still there."""
        if sorted(rows, key=_number) == sorted(self.model.events(), key=_number):
            return
        chosen = self.current()
        self.model.set_events(rows)
        self.export.setEnabled(bool(rows))
        if chosen is None:
            return
        self.blockSignals(True)  # what stays chosen is no choice
        is_there = self.select(chosen.id)
        self.blockSignals(False)
        if not is_there:
            self.selected.emit(None)

    def rows(self) -> list[EventRow]:
        """Every row, in the order shown."""
        return self.model.events()

    def current(self) -> EventRow | None:
        """The chosen row."""
        index = self.view.currentIndex()
        return self.model.event_at(index.row()) if index.isValid() else None

    def select(self, row_id: int) -> bool:
        """Choose a row by its number; False where it is not there."""
        place = next((place for place, row in enumerate(self.rows()) if row.id == row_id), None)
        if place is None:
            return False
        self.view.selectRow(place)
        return True

    def set_colours(self, colours: Mapping[str, str]) -> None:
        """The colour of each label as "#rrggbb", from now on."""
        self.model.set_colours(colours)

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.addWidget(self.sentence, 1)
        bar.addWidget(self.export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(bar)
        layout.addWidget(self.view, 1)

    def _tell_selected(self, current: QModelIndex) -> None:
        self.selected.emit(self.model.event_at(current.row()) if current.isValid() else None)


def _number(row: EventRow) -> int:
    return row.id
