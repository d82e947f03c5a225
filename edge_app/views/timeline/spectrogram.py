"""The scrolling spectrogram, and the image that scrolls.

Time is drawn as seconds ago on an axis that never moves: the picture moves under it. An image is a fixed array of
bytes, shifted in place, with a table of 256 colours.
"""

import math

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QPen
from PyQt6.QtWidgets import QGraphicsRectItem

from edge_app.core.events import FRAME_S
from edge_app.views.palette import heat_table
from edge_app.views.theme import Theme
from edge_app.views.timeline.byte_image import ByteImage

MAX_COLUMNS = 1500  # about the width of a window: more would only be thrown away in painting
TICKS_HZ = (250, 1000, 2000, 4000, 8000)  # far enough apart for the names in a low window


class ScrollingImage:
    """The newest `view_s` seconds of frames of bytes, each the maximum of a few where many share a column."""

    def __init__(self, rows: int, view_s: float) -> None:
        self.item = ByteImage()
        self._rows = rows
        self.set_view(view_s)

    def set_view(self, view_s: float) -> None:
        """Show another length of time; what was there is forgotten."""
        frames = max(1, math.ceil(view_s / FRAME_S))
        self._stride = math.ceil(frames / MAX_COLUMNS)
        self._image = np.zeros((self._rows, math.ceil(frames / self._stride)), np.uint8)
        self._newest_column = -1
        self.end_frame = 0
        """Absolute frame after the last one taken."""
        self.item.set_bytes(self._image)

    def set_table(self, table: NDArray[np.uint8]) -> None:
        """Colours of the values 0 to 255, shape (256, 3) or (256, 4)."""
        self.item.set_table(table)

    def push(self, first_frame: int, frames: NDArray[np.uint8]) -> None:
        """Take frames, shape (frame, row), from the absolute frame `first_frame` on; known ones are passed over."""
        known = max(0, self.end_frame - first_frame)
        frames, first_frame = frames[known:], first_frame + known
        if not len(frames):
            return
        self.end_frame = first_frame + len(frames)
        columns = np.arange(first_frame, self.end_frame) // self._stride
        self._shift(int(columns[-1]))
        starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
        peaks = np.maximum.reduceat(frames, starts, axis=0).T
        places = columns[starts] - self._first_column
        visible = places >= 0
        places, peaks = places[visible], peaks[:, visible]
        self._image[:, places] = np.maximum(self._image[:, places], peaks)
        self.item.update()

    def place(self, now_s: float) -> None:
        """Put the picture where its frames belong on an axis of seconds ago."""
        column_s = self._stride * FRAME_S
        onset_s = self._first_column * column_s - now_s
        self.item.set_rect(QRectF(onset_s, 0, self._image.shape[1] * column_s, self._rows))

    @property
    def _first_column(self) -> int:
        return self._newest_column - self._image.shape[1] + 1

    def _shift(self, newest_column: int) -> None:
        count = min(newest_column - self._newest_column, self._image.shape[1])
        self._newest_column = max(self._newest_column, newest_column)
        if count > 0:
            self._image[:, :-count] = self._image[:, count:]
            self._image[:, -count:] = 0


class Spectrogram:
    """A plot of log-mel frames over the last seconds, lowest band at the bottom."""

    def __init__(self, n_mels: int, f_min: float, f_max: float, view_s: float, theme: Theme) -> None:
        self.plot = pg.PlotItem(enableMenu=False)
        self._image = ScrollingImage(n_mels, view_s)
        self._box = QGraphicsRectItem()
        self._n_mels = n_mels
        self._selected: tuple[float, float] | None = None
        self._now_s = 0.0
        self._dress_plot(f_min, f_max)
        self.set_view(view_s)
        self.set_theme(theme)

    @property
    def end_frame(self) -> int:
        """Absolute frame after the last one taken."""
        return self._image.end_frame

    def set_view(self, view_s: float) -> None:
        """Show another length of time, in seconds."""
        self._image.set_view(view_s)
        self.plot.setXRange(-view_s, 0, padding=0)
        self.place(self._now_s)

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        self._image.set_table(heat_table(theme.is_dark))
        pen = QPen(QColor(theme.text), 2, Qt.PenStyle.DashLine)
        pen.setCosmetic(True)
        self._box.setPen(pen)
        dress_axis(self.plot.getAxis("left"), theme)

    def push(self, first_frame: int, columns: NDArray[np.uint8]) -> None:
        """Take log-mel frames as bytes, shape (frame, mel)."""
        self._image.push(first_frame, columns)

    def select(self, span_s: tuple[float, float] | None) -> None:
        """Draw a box around an event's time, in seconds since the start; None takes it away."""
        self._selected = span_s
        self.place(self._now_s)

    def place(self, now_s: float) -> None:
        """Move to another moment, in seconds since the start."""
        self._now_s = now_s
        self._image.place(now_s)
        self._box.setVisible(self._selected is not None)
        if self._selected is not None:
            onset_s, offset_s = self._selected
            self._box.setRect(QRectF(onset_s - now_s, 0, offset_s - onset_s, self._n_mels))

    def _dress_plot(self, f_min: float, f_max: float) -> None:
        self.plot.addItem(self._image.item)
        self.plot.getViewBox().addItem(self._box, ignoreBounds=True)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.hideAxis("bottom")
        self.plot.setYRange(0, self._n_mels, padding=0)
        ticks = [
            (mel_place(hz, self._n_mels, f_min, f_max), hz_text(hz))
            for hz in TICKS_HZ
            if f_min <= hz <= f_max
        ]
        self.plot.getAxis("left").setTicks([ticks])


def dress_axis(axis: pg.AxisItem, theme: Theme) -> None:
    """An axis in a theme's colours, in the application's font."""
    axis.setPen(QColor(theme.line))
    axis.setTextPen(QColor(theme.text))
    axis.setStyle(tickFont=QFont(), tickLength=-4, autoExpandTextSpace=False, hideOverlappingLabels=40)


def mel_place(hz: float, n_mels: int, f_min: float, f_max: float) -> float:
    """Where a frequency lies on an axis on which band m is the cell [m, m + 1)."""
    low, high, here = (1127 * math.log1p(f / 700) for f in (f_min, f_max, hz))
    edge = (here - low) / (high - low) * (n_mels + 1)  # the top of band m is the edge m + 1
    return min(max(edge - 0.5, 0.0), float(n_mels))


def hz_text(hz: float) -> str:
    """A frequency as people say it: 500 Hz, 2 kHz."""
    return f"{hz / 1000:g} kHz" if hz >= 1000 else f"{hz:g} Hz"
