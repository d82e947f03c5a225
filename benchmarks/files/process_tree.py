"""Memory of a process and of all that it started, looked at again and again while it runs."""

import contextlib
import subprocess
import time
from pathlib import Path
from typing import Any

from edge_app.core.errors import SedgeError

FIRST_LOOKS_S, LOOK_S = 0.25, 2.0
"""Seconds between two looks: few at the start, then a hundredth of the time that has passed, up to the second."""
PROCESSES = Path("/proc")


class TreeWatch:
    """The most memory that the descendants of a process held together at any look; pages that they share count once."""

    def __init__(self, pid: int) -> None:
        self._psutil = _psutil()
        self._pid = pid
        self.peak_bytes = 0
        self.peak_processes = 0
        """The most descendants at any look."""

    def look(self) -> None:
        """Look now."""
        psutil = self._psutil
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            held = [self._held(process) for process in psutil.Process(self._pid).children(recursive=True)]
            self.peak_bytes = max(self.peak_bytes, sum(held))
            self.peak_processes = max(self.peak_processes, len(held))

    def _held(self, process: Any) -> int:
        with contextlib.suppress(self._psutil.NoSuchProcess):
            held = proportional_bytes(process.pid)
            return int(process.memory_info().rss) if held is None else held
        return 0


def proportional_bytes(pid: int) -> int | None:
    """Memory of a process, of pages that several share its part; None where the system does not tell.

    Linux sums it up itself here: going through all of a process's mappings would disturb what is measured.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = (PROCESSES / str(pid) / "smaps_rollup").read_text(encoding="ascii")
        return 1024 * int(text.split("\nPss:")[1].split()[0])
    return None


def watch(process: subprocess.Popen[str]) -> TreeWatch:
    """Look at a process's descendants until it ends. Raises SedgeError where psutil is not installed."""
    seen, begin_s = TreeWatch(process.pid), time.monotonic()
    while True:
        seen.look()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(min(max(FIRST_LOOKS_S, (time.monotonic() - begin_s) / 100), LOOK_S))
            return seen


def _psutil() -> Any:
    try:
        import psutil
    except ImportError as error:
        raise SedgeError(
            "bench-memory: expected psutil, which tells the memory of workers, found none: pip install psutil"
        ) from error
    return psutil
