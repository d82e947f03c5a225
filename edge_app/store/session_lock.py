"""Who is recording a session: a lock that the system lets go with the process, however it ends."""

import re
import sys
from pathlib import Path

from edge_app.core.file_lock import lock_file

_MIDDLE, _END = "-session-", ".lock"


def locked_sessions(database: Path) -> list[int]:
    """Sessions that have a lock's file, held or left behind."""
    name = re.compile(re.escape(database.name + _MIDDLE) + r"(\d+)" + re.escape(_END))
    found = (name.fullmatch(file.name) for file in database.parent.iterdir())
    return sorted(int(one[1]) for one in found if one)


class SessionLock:
    """The lock of one session, a file beside the database. Raises OSError where another holds it."""

    def __init__(self, database: Path, session: int) -> None:
        self._path = database.with_name(f"{database.name}{_MIDDLE}{session}{_END}")
        self._handle = self._path.open("ab")
        try:
            lock_file(self._handle)  # of this handle: another store in this process must see it
        except BaseException:
            self._handle.close()
            raise

    def release(self) -> None:
        """Let go; the file is removed."""
        # On Windows an open file cannot be removed, elsewhere a removed one stays locked: hence both orders.
        if sys.platform != "win32":
            self._path.unlink(missing_ok=True)
        self._handle.close()
        if sys.platform == "win32":
            self._path.unlink(missing_ok=True)
