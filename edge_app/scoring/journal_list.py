"""The list of recordings in a journal: entered at the start, and compared with what is there when a run goes on."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from edge_app.scoring.journal_tables import kept, text_of
from edge_app.scoring.recordings import score_names

_PAGE = 500
_ENTER = "INSERT INTO recording(position, filename, path, size, modified_ns) VALUES (?, ?, ?, ?, ?)"
_Seen = tuple[str, str, int, int]
"""Filename, absolute path, size in bytes and time of the last change in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a comparison has changed in the list."""

    added: int = 0
    changed: int = 0
    """Recordings that wait again: their size or time is another than when they were scored."""
    dropped: int = 0
    """Recordings that are not found any more and were not done."""


def enter(connection: sqlite3.Connection, found: Mapping[str, Path]) -> None:
    """Enter the recordings found into an empty list, in order."""
    rows = ((position, *_as_kept(seen)) for position, seen in enumerate(_look(found)))
    connection.executemany(_ENTER, rows)


def reconcile(connection: sqlite3.Connection, found: Mapping[str, Path] | None) -> Reconciled:
    """Bring the list up to date with the recordings found; without them, with its own files as they are now."""
    connection.execute("CREATE TEMP TABLE seen(position INTEGER PRIMARY KEY)")
    try:
        last = connection.execute("SELECT COALESCE(MAX(position), -1) FROM recording").fetchone()[0]
        added = changed = 0
        for seen in _look(found) if found is not None else _look_again(connection):
            old = connection.execute(
                "SELECT position, size, modified_ns, state FROM recording WHERE filename = ?", [kept(seen[0])]
            ).fetchone()
            if old is None:
                added += 1
                old = [last + added]
                connection.execute(_ENTER, [*old, *_as_kept(seen)])
            else:
                changed += _compare(connection, seen, *old)
            connection.execute("INSERT INTO seen VALUES (?)", [old[0]])
        dropped = connection.execute(
            "DELETE FROM recording WHERE state != 'done' AND position NOT IN (SELECT position FROM seen)"
        ).rowcount
    finally:
        connection.execute("DROP TABLE seen")
    return Reconciled(added, changed, dropped)


def _compare(
    connection: sqlite3.Connection, seen: _Seen, position: int, size: int, modified_ns: int, state: str
) -> bool:
    """Let a recording wait again if it is another than it was; gives whether it had been scored."""
    _, path, new_size, new_modified_ns = seen
    same = (new_size, new_modified_ns) == (size, modified_ns)
    if same or (state == "done" and not new_modified_ns):  # gone: its result stays
        connection.execute("UPDATE recording SET path = ? WHERE position = ?", [kept(path), position])
        return False
    connection.execute(
        "UPDATE recording SET path = ?, size = ?, modified_ns = ? WHERE position = ?",
        [kept(path), new_size, new_modified_ns, position],
    )
    wait_again(connection, position)
    return state != "waiting"


def wait_again(connection: sqlite3.Connection, position: int) -> None:
    """Forget what became of a recording."""
    connection.execute(
        "UPDATE recording SET state = 'waiting', error = '', duration_s = 0, wall_s = 0, n_events = 0 "
        "WHERE position = ?",
        [position],
    )
    connection.execute("DELETE FROM event WHERE position = ?", [position])


def name_scores(connection: sqlite3.Connection, suffix: str | None) -> list[str]:
    """Name the file of frame scores of each recording; nothing without a suffix.

    Gives the names that were written and are another's or nobody's now: those recordings wait again.
    """
    old_names: list[str] = []
    if suffix is None:
        return old_names
    for held in _by_folder(connection):
        names = score_names([recording.filename for recording in held], suffix)
        for recording in held:
            name = names[recording.filename]
            if name == recording.score_name:
                continue
            connection.execute(
                "UPDATE recording SET score_name = ? WHERE position = ?", [kept(name), recording.position]
            )
            if recording.score_name is not None and recording.is_done:
                old_names.append(recording.score_name)
                wait_again(connection, recording.position)
    return old_names


@dataclass(frozen=True, slots=True)
class _Named:
    position: int
    filename: str
    score_name: str | None
    is_done: bool


def _by_folder(connection: sqlite3.Connection) -> Iterator[list[_Named]]:
    """The list, folder by folder: only names within one can be alike, so no more need be held at once."""
    connection.create_function(
        "folder_of", 1, lambda name: kept(text_of(name).rpartition("/")[0]), deterministic=True
    )
    connection.execute(
        "CREATE TEMP TABLE by_folder AS SELECT folder_of(filename) AS folder, position, filename, score_name, "
        "state = 'done' FROM recording ORDER BY folder, position"
    )
    rows = connection.execute("SELECT * FROM by_folder ORDER BY rowid")
    for _, members in groupby(rows, lambda row: row[0]):
        yield [
            _Named(position, text_of(name), score and text_of(score), bool(is_done))
            for _, position, name, score, is_done in members
        ]
    connection.execute("DROP TABLE by_folder")


def _look(found: Mapping[str, Path]) -> Iterator[_Seen]:
    for filename, path in found.items():
        yield filename, *_facts(path.absolute())


def _look_again(connection: sqlite3.Connection) -> Iterator[_Seen]:
    page: list[tuple[int, str | bytes, str | bytes]] = []
    while True:
        page = connection.execute(
            "SELECT position, filename, path FROM recording WHERE position > ? ORDER BY position LIMIT ?",
            [page[-1][0] if page else -1, _PAGE],
        ).fetchall()
        for _, filename, path in page:
            yield text_of(filename), *_facts(Path(text_of(path)))
        if len(page) < _PAGE:
            return


def _facts(path: Path) -> tuple[str, int, int]:
    """The path, its size and time; 0 and 0 where it cannot be read: opening it says why."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return str(path), 0, 0
    return str(path), status.st_size, status.st_mtime_ns


def _as_kept(seen: _Seen) -> tuple[str | bytes, str | bytes, int, int]:
    filename, path, size, modified_ns = seen
    return kept(filename), kept(path), size, modified_ns
