"""Workers on a Ray cluster: each recording is a task of Ray's, on whichever of its machines has a core for it.

All machines see recordings at the same paths. Where frame scores are wanted they see the folder of the run too, and
write into it; all else comes back to the machine that began the run. Ray's own repeating of tasks is not used: it
begins anew what has told its progress already, and it does not tell how often a recording has cost a process.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from edge_app.core.errors import SedgeError
from edge_app.scoring.cluster_machines import Machines, connected, shared_token
from edge_app.scoring.cluster_member import Order, Report, Unfit, found_at, makings_of, open_watched, serve
from edge_app.scoring.local_workers import OpenWorker
from edge_app.scoring.parts import remove_parts
from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task

MOST_TRIES = 4
"""A recording whose process was lost so many times has failed: it may be what ends them."""
LOOK_S = 0.2
"""So often it is asked whether to stop, in seconds, while no news comes."""
END_S = 5.0
"""So long, in seconds, recordings that are given up have to end by themselves."""


class RayWorkers:
    """Processes of a Ray cluster, which machines may join and leave; each opens the model and keeps it.

    `address` is that of the cluster's head, HOST:PORT, or "auto" for the cluster that this machine belongs to; it
    must belong to it. Where Ray is connected already, that connection is used, and stays. A recording whose process
    or machine is lost is tried again, elsewhere if need be.
    """

    def __init__(self, settings: ScoreSettings, address: str, open_worker: OpenWorker = open_watched) -> None:
        self._settings, self._address, self._open_worker = settings, address, open_worker

    def run(
        self, tasks: Iterable[Task], tell: Callable[[Progress], None], is_stopped: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """One outcome a task, as they are ready; see `batch.Workers`.

        Raises SedgeError where the cluster is not there or has no machine left, and where one of its machines has
        another storage, model or version.
        """
        remaining = iter(tasks)
        first = list(islice(remaining, 1))
        if not first:
            return
        makings = makings_of(self._settings)
        with connected(self._address), shared_token(first[0].scores_path) as token:
            flight = _Flight(self._settings, lambda task: self._order(task, makings, token))
            try:
                flight.start(first[0])
                while flight.is_under_way and not is_stopped():
                    for news in flight.news():
                        if isinstance(news, Outcome):
                            yield news
                        else:
                            tell(news)
                    for task in islice(remaining, flight.room()):
                        flight.start(task)
            finally:
                flight.end()

    def _order(self, task: Task, makings: Mapping[str, str], token: Path | None) -> Order:
        return Order(task, self._settings, self._open_worker, makings, token)


@dataclass
class _Try:
    """A recording that the cluster has been given."""

    task: Task
    number: int


class _Flight:
    """The recordings that the cluster has been given: twice as many as it can score at once, at most."""

    def __init__(self, settings: ScoreSettings, order: Callable[[Task], Order]) -> None:
        import ray

        self._ray, self._order = ray, order
        self._needs = settings.threads, 0 if settings.runtime == "cpu" else 1
        self._serve = ray.remote(serve).options(
            num_cpus=self._needs[0], num_gpus=self._needs[1], max_retries=0, num_returns="streaming"
        )
        self._tries: dict[Any, _Try] = {}
        self._littered: set[Path] = set()
        self._machines = Machines(*self._needs)
        self._lost_errors = _lost_errors()

    @property
    def is_under_way(self) -> bool:
        """Whether anything is still to come."""
        return bool(self._tries)

    def room(self) -> int:
        """How many more recordings to give. Raises SedgeError where no machine is left."""
        return max(0, 2 * self._machines.slots() - len(self._tries))

    def start(self, task: Task, number: int = 1) -> None:
        """Give the cluster a recording."""
        self._tries[self._serve.remote(self._order(task))] = _Try(task, number)

    def news(self) -> Iterator[Progress | Outcome]:
        """What has come, after a short wait for it. Raises SedgeError where a machine cannot take part."""
        under_way = list(self._tries)
        ready, _ = self._ray.wait(under_way, num_returns=1, timeout=LOOK_S)
        if ready:  # and what else is there by now
            ready, _ = self._ray.wait(under_way, num_returns=len(under_way), timeout=0)
        for stream in ready:
            yield from self._next_of(stream)

    def end(self) -> None:
        """Give up what is under way, and remove what was left half written."""
        streams, tries = list(self._tries), list(self._tries.values())
        self._tries.clear()
        for stream in streams:
            with suppress(Exception):  # a machine that is gone
                self._ray.cancel(stream)
        ends = [stream.completed() for stream in streams]
        if ends:
            with suppress(Exception):
                self._ray.wait(ends, num_returns=len(ends), timeout=END_S)
        for one in tries:
            self._note_litter(one.task)
        for folder in self._littered:
            remove_parts(folder)

    def _next_of(self, stream: Any) -> Iterator[Progress | Outcome]:
        """The next of one recording's news; none where it has to be tried again."""
        try:
            news = self._ray.get(next(stream))
        except self._lost_errors as error:
            yield from self._again(self._tries.pop(stream), error)
            return
        except self._ray.exceptions.RayError as error:
            raise _refusal(error) from error
        if isinstance(news, Unfit):
            raise type(news.error)(f"{news.host}: {news.error}")
        if isinstance(news, Report):
            yield outcome_of(news, self._tries.pop(stream).task)
        else:
            yield news

    def _again(self, one: _Try, error: BaseException) -> Iterator[Outcome]:
        """Try a recording again whose process was lost, or give the outcome that it has failed."""
        self._note_litter(one.task)
        if one.number < MOST_TRIES:
            self.start(one.task, one.number + 1)
            return
        yield Outcome(
            one.task.position,
            error=f"{one.task.path}: expected to be scored, found that its process was lost "
            f"{one.number} times ({type(error).__name__}), as where a decoder crashes or hangs or memory runs out",
        )

    def _note_litter(self, task: Task) -> None:
        if task.scores_path is not None:
            self._littered.add(task.scores_path.parent)


def _lost_errors() -> tuple[type[Exception], ...]:
    """What Ray raises where a process or a machine is lost, and what it had made with it."""
    from ray import exceptions as errors

    return (
        StopIteration,
        errors.WorkerCrashedError,
        errors.NodeDiedError,
        errors.LocalRayletDiedError,
        errors.OutOfMemoryError,
        errors.ObjectLostError,
        errors.RpcError,
    )


def _refusal(error: BaseException) -> SedgeError:
    """What Ray or a task raised that no second try mends."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return SedgeError(f"--ray: expected machines with this version of sedge, found: {lines[-1][:300]}")


def outcome_of(report: Report, task: Task) -> Outcome:
    """The outcome of a report. Raises SedgeError where its machine saw another recording than this one does."""
    listed = task.size, task.modified_ns
    if report.outcome.error and report.found != listed and found_at(task.path) == listed:
        found = "no such file" if report.found is None else "another file"
        raise SedgeError(
            f"{report.host}: {task.path}: expected recordings at the same paths on all machines, found {found}"
        )
    return report.outcome
