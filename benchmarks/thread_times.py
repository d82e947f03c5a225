"""Processor time of this process by thread, as Linux counts it; elsewhere there are no figures."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

TASKS = Path("/proc/self/task")
STATM = Path("/proc/self/statm")
OTHER = "of a library"
"""Threads that Python did not start, where the system does not know their names."""

Read = Callable[[], Mapping[int, float]]
"""Seconds of processor time by thread, as the system numbers threads."""


@dataclass
class _Span:
    name: str
    begin_s: float
    used_before_s: float
    end_s: float
    used_s: float


class ThreadTimes:
    """What each thread has used between the first look and the last at which it was there. Threads look again often.

    Names are Python's own where it has one: the system cuts them short or does not know them.
    """

    def __init__(
        self,
        read: Read | None = None,
        clock: Callable[[], float] = time.monotonic,
        names: Callable[[], Mapping[int, str]] | None = None,
    ) -> None:
        self._read = read or thread_seconds
        self._clock = clock
        self._names = names or thread_names
        self._spans: dict[int, _Span] = {}

    def look(self) -> None:
        """Count now."""
        now, names = self._clock(), self._names()
        for thread, used_s in self._read().items():
            span = self._spans.setdefault(thread, _Span(OTHER, now, used_s, now, used_s))
            span.name = names.get(thread, span.name)
            span.end_s, span.used_s = now, used_s

    def shares(self) -> dict[str, float]:
        """Share of one core by name, the largest first; threads of one name together."""
        shares: dict[str, float] = {}
        for span in self._spans.values():
            if span.end_s > span.begin_s:
                share = (span.used_s - span.used_before_s) / (span.end_s - span.begin_s)
                shares[span.name] = shares.get(span.name, 0.0) + share
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def thread_seconds() -> dict[int, float]:
    """User and system time of every thread; nothing where the system does not say."""
    seconds = {}
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        try:
            text = (task / "stat").read_text()
        except OSError:  # it has ended meanwhile
            continue
        fields = text.rpartition(")")[2].split()
        seconds[int(task.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def thread_names() -> dict[int, str]:
    """Names by the system's numbers: Python's own, and the system's for threads of libraries."""
    ours = {thread.native_id: thread.name for thread in threading.enumerate() if thread.native_id is not None}
    names = {}
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            names[int(task.name)] = f"{OTHER}: {(task / 'comm').read_text().strip()}"
    return {**names, **ours}


def resident_bytes() -> int | None:
    """Memory of this process that is resident now; None where the system does not say."""
    if not STATM.exists():
        return None
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
