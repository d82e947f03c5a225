"""Threads that score recordings, each with what does the work: in this process, or in one of its own."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Protocol

from edge_app.scoring.run import Stopped
from edge_app.scoring.task import Outcome, Progress, Task

LOOK_S = 0.2
"""So often it is asked whether to stop, in seconds, while no news comes."""

END_S = 10.0
"""So long a thread is waited for that was told to end: in this process, nothing ends a decoder that hangs."""


class Scorer(Protocol):
    """Scores recordings, one at a time."""

    def score(self, task: Task, tell: Callable[[Progress], None]) -> Outcome:
        """What became of a recording. Raises Stopped where it was stopped within, and what must end the run."""

    def stop(self) -> None:
        """Give up what is being done; called from another thread, any number of times."""

    def close(self) -> None:
        """Let go of what it holds, after the last recording."""


def run_crew(
    open_scorer: Callable[[Callable[[], bool]], Scorer],
    n_scorers: int,
    tasks: Iterable[Task],
    tell: Callable[[Progress], None],
    is_stopped: Callable[[], bool],
) -> Generator[Outcome, None, None]:
    """Score with several scorers at once; outcomes come as they are ready.

    At most two tasks a scorer are taken in advance. All but `open_scorer`, which is given what says whether the run
    is over, is used in the caller's thread. Raises what a scorer could not be opened for, or raised.
    """
    remaining = iter(tasks)
    first = list(islice(remaining, 2 * n_scorers))
    crew = _Crew(open_scorer, min(n_scorers, len(first)))
    try:
        for task in first:
            crew.tasks.put(task)
        n_handed = len(first)
        while n_handed and not is_stopped():
            news = crew.next_news()
            if isinstance(news, Progress):
                tell(news)
            elif isinstance(news, Outcome):
                n_handed -= 1
                for task in islice(remaining, 1):
                    crew.tasks.put(task)
                    n_handed += 1
                yield news
    finally:
        crew.end()


class _Crew:
    """The threads, what they are to do and what they tell."""

    def __init__(self, open_scorer: Callable[[Callable[[], bool]], Scorer], n_scorers: int) -> None:
        self.tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Progress | Outcome | BaseException] = queue.SimpleQueue()
        self._open_scorer = open_scorer
        self._stopped = False
        self._scorers: list[Scorer] = []
        self._threads = [
            threading.Thread(target=self._work, name=f"scoring-{number}", daemon=True)
            for number in range(n_scorers)
        ]
        for thread in self._threads:
            thread.start()

    def next_news(self) -> Progress | Outcome | None:
        """News, or None where there are none for a while. Raises what ended a thread."""
        try:
            news = self._news.get(timeout=LOOK_S)
        except queue.Empty:
            return None
        if isinstance(news, BaseException):
            raise news
        return news

    def end(self) -> None:
        """End the threads, whatever they are doing."""
        self._stopped = True
        for _ in self._threads:
            self.tasks.put(None)
        for scorer in list(self._scorers):
            scorer.stop()
        for thread in self._threads:
            thread.join(END_S)

    def _work(self) -> None:
        scorer = None
        try:
            scorer = self._open_scorer(lambda: self._stopped)
            self._scorers.append(scorer)
            while (task := self.tasks.get()) is not None and not self._stopped:
                self._news.put(scorer.score(task, self._news.put))
        except Stopped:
            pass
        except BaseException as error:  # raised again in the caller's thread
            self._news.put(error)
        finally:
            if scorer is not None:
                scorer.close()
