"""Events as rows: the table model that sorts, and the filter in front of it.

Rows are sorted here with Python's sort, by one key a row: a proxy that compares cell with cell would call back
into Python a quarter of a million times for ten thousand rows.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PyQt6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QSortFilterProxyModel,
    Qt,
)
from PyQt6.QtGui import QColor, QPixmap

from edge_app.views.tables.event_rows import Column, EventRow

SIGN_SIZE = 16
_ROOT = QModelIndex()
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class EventModel(QAbstractTableModel):
    """Rows of events, sorted; one that is taken again under its number replaces what it was."""

    def __init__(
        self,
        columns: Sequence[Column],
        colours: Mapping[str, str] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.columns = list(columns)
        self._signs = signs_of(colours or {})
        self._rows: list[EventRow] = []
        """Ascending by the sort key; shown from the end where the order is descending."""
        self._ids: set[int] = set()
        self._key = self.columns[0].key
        self._is_descending = False

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:  # noqa: N802
        """Events there are."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:  # noqa: N802
        """Columns there are."""
        return 0 if parent.isValid() else len(self.columns)

    def event_at(self, row: int) -> EventRow:
        """The event that is shown in that row."""
        return self._rows[self._place(row)]

    def events(self) -> list[EventRow]:
        """Every event, in the order shown."""
        return self._rows[::-1] if self._is_descending else list(self._rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell shows."""
        column = self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(self.event_at(index.row()))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column.is_number else _LEFT
        if role == Qt.ItemDataRole.DecorationRole and column.name == "label":
            return self._signs.get(self.event_at(index.row()).event_label)
        if role == Qt.ItemDataRole.ToolTipRole and column.name in ("source", "note"):
            return column.text(self.event_at(index.row()))
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Titles of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section].title
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, and keep to it for the events that come; equal ones stay in their order."""
        if not 0 <= column < len(self.columns):
            return
        self.layoutAboutToBeChanged.emit()
        held = self.persistentIndexList()
        ids = [self.event_at(index.row()).id for index in held]
        self._key, self._is_descending = self.columns[column].key, order == Qt.SortOrder.DescendingOrder
        self._rows.sort(key=self._key)
        row_of = {row.id: place for place, row in enumerate(self.events())} if held else {}
        moved = [self.index(row_of[id], index.column()) for id, index in zip(ids, held, strict=True)]
        self.changePersistentIndexList(held, moved)
        self.layoutChanged.emit()

    def set_colours(self, colours: Mapping[str, str]) -> None:
        """The colour of each label as "#rrggbb", from now on."""
        self._signs = signs_of(colours)
        if self._rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._rows) - 1, len(self.columns) - 1))

    def set_events(self, rows: Iterable[EventRow]) -> None:
        """Show these events and no others."""
        self.beginResetModel()
        self._rows = sorted(rows, key=self._key)
        self._ids = {row.id for row in self._rows}
        self.endResetModel()

    def take(self, row: EventRow) -> None:
        """Show one more event, or what has become of one that is shown."""
        if row.id not in self._ids:
            self._insert(row)
            return
        place = next(place for place, old in enumerate(self._rows) if old.id == row.id)
        if self._key(self._rows[place]) == self._key(row):
            self._rows[place] = row
            shown = self._place(place)
            self.dataChanged.emit(self.index(shown, 0), self.index(shown, len(self.columns) - 1))
        else:
            self._remove(place)
            self._insert(row)

    def drop(self, row_id: int) -> None:
        """Show one event no more."""
        if row_id in self._ids:
            self._remove(next(place for place, row in enumerate(self._rows) if row.id == row_id))

    def _insert(self, row: EventRow) -> None:
        find = bisect_left if self._is_descending else bisect_right
        place = find(self._rows, self._key(row), key=self._key)
        shown = len(self._rows) - place if self._is_descending else place
        self.beginInsertRows(_ROOT, shown, shown)
        self._rows.insert(place, row)
        self._ids.add(row.id)
        self.endInsertRows()

    def _remove(self, place: int) -> None:
        shown = self._place(place)
        self.beginRemoveRows(_ROOT, shown, shown)
        self._ids.discard(self._rows.pop(place).id)
        self.endRemoveRows()

    def _place(self, row: int) -> int:
        return len(self._rows) - 1 - row if self._is_descending else row


def signs_of(colours: Mapping[str, str]) -> dict[str, QPixmap]:
    """A square of each label's colour. Made once: of a colour, Qt would make and keep a new one at each painting."""
    signs = {}
    for event_label, colour in colours.items():
        signs[event_label] = QPixmap(SIGN_SIZE, SIGN_SIZE)
        signs[event_label].fill(QColor(colour))
    return signs


@dataclass(frozen=True)
class Wanted:
    """Which events a filter lets through."""

    text: str = ""
    """Words in label, source or note, upper and lower case alike."""
    event_label: str | None = None
    review: str | None = None
    """confirmed, rejected, or an empty text for those not reviewed yet."""
    least_peak: float = 0.0

    def accepts(self, row: EventRow) -> bool:
        """Whether an event is wanted."""
        if row.peak < self.least_peak:
            return False
        if self.event_label is not None and row.event_label != self.event_label:
            return False
        if self.review is not None and row.review != self.review:
            return False
        return not self.text or self.text in f"{row.event_label}\n{row.source}\n{row.note}".casefold()


class EventFilter(QSortFilterProxyModel):
    """Lets the wanted events through; sorting is the model's own work."""

    def __init__(self, model: EventModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.events = model
        self.wanted = Wanted()
        self.setSourceModel(model)

    def want(self, wanted: Wanted) -> None:
        """Let only these through."""
        if wanted != self.wanted:
            self.wanted = wanted
            self.invalidateFilter()

    def event_at(self, row: int) -> EventRow:
        """The event that is shown in that row."""
        return self.events.event_at(self.mapToSource(self.index(row, 0)).row())

    def filterAcceptsRow(self, source_row: int, source_parent: QModelIndex) -> bool:  # noqa: N802, ARG002
        """Whether the event in that row of the model is wanted."""
        return self.wanted.accepts(self.events.event_at(source_row))

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Have the model sort itself."""
        self.events.sort(column, order)
