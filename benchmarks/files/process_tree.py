"""Memory of a process and of all that it started, looked at again and again while it runs."""

import contextlib
import subprocess
from typing import Any

from edge_app.core.errors import SedgeError

LOOK_S = 0.25


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
        psutil = self._psutil
        with contextlib.suppress(psutil.NoSuchProcess):
            try:
                memory = process.memory_full_info()
            except psutil.AccessDenied:
                memory = process.memory_info()
            return int(getattr(memory, "pss", memory.rss))
        return 0


def watch(process: subprocess.Popen[str]) -> TreeWatch:
    """Look at a process's descendants until it ends. Raises SedgeError where psutil is not installed."""
    seen = TreeWatch(process.pid)
    while True:
        seen.look()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
            return seen


def _psutil() -> Any:
    try:
        import psutil
    except ImportError as error:
        raise SedgeError(
            "bench-memory: expected psutil, which tells the memory of workers, found none: pip install psutil"
        ) from error
    return psutil
