"""Text that is put aside while a file grows, and goes into it later."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from edge_app.formats.whole_file import encoded

IN_MEMORY_BYTES = 1 << 20


def waiting_file(path: Path) -> IO[bytes]:
    """A file for what goes into `path` later: in memory while it is small, then nameless beside it."""
    return cast("IO[bytes]", tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(path.parent)))


class Spool:
    """Holds text for the file `path`. Use as a context manager. Raises OSError where the disk is full."""

    def __init__(self, path: Path) -> None:
        self._path, self._size = path, 0

    def __enter__(self) -> Self:
        self._file = waiting_file(self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was put in."""
        return self._size == 0

    def put(self, text: str) -> None:
        """Append text."""
        self._size += self._file.write(encoded(self._path, text))

    def copy_to(self, handle: IO[bytes]) -> None:
        """Append all of it to a file; nothing can be put in after that."""
        self._file.seek(0)
        shutil.copyfileobj(self._file, handle)
