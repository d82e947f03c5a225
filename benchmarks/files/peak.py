"""Runs a command and writes what it used: `python peak.py REPORT COMMAND...`, as a process of its own.

A process counts the memory of the one that started it as its own until it has become its program, so what
starts a measured command must be small itself: this file imports nothing that is not needed.
"""

import json
import os
import sys
import time


def run(command: list[str]) -> dict[str, float]:
    """Run a command to its end: exit code, peak resident bytes, seconds on the clock and of processor time."""
    begin = time.monotonic()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    return {
        "exit_code": os.waitstatus_to_exitcode(status),
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "wall_s": time.monotonic() - begin,
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }


if __name__ == "__main__":
    figures = run(sys.argv[2:])
    with open(sys.argv[1], "w", encoding="utf-8") as file:  # noqa: PTH123 (pathlib costs memory)
        json.dump(figures, file)
