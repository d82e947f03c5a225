"""A program that is run for an event: without a shell, the event on its standard input and in its environment."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_app.actions.receiver import DeliveryError
from edge_app.actions.rules import Occasion
from edge_app.core.errors import SedgeError

TIMEOUT_S = 30.0
"""Seconds after which a command is ended: the next event waits for it."""
ENVIRONMENT_PREFIX = "SEDGE_"


class Command:
    """Runs `line`, split into words as a POSIX shell would (on Windows by its own rules), once an occasion.

    The child has one line of JSON on its standard input and each of its fields as SEDGE_<NAME>. What it prints is
    thrown away, so that it cannot get into this program's output; its error stream is this program's.
    Raises SedgeError where the line has no program that can be found.
    """

    def __init__(self, line: str, timeout_s: float = TIMEOUT_S) -> None:
        self._arguments = _split(line)
        self._line: str | list[str] = line if sys.platform == "win32" else self._arguments
        self._timeout_s = timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._abandoned = False
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The program's name: arguments may be secret."""
        return f"command {Path(self._arguments[0]).name}"

    def deliver(self, occasion: Occasion) -> None:
        """Run it to its end. Raises DeliveryError: temporary only where it never began, as nothing was done yet."""
        with self._lock:
            if self._abandoned:
                raise DeliveryError("given up", temporary=False)
            child = self._child = self._begin(occasion)
        with child:
            self._finish(child, f"{occasion.as_json()}\n".encode("ascii"))
        if child.returncode:
            raise DeliveryError(f"expected exit code 0, found {child.returncode}", temporary=False)

    def abandon(self) -> None:
        """End the child that runs; later ones do not begin."""
        with self._lock:
            self._abandoned = True
            if self._child is not None:
                _end(self._child)

    def _begin(self, occasion: Occasion) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._line,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=_error_stream(),
                env=os.environ | environment(occasion.fields),
                # Ctrl-C in a terminal is for this program; and what the child starts ends with it.
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"cannot be started ({error.strerror or error})", temporary=True) from error

    def _finish(self, child: subprocess.Popen[bytes], content: bytes) -> None:
        try:
            child.communicate(content, self._timeout_s)
        except subprocess.TimeoutExpired:
            _end(child)
            raise DeliveryError(
                f"expected its end within {self._timeout_s:g} s, found it running and ended it",
                temporary=False,
            ) from None
        finally:
            with self._lock:
                self._child = None


def environment(fields: Mapping[str, Any]) -> dict[str, str]:
    """Variables of the fields that are not None; what no environment can hold is left out or becomes `?`."""
    encoding = sys.getfilesystemencoding()
    return {
        ENVIRONMENT_PREFIX + name.upper(): str(value)
        .replace("\0", "")
        .encode(encoding, "replace")
        .decode(encoding)
        for name, value in fields.items()
        if value is not None
    }


def _split(line: str) -> list[str]:
    try:
        arguments = shlex.split(line, posix=sys.platform != "win32")
    except ValueError as error:
        raise SedgeError(
            f"command: expected its quotes in pairs, found one without its second ({error})"
        ) from error
    if not arguments:
        raise SedgeError("command: expected a program and its arguments, found nothing")
    arguments[0] = arguments[0].strip('"')
    if shutil.which(arguments[0]) is None:
        raise SedgeError(f"command: expected a program that can be run, found none called {arguments[0]}")
    return arguments


def _error_stream() -> int:
    """Python's error stream, which may lie elsewhere than the process's; none where it is no file."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return subprocess.DEVNULL


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and what it started, unless it has ended by itself: its number may be another's by now."""
    if child.poll() is not None:
        return
    if sys.platform == "win32":
        child.kill()
    else:
        os.killpg(child.pid, signal.SIGKILL)
