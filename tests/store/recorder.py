"""A process that records a session, to be killed at any moment; and ones that write where they cannot."""

import itertools
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from edge_app.store.clock import NS, to_ns
from edge_app.store.database import Store
from edge_app.store.schema import StoreError
from edge_app.store.writer import StoreWriter
from tests.store.told import RATE, STARTED, event, facts, gap

LABELS = ("Dog", "Cat")


def record(path: Path, connection: Connection) -> None:
    """Tell events without end; each number is sent once its event is closed and on the disk."""
    writer = StoreWriter(path)
    writer.begin(facts())
    for number in itertools.count(1):
        onset = number * RATE
        writer.take(event("confirmed", number, onset, onset + 320))
        writer.scores(onset // 320, LABELS, np.full((50, 2), 0.5, np.float32))
        writer.anchor(onset, number * NS, to_ns(STARTED) + number * NS)
        writer.take(event("update", number, onset, onset + 640))
        writer.take(event("closed", number, onset, onset + 960))
        if number % 3 == 0:
            writer.take(gap(onset + 960, onset + 1280))
        writer.take(event("confirmed", -number, onset, onset + 320, "Cat"))  # stays open
        if not writer.flush():
            sys.exit(f"not written: {writer.problem}")
        connection.send(number)
        writer.take(event("withdrawn", -number, onset, onset + 320, "Cat"))


def fill(path: Path) -> None:
    """Record while the disk is full for some time; prints what was said of it."""
    import resource  # not there on Windows

    writer = StoreWriter(path)
    writer.begin(facts())
    writer.take(event("confirmed", 1, 0, 320))
    assert writer.flush()
    full, free = path.with_name(f"{path.name}-wal").stat().st_size, resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, free))
    writer.take(event("closed", 1, 0, 640))
    for number in range(2, 300):
        writer.take(event("closed", number, number * RATE, number * RATE + 320))
    assert not writer.flush()
    print(writer.problem, flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, free))
    assert writer.flush()
    assert writer.problem is None
    assert writer.close() is None


def fill_to_the_end(path: Path) -> None:
    """Record on a disk that stays full; prints what closing says."""
    import resource

    writer = StoreWriter(path)
    writer.begin(facts())
    assert writer.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    writer.take(event("closed", 1, 0, 640))
    print(writer.close(), flush=True)


def write_protected(path: Path) -> None:
    """Open a database that may only be read, as somebody who is not root; prints what is said."""
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        Store(path).begin_session(facts())
    except StoreError as error:
        print(error, flush=True)


if __name__ == "__main__":
    {"fill": fill, "fill_to_the_end": fill_to_the_end, "write_protected": write_protected}[sys.argv[1]](
        Path(sys.argv[2])
    )
