"""What is asked of the database: sessions, events and everything that belongs to them."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from edge_app.store import queries
from edge_app.store.queries import EventFilter
from edge_app.store.records import (
    Anchor,
    DecodingChange,
    EventRecord,
    GapRecord,
    MarkRecord,
    ScoreBlock,
    SessionRecord,
)
from edge_app.store.schema import told

ALL_EVENTS = EventFilter()


class Reader:
    """The reading half of a Store."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._connection = connection

    def sessions(self, ids: Iterable[int] | None = None) -> list[SessionRecord]:
        """Sessions, the newest first; all where no ids are given."""
        with told(self.path, "read"):
            return queries.select_sessions(self._connection, self.path.parent, ids)

    def events(self, wanted: EventFilter = ALL_EVENTS) -> list[EventRecord]:
        """The events that a filter lets through."""
        with told(self.path, "read"):
            return queries.select_events(self._connection, self.path.parent, wanted)

    def count_events(self, wanted: EventFilter = ALL_EVENTS) -> int:
        """How many events a filter lets through, its `limit` and `first` aside."""
        with told(self.path, "read"):
            return queries.count_events(self._connection, wanted)

    def event_id(self, session: int, number: int) -> int | None:
        """Id of an event by its number in the news of its session; None where it is not written."""
        with told(self.path, "read"):
            return queries.select_event_id(self._connection, session, number)

    def marks(self, session: int) -> list[MarkRecord]:
        """Marks of a session in order of time."""
        with told(self.path, "read"):
            return queries.select_marks(self._connection, session)

    def changes(self, session: int) -> list[DecodingChange]:
        """Changes of the decoding of a session in order of time."""
        with told(self.path, "read"):
            return queries.select_changes(self._connection, session)

    def gaps(self, session: int) -> list[GapRecord]:
        """Gaps of a session in order of time."""
        with told(self.path, "read"):
            return queries.select_gaps(self._connection, session)

    def anchors(self, session: int) -> list[Anchor]:
        """Anchors of a session in order of time."""
        with told(self.path, "read"):
            return queries.select_anchors(self._connection, session)

    def score_blocks(
        self, session: int, first_frame: int = 0, end_frame: int | None = None
    ) -> list[ScoreBlock]:
        """Blocks of scores of a session that touch frames [first_frame, end_frame), in order of time."""
        with told(self.path, "read"):
            return list(queries.select_scores(self._connection, session, first_frame, end_frame))
