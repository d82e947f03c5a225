"""Hours of a real recording through the real window, many times faster than they would sound; memory is told.

It prints JSON lines: one a minute of sound, and one at the end about what is left after the stop.
"""

import gc
import json
import os
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import numpy as np
from PyQt6.QtCore import QTimer

from edge_app.commands.app import open_by_settings
from edge_app.commands.demo import RECORDING
from edge_app.core.audio import Recording
from edge_app.core.bundle import load_bundle
from edge_app.stream.ring import SampleRing
from edge_app.stream.snapshot import Snapshot
from edge_app.views import application
from edge_app.views.main_window import MainWindow
from edge_app.views.source_picker import SourceChoice

BLOCK_S = 0.2  # of sound, at a time
TELL_S = 60.0
SETTLE_MS = 500


class FastSource:
    """A recording again and again, so many times as fast as it would sound, or as fast as the machine keeps up."""

    name = "the bundled recording"
    live = False
    overflows = 0

    def __init__(self, seconds: float, speed: float) -> None:
        recording = Recording(RECORDING)
        self.sample_rate = recording.sample_rate
        self._samples = np.concatenate(list(recording.blocks(10.0)))
        self._end = round(seconds * self.sample_rate)
        self._speed = speed

    def run(self, ring: SampleRing, stop: threading.Event) -> None:
        """Write blocks, each when its time has come."""
        begin_s, done, length = time.monotonic(), 0, round(BLOCK_S * self.sample_rate)
        while done < self._end:
            due_s = begin_s + (done + length) / self.sample_rate / self._speed
            if stop.wait(max(0.0, due_s - time.monotonic())):
                return
            places = np.arange(done, min(done + length, self._end)) % len(self._samples)
            if not ring.write_when_free(self._samples[places]):
                return
            done += len(places)


class Scale:
    """Weighs the program as it goes on."""

    def __init__(self, window: MainWindow) -> None:
        self._next_s = TELL_S
        self._rate = window.board.sample_rate
        self._window = window
        self._begin_s = time.monotonic()
        window.live_page.snapshot_shown.connect(self._look)

    def _look(self, snapshot: Snapshot) -> None:
        sound_s = snapshot.now_sample / self._rate
        if sound_s >= self._next_s:
            self._next_s = sound_s + TELL_S
            tell(
                sound_s=sound_s,
                wall_s=time.monotonic() - self._begin_s,
                rss_mb=rss_mb(),
                rows=self._window.live.events.table.model.rowCount(),
            )


def rss_mb() -> float:
    """Memory of this process that is in the machine's, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def own_threads() -> list[str]:
    """Names of the program's threads."""
    return sorted(one.name for one in threading.enumerate() if one is not threading.main_thread())


def handles() -> int:
    """Open files of this process."""
    return len([*Path("/proc/self/fd").iterdir()])


def tell(**values: Any) -> None:
    """One line of JSON."""
    print(json.dumps(values), flush=True)


def main() -> int:
    """Listen, weigh, stop, and tell what is left."""
    parser = ArgumentParser()
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--speed", type=float, required=True)
    parser.add_argument("--store", type=Path, required=True)
    args = parser.parse_args()
    app = application.make_application()
    seconds = iter((TELL_S, args.seconds))  # the first run loads what every later one has
    application.open_source = lambda choice, notify: FastSource(next(seconds), args.speed)
    window = application.make_window(
        application.AppSetup(
            manifest=load_bundle(None).manifest,
            open_detector=partial(open_by_settings, "live", 1),
            open_batch_detector=partial(open_by_settings, "clip", 1),
            runtime="cpu",
            hop_frames=25,
            source=SourceChoice(recording=RECORDING),
            list_sources=list,
            store=args.store,
        )
    )
    window.show()
    listen_twice(window, lambda: follow(window))
    code = app.exec()
    tell(closed=True, threads=own_threads())
    return code


def listen_twice(window: MainWindow, between: Callable[[], object]) -> None:
    """A first run through to its end, then the one that is weighed, then the end of the program."""
    done: list[int] = []

    def next_run(is_listening: bool) -> None:
        if is_listening:
            return
        done.append(1)
        QTimer.singleShot(SETTLE_MS, begin if len(done) == 1 else end)

    def begin() -> None:
        gc.collect()
        tell(ready=True, threads=own_threads(), handles=handles(), rss_mb=rss_mb())
        between()
        window.listen()

    def end() -> None:
        gc.collect()
        summary = window.board.snapshot().summary
        assert summary is not None
        tell(
            stopped=True,
            threads=own_threads(),
            handles=handles(),
            rss_mb=rss_mb(),
            received=summary.samples_received,
            analysed=summary.samples_analysed,
            not_analysed=summary.samples_not_analysed,
            gap=summary.samples_gap,
            real_time_factor=summary.real_time_factor,
        )
        window.close()

    window.listening_changed.connect(next_run)
    window.listen()


def follow(window: MainWindow) -> None:
    """Weigh from now on."""
    window.setProperty("scale", Scale(window))


if __name__ == "__main__":
    sys.exit(main())
