"""The database file: its tables, how it is opened, and its errors as sentences."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_app.core.errors import EXIT_SOME_FAILED, EXIT_USAGE, SedgeError

SCHEMA_VERSION = 2
APPLICATION_ID = 0x53454447  # "SEDG"
BUSY_S = 5.0
"""For how long to wait for another program that is writing, in seconds."""

_TABLES = """
CREATE TABLE session(
    id INTEGER PRIMARY KEY AUTOINCREMENT, started_ns INTEGER NOT NULL, source TEXT NOT NULL,
    device TEXT NOT NULL, sample_rate INTEGER NOT NULL, model_sha256 TEXT NOT NULL, model_name TEXT NOT NULL,
    runtime TEXT NOT NULL, app_version TEXT NOT NULL, settings_json TEXT NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0, recovered INTEGER NOT NULL DEFAULT 0,
    end_sample INTEGER NOT NULL DEFAULT 0);
CREATE TABLE event(
    id INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
    number INTEGER NOT NULL, event_label TEXT NOT NULL, onset_sample INTEGER NOT NULL,
    offset_sample INTEGER NOT NULL, onset_ns INTEGER NOT NULL, peak REAL NOT NULL, mean REAL,
    state TEXT NOT NULL, cut INTEGER NOT NULL, review TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '',
    clip_path TEXT, UNIQUE(session, number));
CREATE INDEX event_by_time ON event(onset_ns);
CREATE TABLE gap(
    session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
    start_sample INTEGER NOT NULL, end_sample INTEGER NOT NULL, kind TEXT NOT NULL,
    PRIMARY KEY(session, start_sample, end_sample));
CREATE TABLE anchor(
    session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
    sample INTEGER NOT NULL, mono_ns INTEGER NOT NULL, utc_ns INTEGER NOT NULL,
    PRIMARY KEY(session, sample)) WITHOUT ROWID;
CREATE TABLE score_block(
    session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
    first_frame INTEGER NOT NULL, end_frame INTEGER NOT NULL, event_labels TEXT NOT NULL,
    scores BLOB NOT NULL, PRIMARY KEY(session, first_frame));
"""
_ADDED_IN_2 = """
ALTER TABLE session ADD COLUMN recording TEXT;
ALTER TABLE event ADD COLUMN clip_start_sample INTEGER;
CREATE TABLE mark(
    id INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
    sample INTEGER NOT NULL, note TEXT NOT NULL DEFAULT '');
CREATE INDEX mark_by_session ON mark(session, sample);
CREATE TABLE decoding_change(
    session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
    first_frame INTEGER NOT NULL, settings_json TEXT NOT NULL, PRIMARY KEY(session, first_frame));
"""
_STEPS = (_TABLES, _ADDED_IN_2)
"""What leads from each version to the next; a new database goes through all of them."""


class StoreError(SedgeError):
    """The store cannot be opened, read or written: says why."""

    exit_code = EXIT_SOME_FAILED


class NotKeptError(StoreError):
    """What is asked for is not in the store, or not yet: the store itself is sound."""

    exit_code = EXIT_USAGE


@contextmanager
def told(path: Path, what: str) -> Iterator[None]:
    """Turn errors of the database and of the file system into one sentence; `what` is read, written, opened."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # a mistake of this program, which no user can mend
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be {what} ({error})") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be {what} ({error.strerror or error})") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is done inside, or nothing; one inside another is part of it."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def open_database(path: Path) -> sqlite3.Connection:
    """Open a database for writing, making it and its folder where they are not there.

    Raises StoreError for a file that is no database, one of another program, of a later version, and where it
    cannot be written.
    """
    with told(path, "opened"):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if _number(connection, "user_version") == 0:
        _check_empty(connection, path)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table
    else:
        _check_version(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what is committed outlives a loss of power too
    connection.execute("PRAGMA foreign_keys = ON")
    if _number(connection, "user_version") < SCHEMA_VERSION:
        _bring_up_to_date(connection)
    _check_version(connection, path)


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        # Asked again: another program may have been quicker.
        for step in _STEPS[_number(connection, "user_version") :]:
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check_empty(connection: sqlite3.Connection, path: Path) -> None:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    # Another program may be making the tables right now: then the version is there too.
    if tables and _number(connection, "user_version") == 0:
        raise StoreError(f"{path}: expected a database of this program, found one with tables {tables}")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    if _number(connection, "application_id") != APPLICATION_ID:
        raise StoreError(f"{path}: expected a database of this program, found another program's")
    version = _number(connection, "user_version")
    if not 0 < version <= SCHEMA_VERSION:
        raise StoreError(f"{path}: expected schema version {SCHEMA_VERSION}, found {version}")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
