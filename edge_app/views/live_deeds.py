"""What can be done with a run that goes on, or has just ended: save sound, mark it, play and judge an event."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QObject, pyqtSignal

from edge_app.core.errors import SedgeError
from edge_app.sessions.journal import Journal
from edge_app.store.database import Store
from edge_app.store.queries import EventFilter
from edge_app.store.records import Review
from edge_app.stream.board import Board
from edge_app.stream.snapshot import LaneItem
from edge_app.views.background import Background, Report
from edge_app.views.history.clip_player import Play, play_sound, read_clip
from edge_app.views.live.live_table import LiveTable
from edge_app.views.timeline.timeline import NO_FRAMES

AROUND_S = 0.5
"""Sound played before and after an event, in seconds."""
SAVED_S = 30.0

AskStore = Callable[[Callable[[Store], Any]], None]
"""Has a job done on the store, beside the window."""


class LiveDeeds(QObject):
    """Acts on the event that is chosen on the live page; what is slow happens beside the window."""

    told = pyqtSignal(str)
    """What has been done, in words."""
    failed = pyqtSignal(str)
    """What could not be done, and why."""
    reviewed = pyqtSignal()
    """A verdict has been given; it is in the store in a moment."""

    def __init__(
        self,
        board: Board,
        events: LiveTable,
        ask_store: AskStore | None,
        play: Play = play_sound,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._board, self._events, self._ask_store, self._play = board, events, ask_store, play
        self._journal: Journal | None = None
        self._saving = Background(self)
        self._saving.reported.connect(self.told.emit)
        self._saving.ended.connect(self._tell_failure)
        self._playing = Background(self)
        self._playing.ended.connect(self._tell_failure)

    def follow(self, journal: Journal | None) -> None:
        """Another run: its journal, None where it is not kept."""
        self._journal = journal

    def save_last(self) -> None:
        """Save the newest half minute of sound."""
        if (journal := self._needed()) is None:
            return

        def work(report: Report, _: threading.Event) -> None:
            clip = journal.save_last(SAVED_S)
            length_s = (clip.end - clip.start) / self._board.sample_rate
            report(self.tr("{length:.1f} s saved: {path}").format(length=length_s, path=clip.path))

        self._saving.start(work)

    def mark(self) -> None:
        """Mark this moment."""
        sample = self._board.snapshot(NO_FRAMES).now_sample
        if (journal := self._needed()) is None:
            return
        journal.mark(sample)
        self._board.mark(sample, "")
        self.told.emit(self.tr("Marked at {at:.1f} s.").format(at=sample / self._board.sample_rate))

    def play(self) -> None:
        """Play the chosen event, or stop playing."""
        if self._playing.is_running:
            self._playing.cancel()
            return
        item, journal = self._chosen(), self._needed()
        if item is None or journal is None:
            return
        self._playing.start(partial(self._play_event, journal, item))

    def judge(self, verdict: Review) -> None:
        """Say whether the chosen event is right."""
        item, journal = self._chosen(), self._needed()
        if item is None or journal is None or self._ask_store is None:
            return
        event = journal.event_id(item.id)
        if item.state != "closed" or event is None:
            self.failed.emit(self.tr("The event goes on: a verdict can be given once it is over."))
            return
        self._ask_store(lambda store: store.review(event, verdict))
        self._events.review(item.id, verdict)
        self.reviewed.emit()

    def close_threads(self) -> None:
        """Stop playing, and finish what is being saved."""
        self._playing.close()
        self._saving.close()

    def _chosen(self) -> LaneItem | None:
        item = self._events.chosen
        if item is None:
            self.failed.emit(self.tr("No event is chosen: click one, or go through them with Tab."))
        return item

    def _needed(self) -> Journal | None:
        if self._journal is None:
            self.failed.emit(self.tr("Nothing is kept: press Listen first."))
        return self._journal

    def _play_event(self, journal: Journal, item: LaneItem, _: Report, stopped: threading.Event) -> None:
        samples, rate = self._sound_of(journal, item)
        self._play(samples, rate, stopped)

    def _sound_of(self, journal: Journal, item: LaneItem) -> tuple[NDArray[np.float32], int]:
        """The event's sound with a little around it. Raises SedgeError where none is there any more."""
        history = journal.history
        around = round(AROUND_S * history.sample_rate)
        start, end = item.onset_sample - around, item.offset_sample + around
        if start >= history.start - around and history.start < item.offset_sample:
            first = max(start, history.start)
            return history.read(first, max(first, min(end, history.end)))[0], history.sample_rate
        if (path := self._clip_of(journal, item)) is None:
            raise SedgeError(
                self.tr(
                    "No sound was kept of this event: it is older than the sound in memory, and has no clip."
                )
            )
        return read_clip(path)

    def _clip_of(self, journal: Journal, item: LaneItem) -> Path | None:
        event = journal.event_id(item.id)
        if event is None:
            return None
        wanted = EventFilter(session=journal.session, has_clip=True)
        with Store(journal.path) as store:
            return next((record.clip_path for record in store.events(wanted) if record.id == event), None)

    def _tell_failure(self, failure: str) -> None:
        if failure:
            self.failed.emit(failure)
