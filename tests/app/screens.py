"""A screen in memory: an X server of the test's own, on a display that nobody else has."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = "xvfb libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxkbcommon-x11-0"


def missing_screen_parts() -> list[str]:
    """What a window on a screen needs and this machine lacks."""
    return [program for program in ("Xvfb",) if shutil.which(program) is None]


@contextmanager
def screen(size: str = "1600x1000x24") -> Iterator[dict[str, str]]:
    """The environment of programs that are to be shown on it; the server ends with the context."""
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", size, "-nolisten", "tcp", "-noreset"],
        pass_fds=[write_end],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as answer:
            number = answer.readline().strip()  # comes once the server can be used
        if not number:
            raise RuntimeError("Xvfb does not start")
        yield {"DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb", "XAUTHORITY": str(Path(os.devnull))}
    finally:
        server.terminate()
        server.wait()
