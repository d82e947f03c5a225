"""The real window playing a recording, watched: what it paints, where it stands still, what its threads use."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PyQt6.QtCore import QEventLoop, QObject, Qt, QTimer

from benchmarks.thread_times import ThreadTimes, resident_bytes
from edge_app.core.errors import SedgeError
from edge_app.stream.messages import Summary
from edge_app.stream.snapshot import Snapshot
from edge_app.stream.stamps import Delay
from edge_app.views.application import AppSetup, make_application, make_window
from edge_app.views.main_window import MainWindow

PROBE_MS = 2
"""How often the event loop should come round to the probe."""
LOOK_MS = 1000


@dataclass
class Observed:
    """What was seen after the warm-up."""

    paints_s: list[float] = field(default_factory=list)
    loops_s: list[float] = field(default_factory=list)
    """From one turn of the event loop to the next."""
    shares: dict[str, float] = field(default_factory=dict)
    """Of one core, by thread."""
    whole_share: float = 0.0
    """Of one core, by the whole process."""
    delays: tuple[Delay, ...] = ()
    summary: Summary | None = None
    not_analysed_s: float = 0.0
    memory_before: int | None = None
    memory_after: int | None = None
    platform: str = ""


class Watch(QObject):
    """Watches a window from the moment when it has listened for `warm_up_s` seconds."""

    def __init__(self, window: MainWindow, warm_up_s: float) -> None:
        super().__init__(window)
        self.observed = Observed()
        self._window = window
        self._warm_up = warm_up_s * window.board.sample_rate
        self._threads = ThreadTimes()
        self._is_warm = False
        self._begin_s = self._begin_cpu_s = self._loop_s = 0.0
        self._probe = self._timer(PROBE_MS, self._turn)
        self._looks = self._timer(LOOK_MS, self._threads.look)
        window.live_page.snapshot_shown.connect(self._see)
        window.live_page.timeline.canvas.painted.connect(self._painted)

    def _timer(self, interval_ms: int, act: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.setInterval(interval_ms)
        timer.timeout.connect(act)
        return timer

    def _see(self, snapshot: Snapshot) -> None:
        if not self._is_warm and snapshot.now_sample >= self._warm_up:
            self._begin()
        self.observed.summary, self.observed.not_analysed_s = snapshot.summary, snapshot.not_analysed_s

    def _begin(self) -> None:
        self._is_warm = True
        self.observed.memory_before = resident_bytes()
        self._begin_s, self._begin_cpu_s = time.monotonic(), time.process_time()
        self._loop_s = time.perf_counter()
        self._threads.look()
        self._probe.start()
        self._looks.start()

    def _turn(self) -> None:
        now = time.perf_counter()
        self.observed.loops_s.append(now - self._loop_s)
        self._loop_s = now

    def _painted(self) -> None:
        if self._is_warm:
            self.observed.paints_s.append(self._window.live_page.timeline.canvas.paint_s[-1])

    def finish(self) -> Observed:
        """The run is over: the figures."""
        self._probe.stop()
        self._looks.stop()
        observed = self.observed
        if self._is_warm:
            observed.whole_share = (time.process_time() - self._begin_cpu_s) / (
                time.monotonic() - self._begin_s
            )
        observed.shares = self._threads.shares()
        observed.delays = self._window.board.stamps.delays
        observed.memory_after = resident_bytes()
        return observed


def watch_app(setup: AppSetup, warm_up_s: float, picture: Path | None = None) -> Observed:
    """Show the window of a setup, listen to its source to the end, and close it. Raises SedgeError if it cannot."""
    application = make_application()
    window, loop, problems = make_window(setup), QEventLoop(), []
    watch = Watch(window, warm_up_s)

    def end(is_listening: bool) -> None:
        if not is_listening:
            loop.quit()

    def fail(words: str) -> None:
        problems.append(words)
        loop.quit()

    window.listening_changed.connect(end)
    window.failed.connect(fail)
    window.show()
    window.listen()
    loop.exec()
    observed = watch.finish()
    observed.platform = application.platformName()
    if picture is not None:
        window.grab().save(str(picture), "PNG")
    window.close()
    if problems:
        raise SedgeError(problems[0])
    return observed
