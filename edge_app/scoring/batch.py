"""A run over the recordings of a journal: hands them to workers, and keeps what becomes of each."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from edge_app.scoring.journal import Journal
from edge_app.scoring.task import Outcome, Progress, Task


class Workers(Protocol):
    """Score recordings in any order, on this machine or on several."""

    def run(
        self, tasks: Iterable[Task], tell: Callable[[Progress], None], is_stopped: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """One outcome a task, as they are ready; a recording that fails is an outcome too.

        A bounded number of tasks is taken in advance. `is_stopped` is asked often: once it says so, what is under
        way is given up and no more outcomes come; the same where the iterator is closed. Raises SedgeError where
        no work can be done at all.
        """


@dataclass(frozen=True, slots=True)
class BatchNews:
    """How far a recording is."""

    task: Task
    done_s: float
    """Seconds of sound that are scored."""
    length_s: float = 0.0
    """Seconds that the recording says it has; 0 where it does not say."""
    outcome: Outcome | None = None
    """What became of it; None while it is under way."""


def run_batch(
    journal: Journal,
    workers: Workers,
    tell: Callable[[BatchNews], None],
    is_stopped: Callable[[], bool] = lambda: False,
    retry_failed: bool = False,
) -> bool:
    """Score what is waiting in the journal, and with `retry_failed` what has failed before; give False where stopped.

    What becomes of a recording is recorded before it is told. Raises SedgeError where the journal cannot be written
    or no worker can work; what is recorded by then stays.
    """
    under_way = _UnderWay(journal.tasks(retry_failed))

    def pass_on(progress: Progress) -> None:
        journal.settle()
        task = under_way.tasks.get(progress.position)
        if task is not None:
            tell(BatchNews(task, progress.done_s, progress.length_s))

    try:
        with closing(workers.run(under_way.take(), pass_on, is_stopped)) as outcomes:
            for outcome in outcomes:
                journal.record(outcome)
                tell(_end_news(under_way.tasks.pop(outcome.position), outcome))
    finally:
        journal.commit()
    return under_way.is_over


class _UnderWay:
    """The tasks that workers have taken and not done, by position."""

    def __init__(self, waiting: Iterable[Task]) -> None:
        self.tasks: dict[int, Task] = {}
        self._waiting, self._all_taken = waiting, False

    @property
    def is_over(self) -> bool:
        """Whether all was taken and done."""
        return self._all_taken and not self.tasks

    def take(self) -> Iterator[Task]:
        """The tasks that wait."""
        for task in self._waiting:
            self.tasks[task.position] = task
            yield task
        self._all_taken = True


def _end_news(task: Task, outcome: Outcome) -> BatchNews:
    return BatchNews(task, outcome.duration_s, outcome.duration_s, outcome)
