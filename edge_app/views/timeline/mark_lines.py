"""Moments that the user has marked: a line through every plot of the timeline, with its note at the top."""

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PyQt6.QtGui import QBrush, QColor

from edge_app.stream.snapshot import Mark
from edge_app.views.theme import Theme
from edge_app.views.timeline.lane_looks import outline

MOST_NOTES = 8
SIGN = "⚑"


class MarkLines:
    """Lines over plots that share an axis of seconds ago; `heights` are those of the plots, notes go into the last."""

    def __init__(
        self, plots: Sequence[pg.PlotItem], heights: Sequence[float], sample_rate: int, theme: Theme
    ) -> None:
        self._sample_rate = sample_rate
        self._marks: tuple[Mark, ...] = ()
        self._heights = tuple(heights)
        self._lines = [pg.PlotCurveItem(connect="pairs") for _ in plots]
        self._notes = [pg.TextItem(anchor=(0.0, 0.0)) for _ in range(MOST_NOTES)]
        for plot, line in zip(plots, self._lines, strict=True):
            line.setZValue(20)
            plot.addItem(line, ignoreBounds=True)
        for note in self._notes:
            note.setVisible(False)
            note.setZValue(21)
            plots[-1].addItem(note, ignoreBounds=True)
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        for line in self._lines:
            line.setPen(outline(theme.accent, 2))
        for note in self._notes:
            note.setColor(QColor(theme.on_accent))
            note.fill = QBrush(QColor(theme.accent))
            note.update()

    def show(self, marks: tuple[Mark, ...]) -> None:
        """Draw marks; what is drawn already costs nothing."""
        if marks == self._marks:
            return
        self._marks = marks
        times_s = np.repeat([mark.sample / self._sample_rate for mark in marks], 2)
        for line, height in zip(self._lines, self._heights, strict=True):
            line.setData(times_s, np.tile([0.0, height], len(marks)))

    def place(self, now_s: float, view_s: float) -> None:
        """Move to another moment, in seconds since the start."""
        for line in self._lines:
            line.setPos(-now_s, 0)
        onsets_s = [(mark.sample / self._sample_rate - now_s, mark) for mark in self._marks[-MOST_NOTES:]]
        shown = [(onset_s, mark) for onset_s, mark in onsets_s if -view_s < onset_s <= 0]
        for i, note in enumerate(self._notes):
            note.setVisible(i < len(shown))
            if i < len(shown):
                onset_s, mark = shown[i]
                note.setText(f"{SIGN} {mark.note}".strip())
                note.setPos(onset_s, 0)

    def notes(self) -> list[str]:
        """What is written beside the lines that can be seen."""
        return [note.toPlainText() for note in self._notes if note.isVisible()]
