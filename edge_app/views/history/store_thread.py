"""The store, asked from the window without waiting: one thread that owns its connection and answers in order."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from PyQt6.QtCore import QObject, pyqtSignal

from edge_app.core.errors import SedgeError
from edge_app.store.database import Store

Answer = TypeVar("Answer")
Then = Callable[[Any], None]


class StoreThread(QObject):
    """Runs jobs on the store of a path; the answers arrive in the thread that this object lives in."""

    failed = pyqtSignal(str)
    """What could not be read or written, in words."""
    _answered = pyqtSignal(object, object)

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.path = path
        self._jobs: queue.SimpleQueue[tuple[Callable[[Store], Any], Then | None] | None] = queue.SimpleQueue()
        self._answered.connect(self._pass_on)
        self._thread = threading.Thread(target=self._run, name="sedge-history", daemon=True)
        self._thread.start()

    def ask(self, job: Callable[[Store], Answer], then: Callable[[Answer], None] | None = None) -> None:
        """Do a job after those asked before it, and give its answer to `then`."""
        self._jobs.put((job, then))

    def close(self, patience_s: float = 5.0) -> None:
        """Finish what was asked, and close the store; no answer comes any more."""
        self.blockSignals(True)
        self._jobs.put(None)
        self._thread.join(patience_s)

    def _run(self) -> None:
        store: Store | None = None
        try:
            while (asked := self._jobs.get()) is not None:
                job, then = asked
                try:
                    store = store or Store(self.path)
                    self._emit(self._answered, then, job(store))
                except SedgeError as error:
                    self._emit(self.failed, str(error))
                except Exception as error:  # the thread must live for the jobs that follow
                    self._emit(self.failed, f"{type(error).__name__}: {' '.join(str(error).split())}")
        finally:
            if store:
                store.close()

    def _emit(self, signal: Any, *values: Any) -> None:
        try:
            signal.emit(*values)
        except RuntimeError:  # the window is gone, and this object with it
            self._jobs.put(None)

    def _pass_on(self, then: Then | None, answer: Any) -> None:
        if then is not None:
            then(answer)
