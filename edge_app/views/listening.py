"""One run after the other: opened in a thread, started, followed, ended in a thread."""

import threading
from collections.abc import Callable
from typing import Literal

from PyQt6.QtCore import QObject, pyqtSignal

from edge_app.core.errors import SedgeError
from edge_app.stream.live_run import LiveRun
from edge_app.views.background import Background, Cancelled, Report

Stage = Literal["idle", "opening", "running", "ending"]


class Listening(QObject):
    """Holds the run that goes on; what is slow about it happens beside the window."""

    began = pyqtSignal(object)
    """A LiveRun that has been started."""
    ended = pyqtSignal()
    """The run is over, and its threads are gone."""
    failed = pyqtSignal(str)
    """Why a run could not begin, in one sentence."""
    stage_changed = pyqtSignal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run: LiveRun | None = None
        """What is listened with; None while nothing is."""
        self.stage: Stage = "idle"
        self._opened: LiveRun | None = None
        self._opening = Background(self)
        self._opening.ended.connect(self._begin)
        self._ending = Background(self)
        self._ending.ended.connect(self._clear)

    def begin(self, open_run: Callable[[], LiveRun]) -> bool:
        """Open a run and start it; False where one goes on. `open_run` is called in a thread."""
        if self.stage != "idle":
            return False
        self._opened = None

        def work(_: Report, cancelled: threading.Event) -> None:
            self._opened = open_run()
            if cancelled.is_set():
                raise Cancelled

        self._opening.start(work)
        self._set_stage("opening")
        return True

    def stop(self) -> None:
        """Ask the run to end: what has been heard is still analysed."""
        if self.run is not None:
            self.run.stop()

    def end(self) -> None:
        """The run is over: let go of it."""
        if self.run is None or self.stage != "running":
            return
        run = self.run
        self._ending.start(lambda _report, _cancelled: run.close())
        self._set_stage("ending")

    def close(self) -> None:
        """End at once, whatever is going on, and leave no thread behind."""
        self._opening.close(None)
        self._ending.close(None)
        for run in (self.run, self._opened):
            if run is not None:
                run.stop()
                run.close()
        self.run = self._opened = None
        self.stage = "idle"

    def _begin(self, failure: str) -> None:
        run, self._opened = self._opened, None
        if run is not None and not failure:
            try:
                run.start()
            except SedgeError as error:
                run.close()
                failure = str(error)
        if run is None or failure:
            self._set_stage("idle")
            self.failed.emit(failure)
            return
        self.run = run
        self._set_stage("running")
        self.began.emit(run)

    def _clear(self, failure: str) -> None:
        self.run = None
        self._set_stage("idle")
        self.ended.emit()
        if failure:
            self.failed.emit(failure)

    def _set_stage(self, stage: Stage) -> None:
        self.stage = stage
        self.stage_changed.emit()
