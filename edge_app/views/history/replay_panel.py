"""Hears a recorded session once more, and says whether it comes to the same."""

import threading
from collections.abc import Callable, Mapping

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from edge_app.core.detect import Detector
from edge_app.sessions.replay import Replay, ReplayCancelled, replay
from edge_app.store.database import Store
from edge_app.store.records import SessionRecord
from edge_app.views.background import Background, Cancelled, Report
from edge_app.views.history.change_table import ChangeTable, replayed_text
from edge_app.views.history.store_thread import StoreThread

STEPS = 1000


class ReplayPanel(QWidget):
    """`open_detector` opens the model in a thread, once; None: nothing can be replayed."""

    ended = pyqtSignal()
    """A replay is over."""

    def __init__(
        self,
        store: StoreThread,
        open_detector: Callable[[], Detector] | None,
        colours: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._path, self._open_detector = store.path, open_detector
        self._detector: Detector | None = None
        self._record: SessionRecord | None = None
        self._work = Background(self)
        self._work.reported.connect(self._show)
        self._work.ended.connect(self._end)
        columns = ("time", "label", "onset", "offset")
        self.table = ChangeTable(self.tr("Differences between replay and live"), columns, colours, self)
        self.progress = QProgressBar(self)
        self.progress.setRange(0, STEPS)
        self.progress.setAccessibleName(self.tr("How far the replay is"))
        self.progress.hide()
        self.button = QPushButton(self.tr("Replay session"), self)
        self.button.clicked.connect(self._start_or_cancel)
        bar = QHBoxLayout()
        bar.addWidget(self.button)
        bar.addWidget(self.progress, 1)
        bar.addStretch(0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(bar)
        layout.addWidget(self.table, 1)
        self.show_session(None)

    def show_session(self, record: SessionRecord | None) -> None:
        """Offer to replay that session; one that is replayed goes on."""
        before, self._record = self._record, record
        if self._work.is_running:
            return
        self.button.setEnabled(record is not None and record.ended and self._open_detector is not None)
        if record is None or before is None or record.id != before.id:
            self.table.show_changes((), self._words(record))

    def set_colours(self, colours: Mapping[str, str]) -> None:
        """The colour of each label as "#rrggbb", from now on."""
        self.table.set_colours(colours)

    def close_threads(self) -> None:
        """End a replay, and wait for its thread."""
        self._work.close()

    def _words(self, record: SessionRecord | None) -> str:
        if record is None:
            return self.tr("Choose one session to hear it once more.")
        if not record.ended:
            return self.tr("The session goes on: it can be replayed once it has ended.")
        return self.tr(
            "The model hears the session's recording once more, with its gaps and its settings; the events "
            "must be the same as live."
        )

    def _start_or_cancel(self) -> None:
        if self._work.is_running:
            self._work.cancel()
            return
        record = self._record
        if record is None or self._open_detector is None:
            return
        session = record.id
        self.progress.setValue(0)
        self.progress.show()
        self.button.setText(self.tr("Cancel"))
        self.table.show_changes((), self.tr("Replaying session {number}…").format(number=session))
        self._work.start(lambda report, cancelled: self._replay(session, report, cancelled))

    def _replay(self, session: int, report: Report, cancelled: threading.Event) -> None:
        if self._detector is None and self._open_detector is not None:
            self._detector = self._open_detector()
        assert self._detector is not None
        with Store(self._path) as store:
            try:
                report(
                    (
                        store.sessions([session]),
                        replay(store, session, self._detector, report, cancelled.is_set),
                    )
                )
            except ReplayCancelled as error:
                raise Cancelled from error

    def _show(self, news: float | tuple[list[SessionRecord], Replay]) -> None:
        if isinstance(news, float):
            self.progress.setValue(round(STEPS * news))
            return
        (record, *_), result = news
        words = [(one, replayed_text(one)) for one in result.differences]
        self.table.show_changes(words, self._sentence(result), record.started_at)

    def _sentence(self, result: Replay) -> str:
        if result.differences:
            text = self.tr(
                "Session {session}: {count} events are not as live, of {events} in {seconds:.1f} s."
            )
        else:
            text = self.tr("Session {session}: the same {events} events as live, in {seconds:.1f} s.")
        told = text.format(
            session=result.session,
            count=len(result.differences),
            events=result.n_events,
            seconds=result.analysed_s,
        )
        if result.largest_score_difference is not None:
            scores = self.tr("Scores differ by at most {most:.3f}.")
            told += " " + scores.format(most=result.largest_score_difference)
        return told

    def _end(self, failure: str) -> None:
        self.progress.hide()
        self.button.setText(self.tr("Replay session"))
        if failure:
            self.table.show_changes((), failure)
        elif self.table.sentence.text().endswith("…"):
            self.table.show_changes((), self.tr("Cancelled."))
        self.button.setEnabled(self._record is not None and self._record.ended)
        self.ended.emit()
