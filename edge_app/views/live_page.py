"""The live page: meter, timeline and what is heard now.

It pulls snapshots of a run; nothing calls it from another thread.
"""

import time

from PyQt6.QtCore import Qt, QTimer, pyqtSignal
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from edge_app.core.bundle import BundleManifest
from edge_app.stream.live_run import LiveRun
from edge_app.stream.snapshot import LaneItem, Snapshot
from edge_app.views.hearing_now import HearingNow
from edge_app.views.legend import Legend
from edge_app.views.meter import Meter
from edge_app.views.theme import Theme
from edge_app.views.timeline import Timeline

INTERVAL_MS = 33
BAD_STATES = ("stalled", "reconnecting", "failed")


class LivePage(QWidget):
    """What is heard as it happens."""

    snapshot_shown = pyqtSignal(object)
    """A Snapshot that is on the page now."""
    item_appeared = pyqtSignal(object)
    """A LaneItem that has been painted for the first time in its state."""
    ended = pyqtSignal(object)
    """The last Snapshot of a run that is over."""
    frozen_changed = pyqtSignal(bool)

    def __init__(self, manifest: BundleManifest, theme: Theme, view_s: float = 60.0) -> None:
        super().__init__()
        thresholds = {label: manifest.decoding[label].threshold_on for label in manifest.event_labels}
        self.timeline = Timeline(manifest, theme, view_s)
        self.meter = Meter(theme)
        self.hearing_now = HearingNow(manifest.event_labels, thresholds, theme)
        self.legend = Legend(theme)
        self.banner = QLabel()
        self.banner.setObjectName("banner")
        self.banner.setWordWrap(True)
        self.banner.hide()
        self._run: LiveRun | None = None
        self._painted: set[tuple[int, str]] = set()
        self._to_paint: list[LaneItem] = []
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self.pull)
        self.timeline.canvas.painted.connect(self._note_painted)
        self._compose()

    @property
    def is_following(self) -> bool:
        """Whether a run is shown."""
        return self._run is not None

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        for part in (self.timeline, self.meter, self.hearing_now, self.legend):
            part.set_theme(theme)

    def follow(self, run: LiveRun) -> None:
        """Show a run that has been started, from its beginning on."""
        self.timeline.clear()
        self._painted.clear()
        self._to_paint.clear()
        self._run = run
        self._timer.start()
        self.timeline.canvas.setFocus()

    def leave(self) -> None:
        """Pull no more; what is on the page stays."""
        self._timer.stop()
        self._run = None

    def pull(self) -> None:
        """Take a snapshot of the run and show it."""
        if self._run is None:
            return
        is_over = self._run.is_over  # asked first, so that the snapshot of a run that is over is its last
        snapshot = self._run.board.snapshot(self.timeline.wanted_frame)
        self.show_snapshot(snapshot)
        if is_over:
            self.leave()
            self.ended.emit(snapshot)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Put a snapshot on the page."""
        self.meter.show_level(snapshot.level)
        self.hearing_now.show_scores(snapshot.top)
        self.show_banner(snapshot.message if snapshot.state in BAD_STATES else "")
        self.timeline.show_snapshot(snapshot)
        if not self.timeline.is_frozen:
            shown = self.timeline.lanes.items
            self._to_paint = [item for item in shown if (item.id, item.state) not in self._painted]
        self.snapshot_shown.emit(snapshot)

    def show_banner(self, text: str) -> None:
        """Say in one sentence what is wrong; nothing takes the sentence away."""
        if text != self.banner.text():
            self.banner.setText(text)
            self.banner.setAccessibleName(text)
        self.banner.setVisible(bool(text))

    def toggle_frozen(self) -> None:
        """Hold the picture, or follow again."""
        self.set_frozen(not self.timeline.is_frozen)

    def set_frozen(self, is_frozen: bool) -> None:
        """Hold the picture (detection goes on), or follow again."""
        if is_frozen != self.timeline.is_frozen:
            self.timeline.set_frozen(is_frozen)
            self.frozen_changed.emit(is_frozen)

    def _note_painted(self) -> None:
        """The paint that has just ended has brought the newest items to the screen."""
        now = time.monotonic()
        to_paint, self._to_paint = self._to_paint, []
        for item in to_paint:
            self._painted.add((item.id, item.state))
            if self._run is not None:
                self._run.board.stamps.shown(item.id, item.state, now)
            self.item_appeared.emit(item)

    def _compose(self) -> None:
        left = _titled(self.tr("Level"), self.meter, stretch=1)
        right = _titled(self.tr("Hearing now"), self.hearing_now)
        right.addStretch(1)
        middle = QVBoxLayout()
        middle.setSpacing(4)
        middle.addWidget(self.timeline, stretch=1)
        middle.addWidget(self.legend)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addLayout(left)
        row.addLayout(middle, stretch=1)
        row.addLayout(right)
        page = QVBoxLayout(self)
        page.setContentsMargins(8, 8, 8, 4)
        page.addWidget(self.banner)
        page.addLayout(row, stretch=1)


def _titled(title: str, widget: QWidget, stretch: int = 0) -> QVBoxLayout:
    column = QVBoxLayout()
    heading = QLabel(title)
    heading.setProperty("quiet", "true")
    column.addWidget(heading)
    column.addWidget(widget, stretch)
    return column
