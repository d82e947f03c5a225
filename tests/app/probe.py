"""How long Qt's loop stood still because of the program, and not because the machine had other things to do."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from PyQt6.QtCore import QObject, Qt, QTimer

PERIOD_MS = 2


class StallProbe(QObject):
    """While the context is open, a timer fires whenever the loop comes round.

    Linux counts for each thread how long it was ready to run and had no processor. A stall is the time between two
    rounds without that; where the system does not count, it is all of the time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.longest_s = 0.0
        """The longest stall."""
        self.longest_with_machine_s = 0.0
        """The longest time between two rounds, whoever was to blame."""
        self.rounds = 0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(PERIOD_MS)
        self._timer.timeout.connect(self._look)

    def __enter__(self) -> Self:
        self._counts = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._last_s, self._last_waited_s = time.perf_counter(), self._waited_s()
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._look()
        self._timer.stop()

    def _look(self) -> None:
        now_s, waited_s = time.perf_counter(), self._waited_s()
        with_machine_s = now_s - self._last_s
        own_s = with_machine_s - (waited_s - self._last_waited_s)
        self.longest_s = max(self.longest_s, own_s)
        self.longest_with_machine_s = max(self.longest_with_machine_s, with_machine_s)
        self._last_s, self._last_waited_s = now_s, waited_s
        self.rounds += 1

    def _waited_s(self) -> float:
        try:
            return int(self._counts.read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            return 0.0
