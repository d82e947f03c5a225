"""Files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from edge_app.core.errors import SedgeError


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Write to a temporary name beside `path`; take its place on success, leave nothing on failure.

    Raises SedgeError where the folder cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name[:40]}.{os.getpid()}.part")
    try:
        with partial.open("wb") as handle:
            yield handle
        partial.replace(path)
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


def _unwritable(path: Path, error: OSError) -> SedgeError:
    return SedgeError(f"{path}: cannot be written ({error.strerror or error})")


def write_whole(path: str | Path, text: str) -> None:
    """Write a whole text file in UTF-8; names that the system could not decode go back as their bytes."""
    with whole_file(path) as handle:
        handle.write(text.encode("utf-8", "surrogateescape"))
