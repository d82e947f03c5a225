"""The real window in a process of its own; it tells what it shows as JSON lines, and does what it is told.

Told on standard input, a line each: `picture PATH`, `stop`, `close`.
"""

import json
import os
import sys
import threading
import time
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PyQt6 import sip
from PyQt6.QtCore import QObject, QSocketNotifier

from edge_app.commands.app import open_by_settings
from edge_app.core.bundle import load_bundle
from edge_app.core.delay import algorithmic_delay
from edge_app.stream.quiet import quiet_libraries
from edge_app.stream.snapshot import LaneItem, Snapshot
from edge_app.views.application import AppSetup, make_application, make_window
from edge_app.views.main_window import MainWindow
from edge_app.views.source_picker import SourceChoice
from edge_app.views.tables.event_table import EventTable
from tests.app.windows import banner_text, live_table


class Teller(QObject):
    """Looks at what the window shows, whenever it shows something new."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._table: EventTable = live_table(window)
        self._heard: list[tuple[int, float]] = []
        self._rows: set[int] = set()
        self._state: tuple[str, str] = ("", "")
        self._gaps = 0
        page = window.live_page
        page.snapshot_shown.connect(self._look)
        page.item_appeared.connect(self._tell_item)
        window.listening_changed.connect(self._tell_listening)
        window.failed.connect(lambda words: tell("failed", words=words))

    def _look(self, snapshot: Snapshot) -> None:
        newest = self._heard[-1][0] if self._heard else 0
        if snapshot.now_sample > newest and snapshot.now_mono_s > 0:
            self._heard.append((snapshot.now_sample, snapshot.now_mono_s))
        state = (snapshot.state, banner_text(self._window))
        if state != self._state:
            self._state = state
            tell("state", state=state[0], banner=state[1], at_s=time.monotonic())
        if len(snapshot.gaps) > self._gaps:
            self._gaps = len(snapshot.gaps)
            gap = snapshot.gaps[-1]
            texts = self._window.live_page.timeline.lanes.gap_texts()
            tell("gap", start=gap.start_sample, end=gap.end_sample, kind=gap.kind, texts=texts)
        for row in self._table.shown_events():
            if row.id not in self._rows:
                self._rows.add(row.id)
                tell("row", id=row.id, event_label=row.event_label, onset=row.onset, at_s=time.monotonic())

    def _tell_item(self, item: LaneItem) -> None:
        """By the snapshots' own clock, which knows nothing of the stamps that the program measures with."""
        samples, times = np.array(self._heard).T
        heard_s = float(np.interp(item.onset_sample, samples, times))
        now_s = time.monotonic()
        tell(
            "item",
            id=item.id,
            event_label=item.event_label,
            state=item.state,
            onset=item.onset_sample / self._window.board.sample_rate,
            delay_s=now_s - heard_s,
        )

    def _tell_listening(self, is_listening: bool) -> None:
        if is_listening:
            tell("listening")
            return
        snapshot = self._window.board.snapshot()
        summary, latency = snapshot.summary, snapshot.latency
        assert summary is not None
        (first, first_s), (last, last_s) = self._heard[0], self._heard[-1]
        tell(
            "end",
            received=summary.samples_received,
            analysed=summary.samples_analysed,
            not_analysed=summary.samples_not_analysed,
            gap=summary.samples_gap,
            counted_s=(last - first) / self._window.board.sample_rate,
            wall_s=last_s - first_s,
            threads=[one.name for one in threading.enumerate() if one.name.startswith("sedge-")],
            provisional=latency.provisional and [latency.provisional.p50_s, latency.provisional.p95_s],
            confirmed=latency.confirmed and [latency.confirmed.p50_s, latency.confirmed.p95_s],
            paints_ms=(
                np.percentile(self._window.live_page.timeline.canvas.paint_s, (50, 99)) * 1e3
            ).tolist(),
        )


def tell(fact: str, **values: Any) -> None:
    """One line of JSON."""
    print(json.dumps({"fact": fact, **values}), flush=True)


def obey(window: MainWindow) -> None:
    """Do what the lines that have come say; at the end of the input, close."""
    for line in os.read(sys.stdin.fileno(), 4096).decode().splitlines() or ["close"]:
        deed, _, rest = line.partition(" ")
        if deed == "picture":
            window.grab().save(rest, "PNG")
            tell("picture", path=rest)
        elif deed == "stop":
            window.stop()
        else:
            window.close()


def main() -> int:
    """Show the window, listen to the default microphone, and tell."""
    parser = ArgumentParser()
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--hop-frames", type=int, default=10)
    args = parser.parse_args()
    begin = time.monotonic()
    application = make_application()
    manifest = load_bundle(args.bundle).manifest
    setup = AppSetup(
        manifest=manifest,
        open_detector=partial(open_by_settings, "live", 1),
        bundle=args.bundle,
        runtime="cpu",
        hop_frames=args.hop_frames,
        source=SourceChoice(),
        theme_choice="dark",
        store=args.store,
    )
    quiet_libraries()
    window = make_window(setup)
    window.show()
    teller = Teller(window)
    orders = QSocketNotifier(sip.voidptr(sys.stdin.fileno()), QSocketNotifier.Type.Read)
    orders.activated.connect(lambda *_: obey(window))
    window.listen()
    delay = algorithmic_delay(manifest, args.hop_frames)
    worst = {one.event_label: one.confirmed.most_ms / 1000 for one in delay.labels}
    tell("shown", start_s=time.monotonic() - begin, platform=application.platformName(), worst_s=worst)
    code = application.exec()
    tell("closed", threads=[one.name for one in threading.enumerate() if one.name.startswith("sedge-")])
    del teller
    return code


if __name__ == "__main__":
    sys.exit(main())
