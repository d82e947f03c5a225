"""What is to be scored and what became of it: one SQLite file in the folder of a run, so that a run can go on.

One program at a time has it open; a lock beside it sees to that. Any thread may use it.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_app.core.errors import SedgeError
from edge_app.scoring import journal_tables as tables
from edge_app.scoring.journal_list import Reconciled, enter, name_scores, reconcile
from edge_app.scoring.journal_tables import Counts, Failure, Identity, Result
from edge_app.scoring.parts import remove_empty_folders, remove_stale_parts
from edge_app.scoring.run_lock import RunLock
from edge_app.scoring.task import Outcome, Task

__all__ = ["Counts", "Failure", "Identity", "Journal", "Reconciled", "Result", "has_run"]
JOURNAL_FILE, LOCK_FILE = "journal.sqlite", "journal.lock"
SCORES_FOLDER, LABELS_FOLDER = "scores", "labels"
COMMIT_S = 0.5
COMMIT_OUTCOMES = 100
"""What is recorded is on the disk after so many seconds, or recordings."""
PAGE = 500
"""Recordings that are read at once."""


def has_run(out: Path) -> bool:
    """Whether a run was begun in a folder. Raises SedgeError where its journal is no journal or cannot be read."""
    path = out / JOURNAL_FILE
    if not path.is_file():
        return False
    with _telling(path):
        connection = sqlite3.connect(path)
        try:
            return tables.is_begun(connection)
        finally:
            connection.close()


class Journal:
    """The journal of the run in a folder; made by `create` or `open`. Close it, or use it in a with statement.

    Every method raises SedgeError where the file cannot be read or written.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.path = out, out / JOURNAL_FILE
        self._mutex, self._n_pending = threading.RLock(), 0
        self._counted_s, self._due_s = time.monotonic(), 0.0  # the first outcome is committed at once
        self._lock = RunLock(out, LOCK_FILE)
        try:
            with _telling(self.path):
                self._connection = _connect(self.path)
        except BaseException:
            self._lock.release()
            raise

    @classmethod
    def create(
        cls, out: Path, identity: Identity, found: Mapping[str, Path], overwrite: bool = False
    ) -> Self:
        """Begin a run over the recordings found, by filename, in the folder `out`.

        Raises SedgeError where another run works in it, and where one was begun unless that may be overwritten:
        the frame scores and label tracks that it wrote are then removed.
        """
        journal = cls(out)
        with journal._closed_on_error():
            if overwrite:
                journal._start_over()
            journal._begin(identity, found)
        return journal

    @classmethod
    def open(cls, out: Path, identity: Identity | None = None) -> Self:
        """Go on with the run of a folder.

        Raises SedgeError where another run works in it, where none was begun, and where its identity is another:
        then results of one kind would stand beside those of another.
        """
        if not (out / JOURNAL_FILE).is_file():
            raise SedgeError(f"{out}: expected a folder with a run to go on with, found no {JOURNAL_FILE}")
        journal = cls(out)
        with journal._closed_on_error():
            with journal._using() as connection:
                begun = tables.is_begun(connection)
            if not begun:
                raise SedgeError(f"{journal.path}: expected a run to go on with, found none that was begun")
            if identity is not None:
                tables.check_same(out, journal.identity, identity)
            remove_stale_parts(out, SCORES_FOLDER, LABELS_FOLDER)
        return journal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def identity(self) -> Identity:
        """What the results depend on."""
        with self._using() as connection:
            return tables.read_identity(self.path, connection)

    def reconcile(self, found: Mapping[str, Path] | None = None) -> Reconciled:
        """Compare the list with the recordings found, by filename; without them, with its own files as they are now.

        New recordings are added at the end, and those whose size or time has changed wait again. Of those that are
        not found any more, the ones done stay, with their results, and the others are taken off the list.
        """
        suffix = self.identity.score_suffix
        with self._using() as connection:
            self.commit()
            connection.execute("BEGIN IMMEDIATE")
            try:
                reconciled = reconcile(connection, found)
                renamed = name_scores(connection, suffix)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        for name in renamed:
            (self.out / SCORES_FOLDER / name).unlink(missing_ok=True)
        return reconciled

    def tasks(self, retry_failed: bool = False) -> Iterator[Task]:
        """What is waiting, in order, and with `retry_failed` what has failed too.

        Outcomes may be recorded while it is read.
        """
        last = -1
        while True:
            with self._using() as connection:
                page = tables.read_tasks(connection, last, PAGE, retry_failed)
            for row in page:
                yield row.task(self.out / SCORES_FOLDER)
            if len(page) < PAGE:
                return
            last = page[-1].position

    def record(self, outcome: Outcome) -> None:
        """Keep what became of a recording. It is on the disk within COMMIT_S, or after COMMIT_OUTCOMES recordings,
        as long as `settle` or `record` is called now and then.
        """
        with self._using() as connection:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            self._n_pending += 1
            tables.put_outcome(connection, outcome)
        self.settle()

    def settle(self) -> None:
        """Commit what is due."""
        due = self._n_pending >= COMMIT_OUTCOMES or time.monotonic() >= self._due_s
        if self._n_pending and due:
            self.commit()

    def commit(self) -> None:
        """Bring what is recorded to the disk, and how long it took."""
        with self._using() as connection:
            now = time.monotonic()
            if not connection.in_transaction:  # a full disk ends it
                connection.execute("BEGIN IMMEDIATE")
            tables.add_wall(connection, now - self._counted_s)
            connection.execute("COMMIT")
            self._n_pending, self._counted_s, self._due_s = 0, now, now + COMMIT_S

    def counts(self) -> Counts:
        """How much is done and how much is not; reads the whole list, so not to be asked for every recording."""
        with self._using() as connection:
            return tables.read_counts(connection)

    def results(self) -> Iterator[Result]:
        """What was found in the recordings that are done, in order."""
        last = -1
        while True:
            with self._using() as connection:
                page = tables.read_results(connection, last, PAGE)
            for _, result in page:
                yield result
            if len(page) < PAGE:
                return
            last = page[-1][0]

    def failures(self) -> Iterator[Failure]:
        """The recordings that have failed, in order."""
        last = -1
        while True:
            with self._using() as connection:
                page = tables.read_failures(connection, last, PAGE)
            for _, failure in page:
                yield failure
            if len(page) < PAGE:
                return
            last = page[-1][0]

    def close(self) -> None:
        """Commit what is recorded, and let go of the folder; any number of times."""
        with self._mutex:
            try:
                if self._n_pending:
                    self.commit()
            finally:
                self._connection.close()
                self._lock.release()

    def _begin(self, identity: Identity, found: Mapping[str, Path]) -> None:
        """Make the tables and enter the recordings, all or nothing."""
        with self._using() as connection:
            if tables.is_begun(connection):
                raise SedgeError(f"{self.out}: expected a folder without a run, found {JOURNAL_FILE}")
            connection.execute("BEGIN IMMEDIATE")
            tables.make(connection, identity)
            enter(connection, found)
            name_scores(connection, identity.score_suffix)
            connection.execute("COMMIT")

    def _start_over(self) -> None:
        """Remove the former run's files and journal, whatever state it is in."""
        with _telling(self.path):
            with suppress(sqlite3.Error):
                for name in tables.written_names(self._connection, SCORES_FOLDER, LABELS_FOLDER):
                    with suppress(OSError):  # not there, or never written
                        (self.out / name).unlink()
            for folder in (SCORES_FOLDER, LABELS_FOLDER):
                remove_empty_folders(self.out / folder)
            self._connection.close()
            for name in (JOURNAL_FILE, f"{JOURNAL_FILE}-journal"):
                (self.out / name).unlink(missing_ok=True)
            self._connection = _connect(self.path)

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, _telling(self.path):
            yield self._connection

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._connection.close()
            self._lock.release()
            raise


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Tell what SQLite and the system say as what is wrong with the journal."""
    try:
        yield
    except sqlite3.Error as error:
        raise SedgeError(
            f"{path}: expected a journal that can be read and written, found: {error}"
        ) from error
    except OSError as error:
        place = error.filename or path
        raise SedgeError(f"{place}: cannot be read or written ({error.strerror or error})") from error
