"""What a machine of a cluster does: scores a recording with a model that its process keeps open.

Whatever could make its results other than those of the machine that began the run is looked for first: a storage that
it does not share, another model, other versions of what computes.
"""

import hashlib
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import edge_app
from edge_app.core.bundle import DEFAULT_BUNDLE, MANIFEST_FILE
from edge_app.core.errors import BundleError, SedgeError
from edge_app.scoring.crew import Scorer
from edge_app.scoring.local_workers import OpenWorker
from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task
from edge_app.scoring.worker import Worker

TELL_S = 1.0
"""Progress goes over the network at most so often, in seconds."""
LOOK_S = 0.2
"""So often, in seconds, a process sees whether its task was given up, while nothing else happens."""
DISTRIBUTIONS = ("numpy", "onnxruntime", "soundfile", "soxr", "av")
"""Results depend on their versions."""

Found = tuple[int, int] | None
"""Size in bytes and time of the last change of a recording, as a machine sees it; None where it sees none."""

open_watched: OpenWorker = partial(Worker, ends_when_stalled=True)
"""A worker in a process that is its own, as those of Ray are."""


@dataclass(frozen=True, slots=True)
class Order:
    """A recording to be scored, and what with."""

    task: Task
    settings: ScoreSettings
    open_worker: OpenWorker
    makings: Mapping[str, str]
    """What results depend on, where the run was begun."""
    token: Path | None
    """A file that is there on the storage of the results; None where machines write none."""


@dataclass(frozen=True, slots=True)
class Report:
    """The end of an order."""

    host: str
    outcome: Outcome
    found: Found


@dataclass(frozen=True, slots=True)
class Unfit:
    """A machine that cannot take part, and why."""

    host: str
    error: SedgeError


def found_at(path: Path) -> Found:
    """A recording as this machine sees it."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def makings_of(settings: ScoreSettings) -> dict[str, str]:
    """What results depend on besides recordings and settings: the model and the versions of what computes, by name.

    Raises BundleError where there is no model.
    """
    manifest = (settings.bundle or DEFAULT_BUNDLE) / MANIFEST_FILE
    try:
        model = hashlib.sha256(manifest.read_bytes()).hexdigest()  # it holds the hash of the graph
    except OSError as error:
        raise BundleError(f"{manifest}: expected a model, found: {error.strerror}") from error
    return {
        "sedge": edge_app.__version__,
        "model": model[:12],
        **{name: _version(name) for name in DISTRIBUTIONS},
    }


def serve(order: Order) -> Iterator[Progress | Report | Unfit]:
    """Score a recording: news of it now and then, and at the end a report, or why this machine cannot take part."""
    host = socket.gethostname()
    try:
        _check(order)
        worker = _member.opened(order)
    except SedgeError as error:
        yield Unfit(host, error)
        return
    for news in _score(worker, order.task):
        if isinstance(news, Outcome):
            yield Report(host, news, found_at(order.task.path))
        else:
            yield news


def _check(order: Order) -> None:
    """Raise SedgeError where results of this machine would be others, or go astray."""
    here = makings_of(order.settings)
    for name, version in order.makings.items():
        if here.get(name) != version:
            found = here.get(name)
            raise SedgeError(f"expected {name} {version}, as where the run was begun, found {found}")
    if order.token is not None and not order.token.is_file():
        raise SedgeError(
            f"{order.token.parent}: expected the folder of the run, on a storage that all machines share, "
            f"found another or none"
        )


class _Member:
    """What a process keeps from one recording to the next."""

    def __init__(self) -> None:
        self.given_up = threading.Event()
        self._opened: tuple[ScoreSettings, Scorer] | None = None

    def opened(self, order: Order) -> Scorer:
        """The worker of this process, opened at the first order. Raises SedgeError where it cannot be."""
        self.given_up.clear()
        if self._opened is None or self._opened[0] != order.settings:
            worker = order.open_worker(order.settings, is_stopped=self.given_up.is_set)
            self._opened = order.settings, worker
        return self._opened[1]


_member = _Member()


def _score(worker: Scorer, task: Task) -> Iterator[Progress | Outcome]:
    """Score in a thread of its own, so that this one can be told to give it up. Raises what nobody foresaw."""
    news: queue.SimpleQueue[Progress | Outcome | BaseException] = queue.SimpleQueue()

    def work() -> None:
        try:
            news.put(worker.score(task, news.put))
        except BaseException as error:  # raised again below
            news.put(error)

    thread = threading.Thread(target=work, name="scoring", daemon=True)
    thread.start()
    try:
        yield from _passed_on(news)
    finally:
        _member.given_up.set()  # it ends at its next window, and leaves nothing half written
        thread.join()


def _passed_on(news: "queue.SimpleQueue[Progress | Outcome | BaseException]") -> Iterator[Progress | Outcome]:
    """News until the outcome, progress only now and then."""
    told = time.monotonic()
    while True:
        try:
            # In short waits: what gives a task up is seen between them only.
            one = news.get(timeout=LOOK_S)
        except queue.Empty:
            continue
        if isinstance(one, BaseException):
            raise one
        if isinstance(one, Outcome):
            yield one
            return
        if time.monotonic() - told >= TELL_S:
            told = time.monotonic()
            yield one


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
