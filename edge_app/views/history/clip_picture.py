"""A picture of a clip: its spectrogram, with the event's part marked."""

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QWidget

from edge_app.core.logmel import LogMelConfig, log_mel
from edge_app.stream.snapshot import LOG_MEL_HIGH, LOG_MEL_LOW
from edge_app.views.background import Background, Report
from edge_app.views.history.clip_player import read_clip
from edge_app.views.palette import heat_table
from edge_app.views.tables.event_rows import EventRow

HEIGHT = 84
MOST_COLUMNS = 1200
SHADE = 130  # opacity over the sound that is not the event's, of 255


@dataclass(frozen=True)
class ClipImage:
    """The log-mel columns of a clip as bytes, shape (mel, column), the highest band first, and its length."""

    path: Path
    cells: NDArray[np.uint8]
    duration_s: float


def read_image(path: Path) -> ClipImage:
    """The picture of a clip. Raises AudioError where it is gone or damaged."""
    samples, sample_rate = read_clip(path)
    config = LogMelConfig()
    if (
        sample_rate != config.sample_rate
    ):  # clips have the rate of the model; others have a picture all the same
        places = np.arange(round(len(samples) * config.sample_rate / sample_rate))
        times = places * (sample_rate / config.sample_rate)
        samples = np.interp(times, np.arange(len(samples)), samples).astype(np.float32)
    columns = log_mel(samples, config)
    stride = -(-max(1, len(columns)) // MOST_COLUMNS)
    kept = (
        np.maximum.reduceat(columns, np.arange(0, len(columns), stride), axis=0) if len(columns) else columns
    )
    scaled = np.clip(np.rint((kept - LOG_MEL_LOW) * (255 / (LOG_MEL_HIGH - LOG_MEL_LOW))), 0, 255)
    cells = np.ascontiguousarray(scaled.astype(np.uint8).T[::-1])
    return ClipImage(path, cells, len(samples) / config.sample_rate)


class ClipPicture(QWidget):
    """Draws the clip of an event; without a clip it is hidden."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEIGHT)
        self.setAccessibleName(self.tr("Spectrogram of the event's sound"))
        self._row: EventRow | None = None
        self.image: ClipImage | None = None
        self._reading: Path | None = None
        self._failed: Path | None = None
        self._work = Background(self)
        self._work.reported.connect(self._take)
        self._work.ended.connect(self._end)
        self.hide()

    @property
    def event_span(self) -> tuple[float, float] | None:
        """From where to where of the clip's length, 0...1, the event is; None where that is not known."""
        row, image = self._row, self.image
        if row is None or image is None or row.clip_start is None or not image.duration_s:
            return None
        first, last = ((at - row.clip_start) / image.duration_s for at in (row.onset, row.offset))
        return min(max(first, 0.0), 1.0), min(max(last, 0.0), 1.0)

    def show_event(self, row: EventRow | None) -> None:
        """Draw the clip of an event."""
        self._row = row
        if row is None or row.clip is None:
            self.image, self._failed = None, None
            self.hide()
            return
        self.show()
        if self.image is None or self.image.path != row.clip:
            self.image = None
            self._read()
        self.update()

    def close_threads(self) -> None:
        """Wait for the thread that reads."""
        self._work.close()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw spectrogram, shade and the ends of the event."""
        painter = QPainter(self)
        palette = self.palette()
        painter.fillRect(self.rect(), palette.base())
        if self.image is None or not self.image.cells.size:
            painter.setPen(palette.placeholderText().color())
            words = self.tr("No picture of this clip") if self._failed else self.tr("Reading the clip…")
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, words)
        else:
            self._draw(painter, self.image)
        painter.end()

    def _draw(self, painter: QPainter, image: ClipImage) -> None:
        base = self.palette().base().color()
        cells = image.cells
        drawn = QImage(
            cells.tobytes(), cells.shape[1], cells.shape[0], cells.shape[1], QImage.Format.Format_Indexed8
        )
        drawn.setColorTable([QColor(*colour).rgb() for colour in heat_table(base.lightness() < 128).tolist()])
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(QRectF(self.rect()), drawn)
        span = self.event_span
        if span is None:
            return
        first, last = (edge * self.width() for edge in span)
        base.setAlpha(SHADE)
        painter.fillRect(QRectF(0, 0, first, self.height()), base)
        painter.fillRect(QRectF(last, 0, self.width() - last, self.height()), base)
        painter.setPen(QPen(self.palette().highlight().color(), 2))
        for edge in (first, last):
            painter.drawLine(round(edge), 0, round(edge), self.height())

    def _read(self) -> None:
        path = self._row.clip if self._row else None
        if path is None:
            return

        def work(report: Report, _cancelled: threading.Event) -> None:
            report(read_image(path))

        if self._work.start(work):
            self._reading, self._failed = path, None

    def _take(self, image: ClipImage) -> None:
        if self._row is not None and self._row.clip == image.path:
            self.image = image
            self.update()

    def _end(self, failure: str) -> None:
        clip = self._row.clip if self._row else None
        if clip != self._reading and self.image is None:  # another event was chosen meanwhile
            self._read()
        elif failure:
            self._failed = clip
            self.update()
