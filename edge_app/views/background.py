"""One piece of work beside the window, in a thread of its own."""

import threading
from collections.abc import Callable
from typing import Any

from PyQt6.QtCore import QObject, pyqtSignal

from edge_app.core.errors import SedgeError

Report = Callable[[Any], None]
Work = Callable[[Report, threading.Event], None]
"""Is given what to tell news with, and an event that asks it to end early."""


class Cancelled(Exception):  # noqa: N818
    """The work saw that it was asked to end early."""


class Background(QObject):
    """Runs one piece of work at a time; its news arrive as signals in the thread that this object lives in."""

    reported = pyqtSignal(object)
    """Whatever the work tells."""
    ended = pyqtSignal(str)
    """The work is over; what went wrong in words, or an empty text."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._is_running = False

    @property
    def is_running(self) -> bool:
        """Whether work is going on; no longer when `ended` is told."""
        return self._is_running

    def start(self, work: Work) -> bool:
        """Start the work; False where the one before it still goes on."""
        if self._is_running:
            return False
        self._is_running, self._cancelled = True, threading.Event()
        arguments = (work, self._cancelled)
        self._thread = threading.Thread(
            target=self._run, args=arguments, name="sedge-background", daemon=True
        )
        self._thread.start()
        return True

    def cancel(self) -> None:
        """Ask the work to end early; `ended` tells when it has."""
        self._cancelled.set()

    def close(self, patience_s: float = 5.0) -> None:
        """Cancel, and wait for the thread; nothing is told afterwards."""
        self.blockSignals(True)
        self.cancel()
        if self._thread is not None:
            self._thread.join(patience_s)

    def _run(self, work: Work, cancelled: threading.Event) -> None:
        failure = ""
        try:
            work(self._report, cancelled)
        except Cancelled:
            pass
        except SedgeError as error:
            failure = str(error)
        except Exception as error:  # a thread that dies silently would leave the window waiting for ever
            failure = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self._is_running = False
        self._emit(self.ended, failure)

    def _report(self, news: Any) -> None:
        self._emit(self.reported, news)

    def _emit(self, signal: Any, value: Any) -> None:
        try:
            signal.emit(value)
        except RuntimeError:  # the window is gone, and this object with it
            self._cancelled.set()
