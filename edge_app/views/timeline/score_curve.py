"""The scores of one label with the lines at which its events begin and end: why there is an event, and why none.

The thin line is what the model gives, dotted where it is not final; the thick line is what the decoder judges, after
its median.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QBrush, QColor

from edge_app.core.decode import LabelDecoding, median_filter
from edge_app.core.events import FRAME_S
from edge_app.stream.snapshot import Snapshot
from edge_app.views.palette import label_colours
from edge_app.views.theme import Theme
from edge_app.views.timeline.lane_looks import lane_name, outline
from edge_app.views.timeline.spectrogram import MAX_COLUMNS, dress_axis

ROOM = 1.04  # a little above 1 and below 0, so that lines at the ends are seen whole

Curve = tuple[NDArray[np.float64], NDArray[np.float32]]
"""Times in seconds since the start, and scores; not a number where there is none."""


class ScoreCurve:
    """A plot of one label's scores over the last seconds, on the timeline's axis of seconds ago."""

    def __init__(
        self,
        event_labels: Sequence[str],
        decoding: Mapping[str, LabelDecoding],
        view_s: float,
        theme: Theme,
    ) -> None:
        self.plot = pg.PlotItem(enableMenu=False)
        self.event_label = event_labels[0]
        self._event_labels = tuple(event_labels)
        self._decoding = dict(decoding)
        self._view_s = view_s
        self._snapshot: Snapshot | None = None
        self._name = pg.TextItem(anchor=(0.0, 0.0))
        self._raw, self._preview, self._judged = (pg.PlotCurveItem(connect="finite") for _ in range(3))
        self._on, self._off = (
            pg.InfiniteLine(angle=0, label="", labelOpts={"position": 0.97, "anchors": anchors})
            for anchors in ([(1, 1), (1, 1)], [(1, 0), (1, 0)])
        )
        self._dress_plot()
        self.set_view(view_s)
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        self._theme = theme
        dress_axis(self.plot.getAxis("left"), theme)
        self._name.fill = QBrush(QColor(theme.canvas))
        self._on.setPen(outline(theme.text, 1.5, Qt.PenStyle.DashLine))
        self._off.setPen(outline(theme.muted, 1.5, Qt.PenStyle.DotLine))
        for line in (self._on, self._off):
            line.label.setColor(QColor(theme.text))
            line.label.fill = QBrush(QColor(theme.canvas))
        self._write()

    def set_view(self, view_s: float) -> None:
        """Show another length of time, in seconds."""
        self._view_s = view_s
        self.plot.setXRange(-view_s, 0, padding=0)
        self._name.setPos(-view_s, ROOM)
        self._draw()

    def set_decoding(self, decoding: Mapping[str, LabelDecoding]) -> None:
        """Settings of every label from now on."""
        self._decoding = dict(decoding)
        self._write()
        self._draw()

    def choose(self, event_label: str) -> None:
        """Show another label."""
        if event_label != self.event_label:
            self.event_label = event_label
            self._write()
            self._draw()

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot's scores; what is drawn already costs nothing."""
        known, self._snapshot = self._snapshot, snapshot
        if known is None or known.scores is not snapshot.scores or known.preview is not snapshot.preview:
            self._draw()

    def clear(self) -> None:
        """Forget everything: another run begins."""
        self._snapshot = None
        for curve in (self._raw, self._preview, self._judged):
            curve.setData([], [])

    def place(self, now_s: float) -> None:
        """Move to another moment, in seconds since the start."""
        for curve in (self._raw, self._preview, self._judged):
            curve.setPos(-now_s, 0)

    def _dress_plot(self) -> None:
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.hideAxis("bottom")
        self.plot.setYRange(1 - ROOM, ROOM, padding=0)
        self.plot.getAxis("left").setTicks([[(0.0, "0"), (0.5, "0.5"), (1.0, "1")]])
        for part in (self._raw, self._preview, self._judged, self._on, self._off, self._name):
            self.plot.addItem(part, ignoreBounds=True)

    def _write(self) -> None:
        """Name, colours and lines of the label."""
        colour = label_colours(self._event_labels, self._theme.is_dark)[self.event_label]
        settings = self._decoding[self.event_label]
        self._raw.setPen(outline(colour, 1))
        self._preview.setPen(outline(colour, 1, Qt.PenStyle.DotLine))
        self._judged.setPen(outline(colour, 2.5))
        self._name.setText(lane_name(self.event_label), color=QColor(self._theme.text))
        self._on.setValue(settings.threshold_on)
        self._off.setValue(settings.off)
        is_one = settings.off == settings.threshold_on
        self._on.label.setFormat(
            f"on, off {settings.off:.2f}" if is_one else f"on {settings.threshold_on:.2f}"
        )
        self._off.label.setFormat("" if is_one else f"off {settings.off:.2f}")
        self._off.setVisible(not is_one)

    def _draw(self) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        column, width = (
            self._event_labels.index(self.event_label),
            self._decoding[self.event_label].median_frames,
        )
        first, scores = newest(snapshot, column, self._view_s, width // 2)
        self._raw.setData(*thinned(first, scores))
        self._judged.setData(*thinned(first, judged(scores, width)))
        joint = np.concatenate([scores[-1:], snapshot.preview[:, column]])
        self._preview.setData(*thinned(first + len(scores) - len(scores[-1:]), joint))


def newest(snapshot: Snapshot, column: int, view_s: float, before: int) -> tuple[int, NDArray[np.float32]]:
    """The final scores that the view shows, and `before` frames before them: the first frame, and (frame,)."""
    view = min(len(snapshot.scores), round(view_s / FRAME_S) + before)
    begin = len(snapshot.scores) - view
    return snapshot.scores_first + begin, snapshot.scores[begin:, column]


def judged(scores: NDArray[np.float32], median_frames: int) -> NDArray[np.float32]:
    """What the decoder judges: the median, with zeros where nothing was analysed; not a number where none is yet."""
    half = median_frames // 2
    padded = np.pad(np.nan_to_num(scores, nan=0.0), (half, 0))
    if len(padded) < median_frames:
        return np.full(len(scores), np.nan, np.float32)
    smoothed = np.pad(median_filter(padded, median_frames), (0, half), constant_values=np.nan)
    return np.where(np.isnan(scores), np.float32(np.nan), smoothed)


def thinned(first_frame: int, scores: NDArray[np.float32]) -> Curve:
    """A curve of no more points than a window has columns, each the highest score of its frames, in their middle."""
    stride = max(1, -(-len(scores) // MAX_COLUMNS))
    starts = np.arange(0, len(scores), stride)
    if not len(starts):
        return np.empty(0), scores
    peaks: NDArray[np.float32] = np.asarray(np.fmax.reduceat(scores, starts), np.float32)
    return np.asarray((first_frame + starts + stride / 2) * FRAME_S, np.float64), peaks
