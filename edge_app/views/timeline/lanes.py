"""The timeline: one lane a label, on the spectrogram's time axis.

A state shows by its pattern and outline, not by colour alone: solid is over, solid with a bright outline goes on,
hatched is provisional, dots are frames whose scores may still change, crossed bands were not analysed, a dotted outline
is an event that other settings would have made. The shade of a lane is its score.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QBrush, QColor, QPen

from edge_app.core.events import FRAME_S
from edge_app.stream.snapshot import GapBand, Guess, LaneItem, Snapshot
from edge_app.stream.what_if import Heard, WhatIf
from edge_app.views.palette import label_colours, shade_table
from edge_app.views.theme import Theme
from edge_app.views.timeline.bars import Bars, Look
from edge_app.views.timeline.lane_looks import (
    Spans,
    draw_bars,
    enumerate_centres,
    lane_name,
    look_of,
    outline,
)
from edge_app.views.timeline.spectrogram import ScrollingImage, dress_axis

HEIGHT = 0.66  # of a lane, taken by an event
PREVIEW_HEIGHT = 0.3
SELECTED_HEIGHT = 0.92
WHAT_IF_HEIGHT = 0.8
MOST_GAP_TEXTS = 4
GAP_TEXT_SHARE = 0.08  # of the view: a narrower band has no room for words
STILL = ("chip", "stripe")  # do not move with time
STATES = ("closed", "confirmed", "provisional")


class Lanes:
    """A plot of events, guesses and gaps. Seconds are counted from the start of the session."""

    def __init__(self, event_labels: Sequence[str], sample_rate: int, view_s: float, theme: Theme) -> None:
        self.plot = pg.PlotItem(enableMenu=False)
        self.event_labels = tuple(event_labels)
        self.items: tuple[LaneItem, ...] = ()
        """What is drawn, in order of onset."""
        self._sample_rate = sample_rate
        self._enabled = frozenset(event_labels)
        self._gaps: tuple[GapBand, ...] = ()
        self._guesses: tuple[Guess, ...] = ()
        self._what_if: tuple[Heard, ...] = ()
        self._selected_id: int | None = None
        self._view_s = view_s
        self._theme = theme
        self._scores = ScrollingImage(len(self.event_labels), view_s)
        self._bars = {
            name: Bars() for name in (*STATES, "preview", "gap", "selected", "what_if", "chip", "stripe")
        }
        self._gap_texts = [pg.TextItem(anchor=(0.5, 0.5)) for _ in range(MOST_GAP_TEXTS)]
        self._dress_plot()
        self.set_view(view_s)
        self.set_theme(theme)

    @property
    def end_frame(self) -> int:
        """Absolute frame after the last score taken."""
        return self._scores.end_frame

    def set_view(self, view_s: float) -> None:
        """Show another length of time, in seconds."""
        self._view_s = view_s
        self._scores.set_view(view_s)
        self.plot.setXRange(-view_s, 0, padding=0)
        self._draw_chips()
        self._draw_stripes()

    def set_enabled(self, enabled: Collection[str]) -> None:
        """Labels that are detected; the others' lanes say that they are off."""
        self._enabled = frozenset(enabled)
        self.plot.getAxis("left").setTicks([list(enumerate_centres(self.lane_names()))])
        self._draw_chips()

    def lane_names(self) -> list[str]:
        """What is written beside the lanes."""
        return [lane_name(label, label in self._enabled) for label in self.event_labels]

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        self._theme = theme
        self._scores.set_table(shade_table(theme.muted))
        dress_axis(self.plot.getAxis("left"), theme)
        dress_axis(self.plot.getAxis("bottom"), theme)
        for text in self._gap_texts:
            text.setColor(QColor(theme.text))
            text.fill = QBrush(QColor(theme.canvas))
        self._draw_chips()
        self._draw_stripes()
        self._draw_items()
        self._draw_guesses()
        self._draw_gaps()
        self._draw_what_if()

    def show(self, snapshot: Snapshot) -> None:
        """Draw events, scores and gaps; what is drawn already costs nothing."""
        self._push_scores(snapshot.scores_first, snapshot.scores)
        begin = snapshot.now_sample - round(self._view_s * self._sample_rate)
        items = tuple(
            item for item in snapshot.items if item.state != "withdrawn" and item.offset_sample > begin
        )
        if items != self.items:
            self.items = items
            self._draw_items()
        if snapshot.gaps != self._gaps:
            self._gaps = snapshot.gaps
            self._draw_gaps()
        if snapshot.guesses != self._guesses:
            self._guesses = snapshot.guesses
            self._draw_guesses()

    def show_what_if(self, what_if: WhatIf | None) -> None:
        """Outline the events that other settings would have made; None takes the outlines away."""
        self._what_if = what_if.events if what_if else ()
        self._draw_what_if()

    def outlined(self) -> tuple[Heard, ...]:
        """The events of other settings that are outlined."""
        return self._what_if

    def label_at(self, lane: float) -> str | None:
        """The label of a height, where lane i is [i, i + 1)."""
        return self.event_labels[int(lane)] if 0 <= lane < len(self.event_labels) else None

    def place(self, now_s: float) -> None:
        """Move to another moment, in seconds since the start."""
        self._scores.place(now_s)
        for name, bars in self._bars.items():
            if name not in STILL:
                bars.setPos(-now_s, 0)
        self._place_gap_texts(now_s)

    def gap_texts(self) -> list[str]:
        """What is written on gaps that are wide enough."""
        return [text.toPlainText() for text in self._gap_texts if text.isVisible()]

    def select(self, event_id: int | None) -> LaneItem | None:
        """Outline an event; gives it where it is still there."""
        self._selected_id = event_id
        self._draw_selected()
        return next((item for item in self.items if item.id == event_id), None)

    def item_at(self, time_s: float, lane: float) -> LaneItem | None:
        """The event at a time since the start and a height, where lane i is [i, i + 1)."""
        return next(
            (
                item
                for item in reversed(self.items)
                if item.onset_sample <= time_s * self._sample_rate <= item.offset_sample
                and self._lane_of(item) == int(lane)
            ),
            None,
        )

    def _dress_plot(self) -> None:
        plot = self.plot
        self._scores.item.setZValue(-10)
        plot.addItem(self._scores.item)
        self._bars["stripe"].setZValue(-20)
        for name in ("stripe", "gap", "preview", *STATES, "what_if", "selected", "chip"):
            plot.addItem(self._bars[name], ignoreBounds=True)
        for text in self._gap_texts:
            text.setVisible(False)
            plot.addItem(text, ignoreBounds=True)
        plot.setMouseEnabled(False, False)
        plot.hideButtons()
        plot.invertY(True)
        plot.setYRange(0, len(self.event_labels), padding=0)
        plot.getAxis("left").setTicks([list(enumerate_centres(self.lane_names()))])

    def _push_scores(self, first_frame: int, scores: NDArray[np.float32]) -> None:
        known = max(0, self._scores.end_frame - first_frame)
        new = np.nan_to_num(scores[known:], nan=0.0)
        self._scores.push(first_frame + known, np.rint(new * 255).astype(np.uint8))

    def _lane_of(self, one: LaneItem | Guess | Heard) -> int:
        return self.event_labels.index(one.event_label)

    def _spans_of(self, chosen: Sequence[LaneItem | Guess]) -> Spans:
        spans = np.array([(one.onset_sample, one.offset_sample) for one in chosen]).reshape(-1, 2)
        onsets, offsets = spans.T / self._sample_rate
        return (
            onsets,
            np.maximum(offsets, onsets + FRAME_S),
            np.array(list(map(self._lane_of, chosen)), np.intp),
        )

    def _draw_items(self) -> None:
        for state in STATES:
            spans = self._spans_of([item for item in self.items if item.state == state])
            draw_bars(self._bars[state], spans, HEIGHT, self._looks(spans[2], state))
        self._draw_selected()

    def _looks(self, lanes: NDArray[np.intp], state: str) -> list[Look]:
        colours = list(label_colours(self.event_labels, self._theme.is_dark).values())
        return [look_of(state, colours[lane], self._theme) for lane in lanes]

    def _draw_selected(self) -> None:
        spans = self._spans_of([item for item in self.items if item.id == self._selected_id])
        pen = outline(self._theme.text, 2, Qt.PenStyle.DashLine)
        draw_bars(self._bars["selected"], spans, SELECTED_HEIGHT, [(pen, QBrush())])

    def _draw_guesses(self) -> None:
        spans = self._spans_of(self._guesses)
        draw_bars(self._bars["preview"], spans, PREVIEW_HEIGHT, self._looks(spans[2], "preview"))

    def _draw_what_if(self) -> None:
        spans_s = (
            np.array([(one.onset_frame, one.offset_frame) for one in self._what_if]).reshape(-1, 2) * FRAME_S
        )
        lanes = np.array(list(map(self._lane_of, self._what_if)), np.intp)
        pen, brush = look_of("what_if", "", self._theme)
        spans = spans_s[:, 0], spans_s[:, 1], lanes
        draw_bars(self._bars["what_if"], spans, WHAT_IF_HEIGHT, [(pen, brush)])

    def _gap_spans(self) -> list[tuple[float, float]]:
        rate = self._sample_rate
        return [(gap.start_sample / rate, gap.end_sample / rate) for gap in self._gaps]

    def _draw_gaps(self) -> None:
        pen, brush = look_of("gap", self._theme.gap, self._theme)
        height = len(self.event_labels)
        rects = [QRectF(onset_s, 0, offset_s - onset_s, height) for onset_s, offset_s in self._gap_spans()]
        self._bars["gap"].show_bars(rects, [(pen, brush)] * len(rects))

    def _place_gap_texts(self, now_s: float) -> None:
        begin_s = now_s - self._view_s
        visible = [(max(onset, begin_s), offset, offset - onset) for onset, offset in self._gap_spans()]
        wide = [gap for gap in visible if gap[1] - gap[0] >= GAP_TEXT_SHARE * self._view_s][-MOST_GAP_TEXTS:]
        for i, text in enumerate(self._gap_texts):
            text.setVisible(i < len(wide))
            if i < len(wide):
                onset_s, offset_s, length_s = wide[i]
                text.setText(f"not analysed {length_s:.1f} s")
                text.setPos((onset_s + offset_s) / 2 - now_s, len(self.event_labels) / 2)

    def _draw_chips(self) -> None:
        """A mark in the label's colour at the left of each lane, hollow where the label is off."""
        lanes = np.arange(len(self.event_labels))
        colours = list(label_colours(self.event_labels, self._theme.is_dark).values())
        onsets = np.full(len(lanes), -self._view_s)
        brushes = [
            QBrush(QColor(colours[lane])) if self.event_labels[lane] in self._enabled else QBrush()
            for lane in lanes
        ]
        looks = [(outline(colour, 1), brush) for colour, brush in zip(colours, brushes, strict=True)]
        draw_bars(self._bars["chip"], (onsets, onsets + 0.006 * self._view_s, lanes), HEIGHT, looks)

    def _draw_stripes(self) -> None:
        """Every other lane a little lighter or darker, so that the eye finds its name."""
        lanes = np.arange(0, len(self.event_labels), 2)
        spans = np.full(len(lanes), -self._view_s), np.zeros(len(lanes)), lanes
        pen, brush = QPen(Qt.PenStyle.NoPen), QBrush(QColor(self._theme.window))
        draw_bars(self._bars["stripe"], spans, 1.0, [(pen, brush)])
