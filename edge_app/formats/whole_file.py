"""Files that are either whole or not there."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from edge_app.core.errors import SedgeError


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Write to a temporary name beside `path`; take its place on success, leave nothing on failure.

    Raises SedgeError where the folder cannot be written, and where `path` is a device or a pipe.
    """
    path = Path(path)
    place = Path(os.path.realpath(path))  # a link stays one
    if _is_device(path):  # taking its place would take it from the system
        raise SedgeError(f"{path}: expected a file, found a device or a pipe")
    partial = place.with_name(f".{place.name[:40]}.{os.getpid()}.part")
    try:
        with partial.open("wb") as handle:
            yield handle
        partial.replace(place)
    except OSError as error:
        if str(error.filename) not in (
            "None",
            str(partial),
        ):  # a failed write names no file: this one is another's
            raise
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):  # a folder that is gone or read-only: what went wrong is told already
            partial.unlink()


def _is_device(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:  # it is not there, or opening it says what is wrong
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _unwritable(path: Path, error: OSError) -> SedgeError:
    return SedgeError(f"{path}: cannot be written ({error.strerror or error})")


def write_whole(path: str | Path, text: str) -> None:
    """Write a whole text file in UTF-8; names that the system could not decode go back as their bytes."""
    with whole_file(path) as handle:
        handle.write(text.encode("utf-8", "surrogateescape"))
