"""Sessions whose program ended without ending them: closed at what was last written."""

import sqlite3
from contextlib import suppress
from pathlib import Path

from edge_app.store.schema import transaction
from edge_app.store.session_lock import SessionLock, locked_sessions


def recover(connection: sqlite3.Connection, path: Path) -> list[int]:
    """End every session that is not ended and that no living program records; gives their ids.

    What is written is a beginning of what was told, so an open event keeps the last offset that was told of it,
    and is marked as cut.
    """
    open_ids = [row[0] for row in connection.execute("SELECT id FROM session WHERE ended = 0 ORDER BY id")]
    recovered = [session for session in open_ids if _recover_one(connection, path, session)]
    _remove_strays(connection, path, set(open_ids))
    return recovered


def _remove_strays(connection: sqlite3.Connection, path: Path, open_ids: set[int]) -> None:
    """Remove locks of programs that were killed just before a session began, or just after it ended."""
    strays = [session for session in locked_sessions(path) if session not in open_ids]
    if not strays:
        return
    with transaction(connection):  # in which no other program can begin a session
        for session in strays:
            with suppress(OSError):  # it is just being recorded
                SessionLock(path, session).release()


def _recover_one(connection: sqlite3.Connection, path: Path, session: int) -> bool:
    try:
        lock = SessionLock(path, session)
    except OSError:
        return False  # it is being recorded
    try:
        with transaction(connection):
            connection.execute(
                "UPDATE event SET state = 'closed', cut = 1 WHERE session = ? AND state = 'open'", [session]
            )
            ended = connection.execute(
                "UPDATE session SET ended = 1, recovered = 1 WHERE id = ? AND ended = 0", [session]
            )
    finally:
        lock.release()
    return ended.rowcount > 0
