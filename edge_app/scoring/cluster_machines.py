"""The connection to a Ray cluster, what its machines have room for, and whether they share the storage of results."""

import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_app.core.errors import SedgeError

ANSWER_S = 5.0
"""So long the cluster's address is waited for."""
COUNT_S = 5.0
"""So often the machines are counted, in seconds."""
ALONE_S = 60.0
"""So long, in seconds, a run waits for machines after the last one is gone."""


class Machines:
    """How many recordings the machines of the cluster can score at once."""

    def __init__(self, n_cpus: int, n_gpus: int) -> None:
        self._n_cpus, self._n_gpus = n_cpus, n_gpus
        self._counted = self._alive = time.monotonic()
        self._slots, most = self._count()
        if not self._slots:
            wanted = f"{n_cpus} processor cores{' and a GPU' if n_gpus else ''}"
            raise SedgeError(f"--ray: expected a machine with {wanted}, found at most {most:g} cores")

    def slots(self) -> int:
        """The number now, counted now and then. Raises SedgeError where there has been none for long."""
        now = time.monotonic()
        if now - self._counted >= COUNT_S:
            self._counted = now
            self._slots, _ = self._count()
        if self._slots:
            self._alive = now
        elif now - self._alive > ALONE_S:
            raise SedgeError(f"--ray: expected machines in the cluster, found none for {ALONE_S:g} s")
        return self._slots

    def _count(self) -> tuple[int, float]:
        """The number, and the cores of the largest machine."""
        machines = [node["Resources"] for node in _nodes() if node["Alive"]]
        cores = [machine.get("CPU", 0.0) for machine in machines]
        slots = [int(n_cores) // self._n_cpus for n_cores in cores]
        if self._n_gpus:
            gpus = [int(machine.get("GPU", 0.0)) // self._n_gpus for machine in machines]
            slots = [min(pair) for pair in zip(slots, gpus, strict=True)]
        return sum(slots), max(cores, default=0.0)


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the cluster, ended at the end if it was made here. Raises SedgeError where there is none."""
    try:
        import ray
    except ImportError as error:
        raise SedgeError("--ray: expected the library Ray, found none: pip install ray") from error
    if ray.is_initialized():
        yield
        return
    _check_answers(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
    try:
        _silence()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (Exception, SystemExit) as error:  # Ray ends the program where no head answers, after minutes
        words = " ".join(str(error).split())[:300] if isinstance(error, Exception) else "no answer"
        raise SedgeError(
            f"--ray {address}: expected a cluster that this machine belongs to, found: {words}"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _silence() -> None:
    """Keep Ray from printing the logs of a machine that is lost, which it does whatever `log_to_driver` says."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        setattr(worker, "print_to_stdstream", lambda *_, **__: None)  # noqa: B010 (it is not theirs to offer)


def _check_answers(address: str) -> None:
    """Raise SedgeError for no address and where nobody answers at it: Ray would wait for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise SedgeError(f"--ray: expected auto or HOST:PORT, found {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, UnicodeError) as error:
        raise SedgeError(f"--ray {address}: expected the head of a cluster, found: {error}") from error


@contextmanager
def shared_token(scores_path: Path | None) -> Iterator[Path | None]:
    """A file by which machines see that they share the storage of the results; None where none are written there.

    A run that is killed leaves it, and the next one takes it for what a killed run had begun to write.
    """
    if scores_path is None:
        yield None
        return
    folder = next(folder for folder in scores_path.parents if folder.is_dir())
    token = folder / f".cluster.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        token.touch()
    except OSError as error:
        raise SedgeError(
            f"{folder}: expected a folder that can be written, found: {error.strerror}"
        ) from error
    try:
        yield token
    finally:
        with suppress(OSError):
            token.unlink()


def _nodes() -> list[dict[str, Any]]:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes
