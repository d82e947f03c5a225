"""Files opened for decoders: what is no file is refused, and what the system refuses later is remembered.

Decoders are given an open file and never its name, which could pass for an option, an address or a list.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_app.core.errors import AudioError


class FileHandle(io.BufferedReader):
    """Remembers what the system refused: to a decoder a failed read is the end of the file."""

    failure: OSError | None = None

    @property
    def name(self) -> str:
        """Not the file's: a decoder would take one that ends in `.raw` for samples without a header."""
        return "recording"

    def readinto(self, buffer: Any, /) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            return 0

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return super().read(size)
        except OSError as error:
            self.failure = error
            return b""

    def seek(self, target: int, whence: int = 0, /) -> int:
        """Go to a place; -1 and no move where a damaged file points to none, which decoders take for a failure."""
        try:
            return super().seek(target, whence)
        except (OSError, ValueError, OverflowError):
            return -1


@contextmanager
def open_handle(path: Path) -> Iterator[FileHandle]:
    """A recording's file, open at its beginning. Raises AudioError where it is no readable file, or empty."""
    try:
        if path.is_dir():
            raise AudioError(f"{path}: expected a recording, found a folder")
        if path.exists() and not path.is_file():
            raise AudioError(f"{path}: expected a recording, found neither a file nor a folder")
        handle = FileHandle(path.open("rb", buffering=0))
    except FileNotFoundError as error:
        raise AudioError(f"{path}: expected a recording, found no such file") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: expected a readable file, found: {reason_of(error)}") from error
    with handle:
        if not handle.read(1):
            found = f": {reason_of(handle.failure)}" if handle.failure else " an empty file"
            raise AudioError(f"{path}: expected a recording, found{found}")
        handle.seek(0)
        yield handle


def reason_of(error: Exception) -> str:
    """What the system or a decoder says, on one line, without the path."""
    if strerror := getattr(error, "strerror", None):  # of the system, and of FFmpeg
        return (
            "damage" if strerror.startswith("Error number") else str(strerror)
        )  # FFmpeg has no word for some
    said = getattr(error, "error_string", None) or str(error)
    if said.startswith("File does not exist"):  # the MP3 decoder's word for a file without a single frame
        return "no MP3 frame"
    return " ".join(said.removeprefix("Error : ").split()).rstrip(".")
