"""The level meter: mean and peak in decibels relative to full scale, and whether the sound is clipped."""

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

from edge_app.stream.snapshot import Level
from edge_app.views.theme import Theme

FLOOR_DBFS = -60.0
LOUD_DBFS = -9.0
FALL_DB = 0.7  # a moment, of the held peak: about 20 dB a second
MARKS_DBFS = (0, -10, -20, -30, -40, -50, -60)
BAR_WIDTH = 22


class Meter(QWidget):
    """A column with marks every 10 dB; a line holds the peak and falls slowly."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._level = Level()
        self._held_dbfs = FLOOR_DBFS
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Level meter"))

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        self._theme = theme
        self.update()

    def show_level(self, level: Level) -> None:
        """Draw a level."""
        held = max(level.peak_dbfs, self._held_dbfs - FALL_DB, FLOOR_DBFS)
        if level != self._level or held != self._held_dbfs:
            self._level, self._held_dbfs = level, held
            self.update()

    def clear(self) -> None:
        """Nothing is heard any more."""
        self._level, self._held_dbfs = Level(), FLOOR_DBFS
        self.update()

    def text(self) -> str:
        """The level in words."""
        if self._level.clipped:
            return self.tr("CLIP")
        return f"{max(self._level.peak_dbfs, -99.0):.0f} dB".replace("-", "−")

    def sizeHint(self) -> QSize:  # noqa: N802
        """Wide enough for the marks and the words."""
        metrics = self.fontMetrics()
        marks = BAR_WIDTH + metrics.horizontalAdvance("−60") + 16
        return QSize(max(marks, metrics.horizontalAdvance("−60 dB") + 8), 120)

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802
        """Draw column, peak, marks and words."""
        line = self.fontMetrics().height()
        painter = QPainter(self)
        column = QRectF(4, line / 2 + 2, BAR_WIDTH, self.height() - 2 * line - 8)
        painter.fillRect(column, QColor(self._theme.canvas))
        top = _height_of(self._level.rms_dbfs, column)
        painter.fillRect(QRectF(column.left(), top, BAR_WIDTH, column.bottom() - top), QColor(self._colour()))
        painter.setPen(QColor(self._theme.text))
        peak = _height_of(self._held_dbfs, column)
        painter.fillRect(QRectF(column.left(), peak - 1, BAR_WIDTH, 2), QColor(self._theme.text))
        painter.drawText(
            QRectF(0, self.height() - line - 2, self.width(), line),
            Qt.AlignmentFlag.AlignHCenter,
            self.text(),
        )
        self._draw_marks(painter, column, line)
        painter.end()

    def _draw_marks(self, painter: QPainter, column: QRectF, line: int) -> None:
        painter.setPen(QColor(self._theme.muted))
        for mark in MARKS_DBFS:
            y = _height_of(mark, column)
            left = column.right() + 6
            painter.drawText(
                QRectF(left, y - line / 2, self.width() - left, line),
                Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
                f"{mark}".replace("-", "−"),
            )

    def _colour(self) -> str:
        if self._level.clipped:
            return self._theme.clipped
        return self._theme.loud if self._level.peak_dbfs >= LOUD_DBFS else self._theme.quiet


def _height_of(dbfs: float, column: QRectF) -> float:
    share = min(max((dbfs - FLOOR_DBFS) / -FLOOR_DBFS, 0.0), 1.0)
    return column.bottom() - share * column.height()
