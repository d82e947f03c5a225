"""A process that listens and keeps a session, to be killed at any moment."""

import threading
from multiprocessing.connection import Connection
from pathlib import Path

from edge_app.stream.board import Board
from edge_app.stream.ring import SampleRing
from edge_app.views.live.stored_run import StoredRun
from tests.stream.fakes import EVENT_LABELS, bursts, fake_detector

RATE = 16_000
SECONDS = 120
SPEED = 25.0
BLOCK = RATE // 2
SEED = 9

Closed = tuple[str, int, int]
"""Label, first sample and sample after the last of an event that is over."""


class HurriedSource:
    """Noise that comes and goes, faster than it would sound."""

    name = "noise"
    sample_rate = RATE
    live = False
    overflows = 0

    def run(self, ring: SampleRing, stop: threading.Event) -> None:
        """Write blocks in a steady pace."""
        samples = bursts(SECONDS * RATE, SEED)
        for start in range(0, len(samples), BLOCK):
            if stop.wait(BLOCK / RATE / SPEED) or not ring.write_when_free(samples[start : start + BLOCK]):
                return


class TellingBoard(Board):
    """Passes on what is over, as soon as it could be on a screen."""

    connection: Connection

    def take(self, news) -> None:
        """News of the run: before they are kept, so that what is told may not be on the disk yet."""
        super().take(news)
        if news.type == "closed":
            self.connection.send((news.event_label, news.onset_sample, news.offset_sample))


def listen(path: Path, connection: Connection) -> None:
    """Listen to the end, which does not come."""
    board = TellingBoard(EVENT_LABELS)
    board.connection = connection
    run = StoredRun(HurriedSource(), fake_detector(), board, path)
    run.start()
    run.wait()
    run.close()
