"""Keeps what sound libraries write to the error stream, past Python, from the user's terminal and logs."""

import os
import sys

_STDERR = 2


def quiet_libraries() -> None:
    """From now on, only Python writes to the error stream of this process.

    PortAudio tells of every failed call there. One thread of it whose device has vanished fails as fast as it can, to
    the end of the process where the sound server no longer answers: gigabytes a minute.
    """
    if not _is_own_stderr():
        return
    former, kept = sys.stderr, os.dup(_STDERR)
    former.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)
    sys.stderr = os.fdopen(kept, "w", buffering=1, encoding=former.encoding, errors=former.errors)


def _is_own_stderr() -> bool:
    """Whether Python's error stream is the process's: a service may have none, and a program may catch it."""
    try:
        os.fstat(_STDERR)
        return sys.stderr.fileno() == _STDERR
    except (AttributeError, OSError, ValueError):
        return False
