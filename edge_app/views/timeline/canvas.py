"""The canvas that spectrogram and lanes are drawn on: says when it has painted, and where it is clicked."""

import time
from collections import deque
from collections.abc import Callable

import pyqtgraph as pg
from PyQt6.QtCore import QPointF, Qt, pyqtSignal
from PyQt6.QtGui import QMouseEvent, QPaintEvent

KEPT_PAINTS = 1000


class Canvas(pg.GraphicsLayoutWidget):  # type: ignore[misc]  # pyqtgraph has no types
    """Keys Tab and Shift+Tab step through events while there are any left, and then leave as they do elsewhere."""

    painted = pyqtSignal()
    clicked = pyqtSignal(QPointF)
    """Where, in the scene."""
    stepped = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.paint_s: deque[float] = deque(maxlen=KEPT_PAINTS)
        """How long the newest paints took, in seconds."""
        self.can_step: Callable[[int], bool] = lambda _step: False
        """Whether there is an event to go to in this direction."""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.ci.layout.setContentsMargins(6, 6, 26, 2)  # at the right, room for half of the word "now"
        self.ci.layout.setSpacing(4)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Paint, and take the time."""
        begin = time.perf_counter()
        super().paintEvent(event)
        self.paint_s.append(time.perf_counter() - begin)
        self.painted.emit()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """A click chooses what lies there."""
        super().mousePressEvent(event)
        if event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(self.mapToScene(event.position().toPoint()))

    def focusNextPrevChild(self, is_next: bool) -> bool:  # noqa: N802
        """Tab: the next event, or the next control after the last event."""
        step = 1 if is_next else -1
        if self.can_step(step):
            self.stepped.emit(step)
            return True
        return bool(super().focusNextPrevChild(is_next))
