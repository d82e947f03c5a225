"""Sessions as rows, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PyQt6.QtCore import QAbstractTableModel, QCoreApplication, QModelIndex, Qt

from edge_app.store.records import SessionRecord
from edge_app.views.tables.event_rows import time_text

translate = QCoreApplication.translate
_ROOT = QModelIndex()


@dataclass(frozen=True)
class SessionRow:
    """A session with the number of its events; without a record it stands for all of them."""

    record: SessionRecord | None
    n_events: int

    @property
    def id(self) -> int | None:
        """The session's number in the store; None for all of them."""
        return self.record.id if self.record else None


def length_text(seconds: float) -> str:
    """A length as hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def ending_text(record: SessionRecord) -> str:
    """How a session ended."""
    if not record.ended:
        return translate("SessionTable", "● listening")
    return (
        translate("SessionTable", "┄ cut short") if record.recovered else translate("SessionTable", "■ ended")
    )


class SessionModel(QAbstractTableModel):
    """The sessions of the store; the first row stands for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[SessionRow] = []
        self._titles = [
            translate("SessionTable", "Began"),
            translate("SessionTable", "Length"),
            translate("SessionTable", "Events"),
            translate("SessionTable", "Source"),
            translate("SessionTable", "Ending"),
        ]

    def set_sessions(self, rows: Sequence[SessionRow]) -> None:
        """Show these sessions, below the row that stands for all of them; what is chosen stays if all are known."""
        shown = [SessionRow(None, sum(row.n_events for row in rows)), *rows] if rows else []
        if shown and [row.id for row in shown] == [row.id for row in self._rows]:
            self._rows = shown
            self.dataChanged.emit(self.index(0, 0), self.index(len(shown) - 1, len(self._titles) - 1))
            return
        self.beginResetModel()
        self._rows = shown
        self.endResetModel()

    @property
    def listed(self) -> list[SessionRow]:
        """Every row, the one of all sessions first."""
        return list(self._rows)

    @property
    def running(self) -> list[int]:
        """Numbers of the sessions that go on."""
        return [row.record.id for row in self._rows if row.record and not row.record.ended]

    def session_at(self, row: int) -> SessionRow:
        """The session in that row."""
        return self._rows[row]

    def row_of(self, session: int | None) -> int | None:
        """The row of a session."""
        return next((place for place, row in enumerate(self._rows) if row.id == session), None)

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:  # noqa: N802
        """Sessions there are, and one for all."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:  # noqa: N802
        """Columns there are."""
        return 0 if parent.isValid() else len(self._titles)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell shows."""
        row = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._texts(row)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole and row.record:
            return translate("SessionTable", "{source}; model {model} on {runtime}").format(
                source=row.record.source, model=row.record.model_name, runtime=row.record.runtime
            )
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Titles of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._titles[section]
        return None

    def _texts(self, row: SessionRow) -> tuple[str, ...]:
        if row.record is None:
            return translate("SessionTable", "All sessions"), "", str(row.n_events), "", ""
        record = row.record
        length = length_text(record.end_sample / record.sample_rate)
        began = time_text(record.started_at)[:-2]
        return began, length, str(row.n_events), record.source, ending_text(record)
