"""Rectangles in a plot, each with its own outline and filling."""

from collections.abc import Sequence

import pyqtgraph as pg
from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QBrush, QPainter, QPen
from PyQt6.QtWidgets import QStyleOptionGraphicsItem, QWidget

Look = tuple[QPen, QBrush]


class Bars(pg.GraphicsObject):  # type: ignore[misc]  # pyqtgraph has no types
    """pyqtgraph's own bars lose a small object at each painting: 200 MB a day where the picture moves all day."""

    def __init__(self) -> None:
        super().__init__()
        self.rects: Sequence[QRectF] = ()
        self._looks: Sequence[Look] = ()
        self._bounds = QRectF()

    def show_bars(self, rects: Sequence[QRectF], looks: Sequence[Look]) -> None:
        """Draw these and no others, one look each."""
        self.prepareGeometryChange()
        self.rects, self._looks = rects, looks
        self._bounds = QRectF()
        for rect in rects:
            self._bounds |= rect
        self.update()

    def boundingRect(self) -> QRectF:  # noqa: N802
        """Around all of them."""
        return self._bounds

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem | None, widget: QWidget | None = None
    ) -> None:
        """Draw them, in order."""
        del option, widget
        for rect, (pen, brush) in zip(self.rects, self._looks, strict=True):
            painter.setPen(pen)
            painter.setBrush(brush)
            painter.drawRect(rect)
