"""Workers in processes of their own on this machine: a decoder that crashes or hangs costs one recording.

Each process has a pipe of its own, and a thread here that waits at it. In a pool whose processes share one queue, a
process that dies at the wrong moment takes the queue's lock, or the word of what it was doing, with it.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Protocol

from edge_app.core.errors import SedgeError
from edge_app.scoring.crew import Scorer, run_crew
from edge_app.scoring.parts import remove_parts
from edge_app.scoring.run import Stopped
from edge_app.scoring.task import Outcome, Progress, ScoreSettings, Task
from edge_app.scoring.worker import Worker

END_S = 5.0
"""A process that was asked to end and has not done so after so many seconds is killed."""
LONGEST_WAIT_S = 1.0
"""So often it is seen whether the run is over, while a process is silent."""
_context = multiprocessing.get_context("spawn")


class OpenWorker(Protocol):
    """Makes the worker of a process, within that process; something that pickles."""

    def __call__(self, settings: ScoreSettings, *, is_stopped: Callable[[], bool]) -> Scorer:
        """A worker. Raises SedgeError where the model or the runtime cannot be used."""


class LocalWorkers:
    """Processes that each open the model and score one recording at a time.

    A recording whose process crashes, or gets nowhere for `settings.stall_s`, has failed; a new process does the
    next one. Ctrl-C reaches only the process that runs them.
    """

    def __init__(self, settings: ScoreSettings, n_workers: int, open_worker: OpenWorker = Worker) -> None:
        self._settings, self._n_workers, self._open_worker = settings, n_workers, open_worker

    def run(
        self, tasks: Iterable[Task], tell: Callable[[Progress], None], is_stopped: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """One outcome a task, as they are ready; see `batch.Workers`."""

        def open_child(is_over: Callable[[], bool]) -> _Child:
            return _Child(self._settings, self._open_worker, is_over)

        return run_crew(open_child, self._n_workers, tasks, tell, is_stopped)


class _Child:
    """The far end of one process: gives it a recording and waits for what becomes of it."""

    def __init__(self, settings: ScoreSettings, open_worker: OpenWorker, is_over: Callable[[], bool]) -> None:
        self._settings, self._open_worker, self._is_over = settings, open_worker, is_over
        self._process: SpawnProcess | None = None
        self._sending = threading.Lock()
        self._start()

    def score(self, task: Task, tell: Callable[[Progress], None]) -> Outcome:
        """What became of a recording. Raises Stopped where the process was told to stop, and what it raises."""
        try:
            self._give(task)
            while self._has_news():
                news = self._connection.recv()
                if isinstance(news, Outcome):
                    return news
                if isinstance(news, SedgeError):
                    raise news
                tell(news)
        except (EOFError, OSError):
            return self._lost(task, self._end())
        if self._process is not None and not self._is_over():
            self._process.kill()
        self._end()
        return self._lost(task, f"it got nowhere for {self._settings.stall_s:g} s")

    def stop(self) -> None:
        """Let the process give up what it does; it ends by itself."""
        with suppress(OSError):
            self._send(None)

    def close(self) -> None:
        """End the process."""
        self.stop()
        if self._process is not None:
            self._end()

    def _start(self) -> None:
        """Begin a process and wait until it is ready."""
        self._connection, far_end = _context.Pipe()
        process = _context.Process(
            target=_serve, args=(self._settings, self._open_worker, far_end), name="sedge-worker", daemon=True
        )
        with _without_interrupt():
            process.start()
        self._process, self._pid = process, process.pid
        far_end.close()
        try:
            problem = self._connection.recv()
        except (EOFError, OSError):
            problem = SedgeError(f"worker: expected to open the model, found that {self._end()}")
        if self._is_over():
            self.close()
            raise Stopped
        if problem is not None:
            raise problem

    def _give(self, task: Task) -> None:
        """Hand over a recording: to a new process where there is none, or it has ended since the one before."""
        if self._process is not None:
            try:
                self._send(task)
            except OSError:
                self._end()
            else:
                return
            if self._is_over():
                raise Stopped
        self._start()
        self._send(task)

    def _send(self, task: Task | None) -> None:
        with self._sending:
            self._connection.send(task)

    def _has_news(self) -> bool:
        """Wait for news; False where none comes for too long.

        In short waits: one long one would be over at once after the computer or the whole job has slept.
        """
        wait_s = min(LONGEST_WAIT_S, self._settings.stall_s / 10)
        for _ in range(round(self._settings.stall_s / wait_s)):
            if self._connection.poll(wait_s):
                return True
            if self._is_over():
                break
        return False

    def _lost(self, task: Task, why: str) -> Outcome:
        """What became of a recording whose process has ended."""
        if task.scores_path is not None:
            remove_parts(task.scores_path.parent, self._pid)
        if self._is_over():
            raise Stopped
        return Outcome(task.position, error=f"{task.path}: expected to be scored, found that {why}")

    def _end(self) -> str:
        """Wait for the end of the process; says how it ended."""
        process, self._process = self._process, None
        if process is None:
            return "its process was not there"
        process.join(END_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        self._connection.close()
        return _how_ended(process.exitcode or 0)


def _how_ended(exit_code: int) -> str:
    if exit_code in (-9, -15):
        return f"its process was ended from outside (signal {-exit_code}), as where memory runs out"
    if exit_code < 0:
        return f"the decoder crashed (signal {-exit_code})"
    return f"the decoder crashed (exit code {exit_code:#x})"  # as Windows tells it


def _serve(settings: ScoreSettings, open_worker: OpenWorker, connection: Connection) -> None:
    """What the process does: scores what it is given, until it is told to stop or nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after_parent, daemon=True).start()
    try:
        worker = open_worker(settings, is_stopped=connection.poll)
    except Exception as error:
        words = " ".join(str(error).split())
        known = error if isinstance(error, SedgeError) else None
        connection.send(known or SedgeError(f"worker: expected to open the model, found {words}"))
        return
    with suppress(EOFError, OSError, Stopped):
        connection.send(None)
        while (task := connection.recv()) is not None:
            try:
                outcome: Outcome | SedgeError = worker.score(task, connection.send)
            except SedgeError as error:  # no recording is the reason: it ends the run
                outcome = error
            connection.send(outcome)


def _end_after_parent() -> None:
    """End this process some time after the one that began it: a decoder that hangs must not outlive it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        time.sleep(END_S)  # it ends by itself where nothing hangs
        os._exit(1)


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Processes begun within do not get Ctrl-C, from their first moment."""
    if sys.platform == "win32":  # they ignore it once they run
        yield
        return
    resource_tracker.ensure_running()  # begun later, it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
