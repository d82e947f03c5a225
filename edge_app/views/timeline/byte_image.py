"""A picture of bytes with a table of 256 colours, painted straight from the array that holds them."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6 import sip
from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QImage, QPainter, qRgba
from PyQt6.QtWidgets import QStyleOptionGraphicsItem, QWidget

OPAQUE = 255


class ByteImage(pg.GraphicsObject):  # type: ignore[misc]  # pyqtgraph has no types
    """Row 0 lies at the least y. What is written into the array shows at the next `update`.

    pyqtgraph's own image makes a new QImage of an address at each painting, and PyQt 6.11 loses a hundred bytes each
    time: in a program that runs all day, they add up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cells = np.zeros((1, 1), np.uint8)
        """What is shown, shape (row, column)."""
        self._image = QImage()
        self._table: list[int] = []
        self._rect = QRectF()

    def set_bytes(self, rows: NDArray[np.uint8]) -> None:
        """Show an array, shape (row, column), C-contiguous, from now on."""
        self.cells = rows  # the picture has no copy of its own
        height, width = rows.shape
        address = sip.voidptr(rows.ctypes.data)
        image_of: Any = QImage  # whose types do not know addresses
        self._image = image_of(address, width, height, rows.strides[0], QImage.Format.Format_Indexed8)
        self._image.setColorTable(self._table)
        self.update()

    def set_table(self, colours: NDArray[np.uint8]) -> None:
        """Colours of the values 0 to 255, shape (256, 3) or (256, 4)."""
        self._table = [qRgba(*colour[:3], *(colour[3:] or [OPAQUE])) for colour in colours.tolist()]
        self._image.setColorTable(self._table)
        self.update()

    def set_rect(self, rect: QRectF) -> None:
        """Where the picture lies."""
        if rect != self._rect:
            self.prepareGeometryChange()
            self._rect = rect
            self.update()

    def boundingRect(self) -> QRectF:  # noqa: N802
        """Where the picture lies."""
        return self._rect

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem | None, widget: QWidget | None = None
    ) -> None:
        """Draw it, each byte one cell."""
        del option, widget
        if self._table:
            painter.drawImage(self._rect, self._image)
