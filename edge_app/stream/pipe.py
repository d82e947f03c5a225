"""Bytes from a pipe, so that waiting for them can be ended."""

import os
import select
import sys
import threading
from typing import BinaryIO

_LOOK_S = 0.2  # how often a wait looks whether it is to end


class PipeReader:
    """Reads what is there; `stop` ends a wait. A stream without a descriptor is read as it is."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        try:
            self._descriptor: int | None = stream.fileno()
        except OSError:  # io.UnsupportedOperation: a stream in memory
            self._descriptor = None

    def read(self, count: int, stop: threading.Event | None = None) -> bytes:
        """At most `count` bytes as soon as there are any; none at the end, or once `stop` is set."""
        if self._descriptor is None:
            return self._stream.read(count)
        if stop and not _wait(self._descriptor, stop):
            return b""
        return os.read(self._descriptor, count)


def _wait(descriptor: int, stop: threading.Event) -> bool:
    """Wait until there is something to read. False: `stop` was set."""
    if sys.platform == "win32":  # there, select knows sockets only
        return not stop.is_set()
    while not stop.is_set():
        if select.select([descriptor], [], [], _LOOK_S)[0]:
            return True
    return False
