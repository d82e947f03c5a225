"""Keeps what sound libraries write to the error stream, past Python, from the user's terminal and logs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within, only Python writes to the error stream.

    PortAudio and ALSA tell of every failed call there, and one whose device has vanished fails as often as it is made.
    """
    if not _is_own_stderr():
        yield
        return
    former, kept = sys.stderr, os.dup(_STDERR)
    former.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)
    sys.stderr = os.fdopen(
        kept, "w", buffering=1, encoding=former.encoding, errors=former.errors, closefd=False
    )
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, _STDERR)
        sys.stderr = former
        os.close(kept)


def _is_own_stderr() -> bool:
    """Whether Python's error stream is the process's: a service may have none, and a program may catch it."""
    try:
        os.fstat(_STDERR)
        return sys.stderr.fileno() == _STDERR
    except (AttributeError, OSError, ValueError):
        return False
