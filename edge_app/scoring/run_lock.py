"""Who works in the folder of a run: one program at a time."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from edge_app.core.errors import SedgeError
from edge_app.core.file_lock import lock_file


class RunLock:
    """The lock of a folder, a file in it that goes with `release`; after a crash it stays, and locks nothing.

    Raises SedgeError where another program has it, and where the folder cannot be written.
    """

    def __init__(self, out: Path, name: str) -> None:
        self._out, self._path = out, out / name
        handle = self._take()
        while not self._is_there(handle):  # removed by its last holder between opening and locking
            handle.close()
            handle = self._take()
        self._handle: IO[bytes] | None = handle

    def release(self) -> None:
        """Let go; any number of times."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        # On Windows an open file cannot be removed, elsewhere a removed one stays locked: hence both orders.
        if sys.platform != "win32":
            self._path.unlink(missing_ok=True)
        handle.close()
        if sys.platform == "win32":
            with suppress(OSError):  # another has it open by now
                self._path.unlink(missing_ok=True)

    def _take(self) -> IO[bytes]:
        try:
            handle = self._path.open("ab")
        except OSError as error:
            raise SedgeError(
                f"{self._out}: expected a folder that can be written, found: {error.strerror}"
            ) from error
        try:
            lock_file(handle)
        except (BlockingIOError, PermissionError) as error:
            handle.close()
            raise SedgeError(
                f"{self._out}: expected a folder that no other run works in, found one at work"
            ) from error
        except OSError as error:
            handle.close()
            raise SedgeError(
                f"{self._path}: expected a file that can be locked, found: {error.strerror}"
            ) from error
        return handle

    def _is_there(self, handle: IO[bytes]) -> bool:
        try:
            return os.path.samestat(os.fstat(handle.fileno()), self._path.stat())
        except OSError:
            return False
