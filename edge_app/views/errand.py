"""Work that takes longer than a window may stand still, done in a thread of its own."""

import contextlib
import threading
from collections.abc import Callable

from PyQt6.QtCore import QObject, pyqtSignal

from edge_app.core.errors import SedgeError


class Errand(QObject):
    """Runs one piece of work; tells of its end in the thread that made the errand, unless it has been forgotten."""

    done = pyqtSignal(object)
    """What the work has given."""
    failed = pyqtSignal(str)
    """What went wrong, in one sentence."""
    _ended = pyqtSignal(object, object)

    def __init__(self, work: Callable[[], object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self._is_forgotten = False
        self._thread = threading.Thread(target=self._run, name="sedge-errand", daemon=True)
        self._ended.connect(self._tell)  # emitted in the other thread, told in this object's own

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def forget(self) -> None:
        """Nobody wants to hear of the end any more."""
        self._is_forgotten = True

    def join(self) -> None:
        """Wait for the end of the work."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            outcome, words = self._work(), None
        except SedgeError as error:
            outcome, words = None, str(error)
        except Exception as error:
            outcome, words = None, f"{type(error).__name__}: {' '.join(str(error).split())}"
        with contextlib.suppress(RuntimeError):  # the window is gone, and this object with it
            self._ended.emit(outcome, words)

    def _tell(self, outcome: object, words: str | None) -> None:
        self._thread.join()
        if self._is_forgotten:
            return
        if words is None:
            self.done.emit(outcome)
        else:
            self.failed.emit(words)
