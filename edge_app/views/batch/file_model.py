"""Recordings to score as rows, each with how far it is."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QAbstractTableModel, QCoreApplication, QModelIndex, Qt

from edge_app.scoring.run import FileNews, FileStage

translate = QCoreApplication.translate
_ROOT = QModelIndex()
UNFINISHED: tuple[FileStage, ...] = ("waiting", "working")


@dataclass(frozen=True)
class FileRow:
    """A recording."""

    filename: str
    path: Path
    stage: FileStage = "waiting"
    done_s: float = 0.0
    n_events: int | None = None
    error: str = ""


def stage_text(row: FileRow) -> str:
    """How far a recording is, with a mark, so that it can be told without colours."""
    minutes, seconds = divmod(int(row.done_s), 60)
    return {
        "waiting": translate("FileTable", "· waiting"),
        "working": translate("FileTable", "▶ {done}").format(done=f"{minutes}:{seconds:02d}"),
        "done": translate("FileTable", "✓ done"),
        "failed": translate("FileTable", "✗ failed"),
        "cancelled": translate("FileTable", "– cancelled"),
    }[row.stage]


class FileModel(QAbstractTableModel):
    """Recordings in the order in which they are scored."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[FileRow] = []
        self._places: dict[str, int] = {}
        self._titles = [
            translate("FileTable", "Recording"),
            translate("FileTable", "State"),
            translate("FileTable", "Events"),
            translate("FileTable", "What went wrong"),
        ]

    def set_files(self, rows: Iterable[FileRow]) -> None:
        """List these recordings and no others."""
        self.beginResetModel()
        self.rows = list(rows)
        self._places = {row.filename: place for place, row in enumerate(self.rows)}
        self.endResetModel()

    def take(self, news: FileNews) -> None:
        """Take how far a recording is."""
        place = self._places[news.filename]
        n_events = len(news.detection.events) if news.detection else None
        self.rows[place] = replace(
            self.rows[place], stage=news.stage, done_s=news.done_s, n_events=n_events, error=news.error
        )
        self.dataChanged.emit(self.index(place, 0), self.index(place, len(self._titles) - 1))

    def set_stage(
        self, old: tuple[FileStage, ...], new: FileStage, among: Container[str] | None = None
    ) -> None:
        """Move every recording that is at one of the old stages, of those names or of all, on to the new one."""
        changed = [
            replace(row, stage=new, done_s=0.0)
            if row.stage in old and (among is None or row.filename in among)
            else row
            for row in self.rows
        ]
        self.set_files(changed)

    def row_of(self, filename: str) -> FileRow:
        """The row of a recording."""
        return self.rows[self._places[filename]]

    def count(self, *stages: FileStage) -> int:
        """How many recordings are at those stages."""
        return sum(row.stage in stages for row in self.rows)

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:  # noqa: N802
        """Recordings there are."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:  # noqa: N802
        """Columns there are."""
        return 0 if parent.isValid() else len(self._titles)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell shows."""
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            n_events = "" if row.n_events is None else str(row.n_events)
            return (row.filename, stage_text(row), n_events, row.error)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.error or str(row.path)
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Titles of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._titles[section]
        return None
