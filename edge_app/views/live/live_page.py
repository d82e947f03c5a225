"""The live page: meter, timeline and what is heard now.

It pulls snapshots of a run; nothing calls it from another thread.
"""

import time
from collections.abc import Collection, Mapping, Sequence

from PyQt6.QtCore import Qt, QTimer, pyqtSignal
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from edge_app.core.bundle import BundleManifest
from edge_app.core.decode import LabelDecoding
from edge_app.core.events import FRAME_S
from edge_app.stream.advice import SILENCE_WORDS
from edge_app.stream.live_run import LiveRun
from edge_app.stream.snapshot import Guess, LaneItem, Snapshot
from edge_app.stream.what_if import WhatIf
from edge_app.views.live.hearing_now import HearingNow
from edge_app.views.live.meter import Meter
from edge_app.views.theme import Theme
from edge_app.views.timeline.legend import Legend
from edge_app.views.timeline.timeline import Timeline

INTERVAL_MS = 33
PAINTED_PER_ITEM = 4  # an item has three states at most
FEW_ITEMS = 100
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
    step_wanted = pyqtSignal(int)
    """The step in frames that the user takes, as advised."""

    def __init__(self, manifest: BundleManifest, theme: Theme, view_s: float = 60.0) -> None:
        super().__init__()
        self._event_labels = manifest.event_labels
        self._hops_allowed = sorted(manifest.hop_frames.allowed)
        self._enabled: Collection[str] = manifest.event_labels
        self.timeline = Timeline(manifest, theme, view_s)
        self.meter = Meter(theme)
        self.hearing_now = HearingNow(manifest.event_labels, thresholds_of(manifest.decoding), theme)
        self.legend = Legend(theme)
        self.banner = QLabel()
        self.banner.setObjectName("banner")
        self.banner.setWordWrap(True)
        self.banner.hide()
        self.remedy = QPushButton()
        self.remedy.clicked.connect(lambda: self.step_wanted.emit(self._larger_step or 0))
        self._larger_step: int | None = None
        self.remedy.hide()
        self._run: LiveRun | None = None
        self._painted: set[tuple[int, str]] = set()
        self._to_paint: list[LaneItem] = []
        self._guesses: tuple[Guess, ...] = ()
        self._guesses_to_paint: tuple[Guess, ...] = ()
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

    def set_decoding(
        self, decoding: Mapping[str, LabelDecoding], enabled: Collection[str] | None = None
    ) -> None:
        """Show by the settings that are in force from now on; without `enabled`, those that are on stay on."""
        self._enabled = self._enabled if enabled is None else enabled
        self.hearing_now.set_thresholds(thresholds_of(decoding))
        self.timeline.set_decoding(
            decoding, [label for label in self._event_labels if label in self._enabled]
        )

    def toggle_curve(self) -> None:
        """Show the score curve of the chosen label, or take it away."""
        self.timeline.show_curve(not self.timeline.has_curve)

    def show_what_if(self, what_if: WhatIf | None) -> None:
        """Outline the events that other settings would have made; None takes the outlines away."""
        self.timeline.show_what_if(what_if)
        self.legend.show_what_if(what_if is not None)

    def follow(self, run: LiveRun) -> None:
        """Show a run that has been started, from its beginning on."""
        self.timeline.clear()
        self.timeline.look_back = run.board.snapshot
        self.legend.show_what_if(False)
        self._painted.clear()
        self._to_paint.clear()
        self._guesses = self._guesses_to_paint = ()
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
            self.meter.clear()
            self.ended.emit(snapshot)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Put a snapshot on the page."""
        self.meter.show_level(snapshot.level)
        self.hearing_now.show_scores(snapshot.top)
        self.show_banner(notice(snapshot))
        self._show_remedy(larger_step(snapshot, self._hops_allowed))
        self.timeline.show_snapshot(snapshot)
        self._plan_paint(snapshot)
        self.snapshot_shown.emit(snapshot)

    def show_banner(self, text: str) -> None:
        """Say in one sentence what is wrong; nothing takes the sentence away."""
        if text != self.banner.text():
            self.banner.setText(text)
            self.banner.setAccessibleName(text)
        self.banner.setVisible(bool(text))

    def _show_remedy(self, hop_frames: int | None) -> None:
        if hop_frames == self._larger_step:
            return
        self._larger_step = hop_frames
        self.remedy.setVisible(hop_frames is not None)
        if hop_frames is not None:
            words = self.tr("Listen again with a step of {seconds:g} s")
            self.remedy.setText(words.format(seconds=hop_frames * FRAME_S))

    def toggle_frozen(self) -> None:
        """Hold the picture, or follow again."""
        self.set_frozen(not self.timeline.is_frozen)

    def set_frozen(self, is_frozen: bool) -> None:
        """Hold the picture (detection goes on), or follow again."""
        if is_frozen != self.timeline.is_frozen:
            self.timeline.set_frozen(is_frozen)
            self.frozen_changed.emit(is_frozen)

    @property
    def _is_watched(self) -> bool:
        """Whether what comes is painted as it comes."""
        window = self.window()
        is_hidden = not self.isVisible() or (window is not None and window.isMinimized())
        return not (is_hidden or self.timeline.is_frozen)

    def _plan_paint(self, snapshot: Snapshot) -> None:
        """What the next paint will bring; what comes while nobody can see it is not timed when it is seen later."""
        if len(self._painted) > PAINTED_PER_ITEM * (len(snapshot.items) + FEW_ITEMS):
            there = {item.id for item in snapshot.items}
            self._painted = {one for one in self._painted if one[0] in there}
        if not self._is_watched:
            self._painted.update((item.id, item.state) for item in snapshot.items)
            return
        shown = self.timeline.lanes.items
        self._to_paint = [item for item in shown if (item.id, item.state) not in self._painted]
        if snapshot.guesses != self._guesses:
            self._guesses = self._guesses_to_paint = snapshot.guesses

    def _note_painted(self) -> None:
        """The paint that has just ended has brought the newest items to the screen."""
        now = time.monotonic()
        to_paint, self._to_paint = self._to_paint, []
        guesses, self._guesses_to_paint = self._guesses_to_paint, ()
        if self._run is not None:
            stamps = self._run.board.stamps
            for guess in guesses:
                stamps.guessed(guess.event_label, guess.onset_sample, guess.offset_sample, now)
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
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addLayout(left)
        row.addLayout(middle, stretch=1)
        row.addLayout(right)
        page = QVBoxLayout(self)
        page.setContentsMargins(8, 8, 8, 4)
        warning = QHBoxLayout()
        warning.addWidget(self.banner, stretch=1)
        warning.addWidget(self.remedy)
        page.addLayout(warning)
        page.addLayout(row, stretch=1)
        page.addWidget(self.legend)  # below all three, for it needs the width in a small window


def notice(snapshot: Snapshot) -> str:
    """What the user must know now, in words; empty where all is well."""
    return snapshot.message if snapshot.state in BAD_STATES else snapshot.advice


def larger_step(snapshot: Snapshot, hops_allowed: Sequence[int]) -> int | None:
    """The next larger step in frames where the advice is to take it; None where it is not, or there is none."""
    is_overloaded = snapshot.advice not in ("", SILENCE_WORDS) and snapshot.state not in BAD_STATES
    if snapshot.summary is None or not is_overloaded:
        return None
    hop_frames = snapshot.summary.hop_frames
    return next((hop for hop in hops_allowed if hop > hop_frames), None)


def thresholds_of(decoding: Mapping[str, LabelDecoding]) -> Mapping[str, float]:
    """The score from which on each label counts as heard."""
    return {label: settings.threshold_on for label, settings in decoding.items()}


def _titled(title: str, widget: QWidget, stretch: int = 0) -> QVBoxLayout:
    column = QVBoxLayout()
    heading = QLabel(title)
    heading.setProperty("quiet", "true")
    column.addWidget(heading)
    column.addWidget(widget, stretch)
    return column
