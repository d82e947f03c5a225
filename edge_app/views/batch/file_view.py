"""The list of recordings to score as a table on the screen."""

from PyQt6.QtCore import QCoreApplication
from PyQt6.QtWidgets import QTableView, QWidget

from edge_app.views.batch.file_model import FileModel

WIDTHS = (380, 110, 70)
"""Pixels of each column but the last, which takes what is left."""


class FileView(QTableView):
    """Whole rows are chosen; Tab goes on to the next control."""

    def __init__(self, files: FileModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(QCoreApplication.translate("FileTable", "Recordings"))
        self.setModel(files)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        rows, titles = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and titles is not None:  # an empty header counts as false
            rows.hide()
            titles.setStretchLastSection(True)
        for column, width in enumerate(WIDTHS):
            self.setColumnWidth(column, width)
