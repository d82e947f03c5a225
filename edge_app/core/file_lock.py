"""A lock on an open file that the system lets go with the process, however it ends."""

import sys
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def lock_file(handle: IO[bytes]) -> None:
        """Lock it for this process. Raises OSError where another holds it."""
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def lock_file(handle: IO[bytes]) -> None:
        """Lock it for whoever opened it. Raises OSError where another holds it, in this process as well."""
        # Not lockf: that one is shared by all of a process, and others in it must see the lock.
        fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
