"""Files that are either whole or not there."""

import os
import secrets
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
    place = _place(path)
    if _is_device(path):  # taking its place would take it from the system
        raise SedgeError(f"{path}: expected a file, found a device or a pipe")
    # Threads have one process id, and machines that share a folder may have the same: hence the token.
    partial = place.with_name(f".{place.name[:40]}.{os.getpid()}-{secrets.token_hex(4)}.part")
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


def _place(path: Path) -> Path:
    """Where a path leads: a link stays one."""
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # half of a pair, or a zero
        raise SedgeError(
            f"{str(path)!a}: expected a name that the system can hold, found: {error}"
        ) from error


def _is_device(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:  # it is not there, or opening it says what is wrong
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _unwritable(path: Path, error: OSError) -> SedgeError:
    return SedgeError(f"{path}: cannot be written ({error.strerror or error})")


def write_whole(path: str | Path, text: str) -> None:
    """Write a whole text file in UTF-8; names that the system could not decode go back as their bytes.

    Raises SedgeError where the folder cannot be written, and for characters that UTF-8 has no place for.
    """
    with whole_file(path) as handle:
        handle.write(encoded(path, text))


def encoded(path: str | Path, text: str) -> bytes:
    """Text for the file `path` in UTF-8, as `write_whole` writes it."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:  # half of a pair, as names on Windows may have
        raise SedgeError(f"{path}: expected text in Unicode, found {text[error.start]!a}") from error
