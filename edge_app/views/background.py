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
    """The work is over and its thread is gone; what went wrong in words, or an empty text."""
    _over = pyqtSignal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._over.connect(self._end)  # emitted in the other thread, received in this object's own

    @property
    def is_running(self) -> bool:
        """Whether work is going on; no longer when `ended` is told."""
        return self._thread is not None

    def start(self, work: Work) -> bool:
        """Start the work; False where the one before it still goes on."""
        if self._thread is not None:
            return False
        self._cancelled = threading.Event()
        arguments = (work, self._cancelled)
        self._thread = threading.Thread(
            target=self._run, args=arguments, name="sedge-background", daemon=True
        )
        self._thread.start()
        return True

    def cancel(self) -> None:
        """Ask the work to end early; `ended` tells when it has."""
        self._cancelled.set()

    def close(self, patience_s: float | None = 5.0) -> bool:
        """Cancel, and wait for the thread, without end where `patience_s` is None; nothing is told afterwards.

        Whether the thread is gone.
        """
        self.blockSignals(True)
        self.cancel()
        if self._thread is None:
            return True
        self._thread.join(patience_s)
        return not self._thread.is_alive()

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
        self._emit(self._over, failure)

    def _end(self, failure: str) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.ended.emit(failure)

    def _report(self, news: Any) -> None:
        self._emit(self.reported, news)

    def _emit(self, signal: Any, value: Any) -> None:
        try:
            signal.emit(value)
        except RuntimeError:  # the window is gone, and this object with it
            self._cancelled.set()
