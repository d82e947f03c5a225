"""Recordings through workers, from the first process's start to the last result, with and without the journal."""

import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_app import __version__
from edge_app.core.bundle import load_bundle
from edge_app.core.errors import SedgeError
from edge_app.scoring.batch import Workers, run_batch
from edge_app.scoring.journal import Identity, Journal
from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task

Clock = Callable[[], float]
Consume = Callable[[Workers], None]
"""Has workers do all of the work, as a journal does or without one."""


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """All recordings once."""

    wall_s: float
    """From before the first process was started to after the last one had ended."""
    steady_s: float
    """From where the first recording was begun to the last result: without starting and ending processes."""
    busy_share: float
    """Of the workers' time between, what they spent on recordings."""
    aside_s: float
    """What this process spent before, between and after the results: the journal, where there is one."""
    events: int


class WatchedWorkers:
    """Passes tasks and outcomes on, and notes when they came and how long the others took over them."""

    def __init__(self, workers: Workers, clock: Clock = time.perf_counter) -> None:
        self._workers, self._clock = workers, clock
        self.began_s = self.ended_s = clock()
        self.between_s = 0.0
        self._moments: list[tuple[float, float]] = []  # of each outcome: when it came, seconds it took
        self._events = 0

    def run(
        self, tasks: Iterable[Task], tell: Callable[[Progress], None], is_stopped: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """The outcomes of the workers. Raises SedgeError for a recording that failed: its time says nothing."""
        self.began_s = self._clock()

        def told(progress: Progress) -> None:
            begin_s = self._clock()
            tell(progress)
            self.between_s += self._clock() - begin_s

        with closing(self._workers.run(self._timed(tasks), told, is_stopped)) as outcomes:
            for outcome in outcomes:
                if outcome.error:
                    raise SedgeError(
                        f"benchmark: expected every recording to be scored, found: {outcome.error}"
                    )
                came_s = self._clock()
                self._moments.append((came_s, outcome.wall_s))
                self._events += len(outcome.events)
                yield outcome
                self.between_s += self._clock() - came_s
        self.ended_s = self._clock()

    def summary(self, begin_s: float, end_s: float, n_workers: int) -> WorkerRun:
        """Figures of a run between two moments. Raises SedgeError where nothing was scored."""
        if not self._moments:
            raise SedgeError("benchmark: expected recordings to be scored, found none")
        first_s = min(came_s - took_s for came_s, took_s in self._moments)
        steady_s = max(came_s for came_s, _ in self._moments) - first_s
        busy_s = sum(took_s for _, took_s in self._moments)
        return WorkerRun(
            wall_s=end_s - begin_s,
            steady_s=steady_s,
            busy_share=busy_s / (n_workers * steady_s),
            aside_s=self.between_s + (self.began_s - begin_s) + (end_s - self.ended_s),
            events=self._events,
        )

    def _timed(self, tasks: Iterable[Task]) -> Iterator[Task]:
        remaining = iter(tasks)
        while True:
            begin_s = self._clock()
            task = next(remaining, None)
            self.between_s += self._clock() - begin_s
            if task is None:
                return
            yield task


def run_once(
    workers: Workers, n_workers: int, consume: Consume, clock: Clock = time.perf_counter
) -> WorkerRun:
    """Have workers do all of the work once."""
    begin_s = clock()
    watched = WatchedWorkers(workers, clock)
    consume(watched)
    return watched.summary(begin_s, clock(), n_workers)


def with_journal(settings: ScoreSettings, recordings: Mapping[str, Path], folder: Path) -> Consume:
    """As `sedge score` does it: a journal, each time in a new folder below `folder`, and each outcome in it."""
    manifest = load_bundle(settings.bundle).manifest
    identity = Identity(__version__, manifest.name, manifest.graph.sha256)

    def consume(workers: Workers) -> None:
        with Journal.create(Path(tempfile.mkdtemp(dir=folder)), identity, recordings) as journal:
            run_batch(journal, workers, lambda _: None)

    return consume


def without_journal(recordings: Mapping[str, Path]) -> Consume:
    """Nothing but the work: outcomes are dropped as they come."""

    def consume(workers: Workers) -> None:
        for _ in workers.run(_tasks(recordings), lambda _: None, lambda: False):
            pass

    return consume


def _tasks(recordings: Mapping[str, Path]) -> Iterator[Task]:
    for position, (filename, path) in enumerate(recordings.items()):
        status = path.stat()
        yield Task(position, filename, path, status.st_size, status.st_mtime_ns)
