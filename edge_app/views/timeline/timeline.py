"""Spectrogram, score curve and lanes on one canvas, with one axis of time."""

from collections.abc import Callable, Collection, Mapping

from PyQt6.QtCore import QPointF, pyqtSignal
from PyQt6.QtGui import QColor, QFontMetrics
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from edge_app.core.bundle import BundleManifest
from edge_app.core.decode import LabelDecoding
from edge_app.core.events import FRAME_S
from edge_app.stream.snapshot import LaneItem, Snapshot
from edge_app.stream.what_if import WhatIf
from edge_app.views.theme import Theme
from edge_app.views.timeline.canvas import Canvas
from edge_app.views.timeline.lanes import Lanes
from edge_app.views.timeline.mark_lines import MarkLines
from edge_app.views.timeline.score_curve import ScoreCurve
from edge_app.views.timeline.spectrogram import Spectrogram

VIEWS_S = (10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
AXIS_PARTS = 4
AXIS_PAD = 16
CURVE_ROW = 1
NO_FRAMES = 2**62  # asks for none at all


class Timeline(QWidget):
    """The picture of the last `view_s` seconds; frozen, it stays where it is while detection goes on."""

    event_selected = pyqtSignal(object)
    """A LaneItem, or None."""

    def __init__(self, manifest: BundleManifest, theme: Theme, view_s: float) -> None:
        super().__init__()
        settings = manifest.log_mel
        self.canvas = Canvas()
        self.spectrogram = Spectrogram(settings.n_mels, settings.f_min, settings.f_max, view_s, theme)
        self.lanes = Lanes(manifest.event_labels, settings.sample_rate, view_s, theme)
        self.curve = ScoreCurve(manifest.event_labels, manifest.decoding, view_s, theme)
        plots, heights = (
            (self.spectrogram.plot, self.lanes.plot),
            (settings.n_mels, len(manifest.event_labels)),
        )
        self.marks = MarkLines(plots, heights, settings.sample_rate, theme)
        self._sample_rate = settings.sample_rate
        self.view_s = view_s
        self.now_s = 0.0
        self.is_frozen = False
        self.has_curve = False
        self.selected: LaneItem | None = None
        self.look_back: Callable[[int], Snapshot] | None = None
        """Gives what is known from an absolute frame on, at any time."""
        self._chosen_label: str | None = None
        self._newest: Snapshot | None = None
        self._loudest: str | None = None
        self._compose()
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        self.canvas.setBackground(QColor(theme.canvas))
        self.spectrogram.set_theme(theme)
        self.lanes.set_theme(theme)
        self.curve.set_theme(theme)
        self.marks.set_theme(theme)

    def set_view(self, view_s: float) -> None:
        """Show another length of time, in seconds."""
        self.view_s = view_s
        end_frame = self.spectrogram.end_frame
        self.spectrogram.set_view(view_s)
        self.lanes.set_view(view_s)
        self.curve.set_view(view_s)
        self._refill(end_frame)
        self._place()
        self._write_ticks()

    def zoom(self, steps: int) -> None:
        """Show less time (1) or more (-1)."""
        nearest = min(range(len(VIEWS_S)), key=lambda i: abs(VIEWS_S[i] - self.view_s))
        self.set_view(VIEWS_S[min(max(nearest - steps, 0), len(VIEWS_S) - 1)])

    def set_frozen(self, is_frozen: bool) -> None:
        """Hold the picture, with the session's clock under it, or follow again."""
        self.is_frozen = is_frozen
        self._write_ticks()

    @property
    def wanted_frame(self) -> int:
        """Absolute frame from which on it needs log-mel columns."""
        if self.is_frozen:
            return NO_FRAMES
        return max(self.spectrogram.end_frame, int((self.now_s - self.view_s) / FRAME_S), 0)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Draw a snapshot, unless it is frozen."""
        if self.is_frozen:
            return
        self.now_s = snapshot.now_sample / self._sample_rate
        self.spectrogram.push(snapshot.log_mel_first, snapshot.log_mel)
        self.lanes.show(snapshot)
        self.marks.show(snapshot.marks)
        self._loudest = snapshot.top[0][0] if snapshot.top else None
        self._newest = snapshot
        self._renew_selected()
        if self.has_curve:
            self.curve.show(snapshot)
        self._place()

    def show_what_if(self, what_if: WhatIf | None) -> None:
        """Outline the events that other settings would have made; None takes the outlines away."""
        self.lanes.show_what_if(what_if)

    def set_decoding(self, decoding: Mapping[str, LabelDecoding], enabled: Collection[str]) -> None:
        """Settings of every label, and the labels that are on, from now on."""
        self.curve.set_decoding(decoding)
        self.lanes.set_enabled(enabled)

    def show_curve(self, has_curve: bool) -> None:
        """Show the scores of a label between spectrogram and lanes, or take them away.

        The label is that of the event that is selected, else of the lane that was clicked, else the loudest now.
        """
        if has_curve == self.has_curve:
            return
        self.has_curve = has_curve
        if not has_curve:
            self.canvas.removeItem(self.curve.plot)
            self.canvas.ci.layout.setRowStretchFactor(CURVE_ROW, 0)  # an empty row would keep its height
            return
        self.canvas.addItem(self.curve.plot, row=CURVE_ROW, col=0)
        self.canvas.ci.layout.setRowStretchFactor(CURVE_ROW, 2)
        self._choose_label(self._chosen_label or self._loudest or self.curve.event_label)
        if self._newest is not None:
            self.curve.show(self._newest)
        self._place()

    def clear(self) -> None:
        """Forget everything: another run begins at 0."""
        self.select(None)
        self.set_frozen(False)
        self._chosen_label = self._loudest = self._newest = None
        self.curve.clear()
        self.show_what_if(None)
        self.now_s = 0.0
        self.set_view(self.view_s)

    def select(self, item: LaneItem | None) -> None:
        """Outline an event, and box its time in the spectrogram."""
        self.selected = self.lanes.select(item.id if item else None)
        if item:
            self._choose_label(item.event_label)
        self._box(item)
        self.event_selected.emit(self.selected)

    def show_span(self, event_label: str, onset_s: float, offset_s: float) -> None:
        """Box a time in which there is no event, in seconds since the start; no event is selected then."""
        self.select(None)
        self._choose_label(event_label)
        self.spectrogram.select((onset_s, offset_s))

    def step(self, step: int) -> None:
        """Go to the next event (1) or the one before (-1)."""
        target = self._neighbour(step)
        if target:
            self.select(target)

    def _box(self, item: LaneItem | None) -> None:
        rate = self._sample_rate
        self.spectrogram.select((item.onset_sample / rate, item.offset_sample / rate) if item else None)

    def _renew_selected(self) -> None:
        """An event that is selected while it goes on grows, and is over one day, or withdrawn."""
        known = self.selected
        if known is None or known.state == "closed":
            return
        item = next((one for one in self.lanes.items if one.id == known.id), None)
        if item is None:
            self.select(None)
        elif item != known:
            self.selected = item
            self._box(item)

    def _refill(self, end_frame: int) -> None:
        """Draw the past up to a frame once more, for a picture that is held gets no more of it."""
        if self._newest is None or self.look_back is None:
            return
        self.lanes.show(self._newest)
        past = self.look_back(max(0, int((self.now_s - self.view_s) / FRAME_S)))
        self.spectrogram.push(past.log_mel_first, past.log_mel[: max(0, end_frame - past.log_mel_first)])

    def _choose_label(self, event_label: str) -> None:
        self._chosen_label = event_label
        self.curve.choose(event_label)

    def _neighbour(self, step: int) -> LaneItem | None:
        items = self.lanes.items
        ids = [item.id for item in items]
        if self.selected is None or self.selected.id not in ids:
            return (items[0] if step > 0 else items[-1]) if items else None
        place = ids.index(self.selected.id) + step
        return items[place] if 0 <= place < len(items) else None

    def _compose(self) -> None:
        self.canvas.addItem(self.spectrogram.plot, row=0, col=0)
        self.canvas.addItem(self.lanes.plot, row=2, col=0)
        self.canvas.ci.layout.setRowStretchFactor(0, 2)
        self.canvas.ci.layout.setRowStretchFactor(2, 3)
        self.canvas.setAccessibleName(self.tr("Timeline: spectrogram and one lane for each label"))
        self.canvas.can_step = lambda step: self._neighbour(step) is not None
        self.canvas.stepped.connect(self.step)
        self.canvas.clicked.connect(self._click)
        metrics = QFontMetrics(self.font())
        names = [f"{name} (off)" for name in self.lanes.lane_names()] + ["500 Hz"]
        width = max(map(metrics.horizontalAdvance, names)) + AXIS_PAD
        for plot in (self.spectrogram.plot, self.curve.plot, self.lanes.plot):
            plot.getAxis("left").setWidth(width)
        self.lanes.plot.getAxis("bottom").setHeight(metrics.height() + 8)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self._write_ticks()

    def _place(self) -> None:
        self.spectrogram.place(self.now_s)
        self.lanes.place(self.now_s)
        self.marks.place(self.now_s, self.view_s)
        if self.has_curve:
            self.curve.place(self.now_s)

    def _write_ticks(self) -> None:
        places = [-self.view_s * part / AXIS_PARTS for part in range(AXIS_PARTS, -1, -1)]
        texts = [self._tick_text(place) for place in places]
        self.lanes.plot.getAxis("bottom").setTicks([list(zip(places, texts, strict=True))])

    def _tick_text(self, place_s: float) -> str:
        if self.is_frozen:
            time_s = self.now_s + place_s
            return session_clock(time_s) if time_s >= 0 else ""
        return f"−{-place_s:g} s" if place_s else self.tr("now")

    def _click(self, scene_place: QPointF) -> None:
        view_box = self.lanes.plot.getViewBox()
        if view_box.sceneBoundingRect().contains(scene_place):
            place = view_box.mapSceneToView(scene_place)
            label = self.lanes.label_at(place.y())
            if label is not None:
                self._choose_label(label)
            self.select(self.lanes.item_at(self.now_s + place.x(), place.y()))


def session_clock(time_s: float) -> str:
    """Seconds since the start as minutes and seconds, with hours where there are any."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"
