"""The list of what is heard at this moment: the labels with the highest scores."""

from collections.abc import Mapping, Sequence

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

from edge_app.views.palette import label_colours
from edge_app.views.theme import Theme
from edge_app.views.timeline.lane_looks import lane_name

MOST_ROWS = 5
BAR_HEIGHT = 6
WIDTH = 190


class HearingNow(QWidget):
    """Five rows: name, score, and a bar with the threshold marked; bold with a dot where the score has reached it."""

    def __init__(
        self,
        event_labels: Sequence[str],
        thresholds: Mapping[str, float],
        theme: Theme,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._event_labels = tuple(event_labels)
        self._thresholds = dict(thresholds)
        self._rows: tuple[tuple[str, float], ...] = ()
        self.set_theme(theme)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Hearing now"))

    @property
    def rows(self) -> tuple[tuple[str, float], ...]:
        """What is listed: label and score, best first."""
        return self._rows

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        self._theme = theme
        self._colours = label_colours(self._event_labels, theme.is_dark)
        self.update()

    def set_thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Scores from which on labels count as heard."""
        self._thresholds = dict(thresholds)
        self.update()

    def show_scores(self, heard: Sequence[tuple[str, float]]) -> None:
        """List labels with their scores, best first."""
        rows = tuple((label, round(score, 2)) for label, score in heard[:MOST_ROWS])
        if rows != self._rows:
            self._rows = rows
            self.setAccessibleDescription(self.text())
            self.update()

    def text(self) -> str:
        """The list in words."""
        return ", ".join(f"{lane_name(label)} {score:.2f}" for label, score in self._rows)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Space for five rows."""
        return QSize(WIDTH, MOST_ROWS * self._row_height)

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the rows."""
        painter = QPainter(self)
        for i, (label, score) in enumerate(self._rows):
            self._draw_row(painter, i * self._row_height, label, score)
        painter.end()

    @property
    def _row_height(self) -> int:
        return self.fontMetrics().height() + BAR_HEIGHT + 12

    def _draw_row(self, painter: QPainter, top: int, label: str, score: float) -> None:
        threshold = self._thresholds.get(label, 1.0)
        is_heard, line, width = score >= threshold, self.fontMetrics().height(), self.width()
        font = QFont(self.font())
        font.setBold(is_heard)
        painter.setFont(font)
        painter.setPen(QColor(self._theme.text if is_heard else self._theme.muted))
        number_width = painter.fontMetrics().horizontalAdvance("0.00") + 4
        name = ("● " if is_heard else "   ") + lane_name(label)
        name = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, width - number_width - 4)
        painter.drawText(QRectF(0, top, width - number_width, line), Qt.AlignmentFlag.AlignLeft, name)
        painter.drawText(QRectF(0, top, width, line), Qt.AlignmentFlag.AlignRight, f"{score:.2f}")
        bar_top = top + line + 3
        painter.fillRect(QRectF(0, bar_top, width, BAR_HEIGHT), QColor(self._theme.line))
        painter.fillRect(QRectF(0, bar_top, width * score, BAR_HEIGHT), QColor(self._colours[label]))
        painter.fillRect(
            QRectF(width * threshold - 1, bar_top - 2, 2, BAR_HEIGHT + 4), QColor(self._theme.text)
        )
