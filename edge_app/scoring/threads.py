"""Workers in this process, around one runtime: for a GPU, where reading and inference overlap."""

from collections.abc import Callable, Generator, Iterable

from edge_app.core.runtime import Runtime
from edge_app.scoring.crew import run_crew
from edge_app.scoring.shared_runtime import SharedRuntime
from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task
from edge_app.scoring.worker import Worker


class ThreadWorkers:
    """Threads that each read and score one recording at a time, on a runtime that they share.

    Windows that wait at the same time go through the graph together, at most `most_rows` of them, by default as many
    as there are threads. A decoder that crashes ends the program, and one that hangs holds its thread.
    """

    def __init__(
        self, settings: ScoreSettings, runtime: Runtime, n_threads: int, most_rows: int | None = None
    ) -> None:
        self._settings, self._n_threads = settings, n_threads
        self._runtime = SharedRuntime(runtime, n_threads if most_rows is None else most_rows)

    def run(
        self, tasks: Iterable[Task], tell: Callable[[Progress], None], is_stopped: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """One outcome a task, as they are ready; see `batch.Workers`."""

        def open_worker(is_over: Callable[[], bool]) -> Worker:
            return Worker(self._settings, self._runtime, is_over)

        return run_crew(open_worker, self._n_threads, tasks, tell, is_stopped)
