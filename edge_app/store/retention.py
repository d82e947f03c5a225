"""What is deleted to keep the store small: the oldest first, reviewed events and marks never.

The recording of a whole session goes as one, by the time at which it began, and never while it is being made; until
then its bytes do not count either, or a long session would push out everything else.
"""

import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edge_app.core.events import FRAME_S
from edge_app.store.clock import NS
from edge_app.store.schema import transaction

_FRAME_NS = round(FRAME_S * NS)
_DAY_NS = 86_400 * NS
_ROW_BYTES = 200  # about what an event takes in the database, its indexes included
_ROUNDS = 20
_DELETABLE = "state = 'closed' AND review = ''"
_RECORDED = "ended = 1 AND recording IS NOT NULL"
_BLOCK_NS = f"started_ns + end_frame * {_FRAME_NS}"


def delete_before(
    connection: sqlite3.Connection, clip_folder: Path, days: float, now_ns: int | None = None
) -> int:
    """Delete what is more than `days` old: scores, anchors, events not reviewed with their clips, empty sessions.

    Gives the number of events deleted. What a session in progress recorded so long ago goes as well.
    """
    before = (time.time_ns() if now_ns is None else now_ns) - round(days * _DAY_NS)
    return _delete_up_to(connection, clip_folder, before)


def shrink(connection: sqlite3.Connection, clip_folder: Path, most_bytes: int) -> int:
    """Delete the oldest until database and clips take at most `most_bytes`, or nothing deletable is left.

    Gives the number of events deleted.
    """
    deleted = 0
    for _ in range(_ROUNDS):  # sizes are estimates, so a round may fall short
        excess = _bytes_taken(connection, clip_folder) - most_bytes
        before = _instant_that_frees(connection, clip_folder, excess) if excess > 0 else None
        if before is None:
            break
        deleted += _delete_up_to(connection, clip_folder, before)
    return deleted


def _delete_up_to(connection: sqlite3.Connection, clip_folder: Path, before_ns: int) -> int:
    # Clips first: were the rows deleted first and the program then killed, nothing would know of the clips.
    clips = connection.execute(
        f"SELECT clip_path FROM event WHERE {_DELETABLE} AND onset_ns < ? AND clip_path IS NOT NULL",
        [before_ns],
    )
    recordings = connection.execute(
        f"SELECT recording FROM session WHERE {_RECORDED} AND started_ns < ?", [before_ns]
    )
    _remove_clips(clip_folder, [row[0] for row in (*clips, *recordings)])
    with transaction(connection):
        events = connection.execute(f"DELETE FROM event WHERE {_DELETABLE} AND onset_ns < ?", [before_ns])
        connection.execute("DELETE FROM anchor WHERE utc_ns < ?", [before_ns])
        connection.execute(
            f"UPDATE session SET recording = NULL WHERE {_RECORDED} AND started_ns < ?", [before_ns]
        )
        connection.execute(
            "DELETE FROM score_block WHERE rowid IN (SELECT score_block.rowid FROM score_block "
            f"JOIN session ON session.id = session WHERE {_BLOCK_NS} <= ?)",
            [before_ns],
        )
        connection.execute(
            "DELETE FROM session WHERE ended = 1 AND started_ns + end_sample * ? / sample_rate < ? "
            "AND NOT EXISTS (SELECT 1 FROM event WHERE event.session = session.id) "
            "AND NOT EXISTS (SELECT 1 FROM mark WHERE mark.session = session.id) "
            "AND NOT EXISTS (SELECT 1 FROM score_block WHERE score_block.session = session.id)",
            [NS, before_ns],
        )
    connection.execute("PRAGMA incremental_vacuum").fetchall()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return events.rowcount


def _bytes_taken(connection: sqlite3.Connection, clip_folder: Path) -> int:
    pages, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    clips = connection.execute(
        "SELECT clip_path FROM event WHERE clip_path IS NOT NULL "
        f"UNION ALL SELECT recording FROM session WHERE {_RECORDED}"
    )
    return int(pages * page_bytes) + sum(_clip_bytes(clip_folder, clip) for (clip,) in clips)


def _instant_that_frees(connection: sqlite3.Connection, clip_folder: Path, excess: int) -> int | None:
    """The instant before which about `excess` bytes lie that may be deleted; None where there is nothing."""
    rows = connection.execute(
        f"SELECT onset_ns + 1, clip_path, {_ROW_BYTES} FROM event WHERE {_DELETABLE} "
        f"UNION ALL SELECT {_BLOCK_NS}, NULL, length(scores) FROM score_block "
        "JOIN session ON session.id = session "
        f"UNION ALL SELECT started_ns + 1, recording, 0 FROM session WHERE {_RECORDED} ORDER BY 1"
    )
    before, freed = None, 0
    for instant, clip, row_bytes in rows:
        before = instant
        freed += row_bytes + (_clip_bytes(clip_folder, clip) if clip else 0)
        if freed >= excess:
            break
    return before


def _clip_bytes(clip_folder: Path, clip: str) -> int:
    try:
        return (clip_folder.parent / clip).stat().st_size
    except OSError:
        return 0


def _remove_clips(clip_folder: Path, clips: Iterable[str]) -> None:
    for clip in clips:
        path = clip_folder.parent / clip
        # A path out of the folder is not this program's to delete, whatever the database says.
        if path.resolve().parent == clip_folder.resolve():
            with suppress(FileNotFoundError):
                path.unlink()
