"""What is removed from the folder of a run: what a process that was killed had begun to write, and empty folders."""

import os
import re
from contextlib import suppress
from pathlib import Path


def remove_stale_parts(out: Path, *names: str) -> None:
    """Remove what is left of files that were never whole: in a folder, and in those below it of these names."""
    remove_parts(out)
    for name in names:
        for folder, _, _ in os.walk(out / name):
            remove_parts(Path(folder))


def remove_empty_folders(folder: Path) -> None:
    """Remove a folder and those below it, as far as nothing is in them."""
    for place, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # something is
            Path(place).rmdir()


def remove_parts(folder: Path, pid: int | None = None) -> None:
    """Remove files of one folder that were never whole, of every process or of one on this machine."""
    name = re.compile(rf"\..+\.{r'[0-9]+' if pid is None else pid}(-[0-9a-f]+)?\.part", re.DOTALL)
    with suppress(OSError), os.scandir(folder) as entries:
        stale = [folder / entry.name for entry in entries if name.fullmatch(entry.name)]
        for path in stale:
            path.unlink()
