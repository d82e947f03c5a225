"""Sessions whose program ended without ending them: closed at what was last written."""

import sqlite3
from pathlib import Path

from edge_app.store.schema import transaction
from edge_app.store.session_lock import SessionLock


def recover(connection: sqlite3.Connection, path: Path) -> list[int]:
    """End every session that is not ended and that no living program records; gives their ids.

    What is written is a beginning of what was told, so an open event keeps the last offset that was told of it,
    and is marked as cut.
    """
    open_ids = [row[0] for row in connection.execute("SELECT id FROM session WHERE ended = 0 ORDER BY id")]
    return [session for session in open_ids if _recover_one(connection, path, session)]


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
