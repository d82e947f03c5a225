"""The legend under the lanes: each state's pattern with its name."""

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

from edge_app.views.theme import Theme
from edge_app.views.timeline.lane_looks import look_of

SWATCH_WIDTH = 30
SPACE = 18


class Legend(QWidget):
    """One row; drawn with the lanes' own pens and brushes."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._has_what_if = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Legend"))
        self._describe()

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        self._theme = theme
        self.update()

    def show_what_if(self, has_what_if: bool) -> None:
        """Whether events of other settings are outlined, and need an entry."""
        self._has_what_if = has_what_if
        self._describe()
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """As wide as its entries, as high as a line."""
        metrics = self.fontMetrics()
        widths = [SWATCH_WIDTH + 6 + metrics.horizontalAdvance(name) + SPACE for _, name in self._entries()]
        return QSize(sum(widths), metrics.height() + 6)

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the entries."""
        painter = QPainter(self)
        left, height = 0.0, self.height()
        for state, name in self._entries():
            pen, brush = look_of(
                state, self._theme.gap if state == "gap" else self._theme.accent, self._theme
            )
            painter.setPen(pen)
            painter.setBrush(brush)
            painter.drawRect(QRectF(left + 1, 4, SWATCH_WIDTH - 2, height - 8))
            painter.setPen(QColor(self._theme.text))
            width = painter.fontMetrics().horizontalAdvance(name)
            place = QRectF(left + SWATCH_WIDTH + 6, 0, width + 2, height)
            painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, name)
            left += SWATCH_WIDTH + 6 + width + SPACE
        painter.end()

    def _describe(self) -> None:
        self.setAccessibleDescription(", ".join(name for _, name in self._entries()))

    def _entries(self) -> tuple[tuple[str, str], ...]:
        entries = (
            ("closed", self.tr("confirmed, over")),
            ("confirmed", self.tr("confirmed, going on")),
            ("provisional", self.tr("provisional")),
            ("preview", self.tr("score not final")),
            ("gap", self.tr("not analysed")),
        )
        return (*entries, ("what_if", self.tr("with other settings"))) if self._has_what_if else entries
