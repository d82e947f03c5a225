"""The history of what was heard: sessions, events, gaps, clock anchors and scores in one SQLite file.

Any number of programs may have it open; each thread needs a Store of its own.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_app.core.events import FRAME_S
from edge_app.store import queries
from edge_app.store.clock import SessionClock, to_ns
from edge_app.store.news import EventTold, GapTold, Told, is_event, is_gap
from edge_app.store.queries import EventFilter
from edge_app.store.records import (
    REVIEWS,
    Anchor,
    EventRecord,
    GapRecord,
    Review,
    ScoreBlock,
    SessionFacts,
    SessionRecord,
    to_bytes,
)
from edge_app.store.recovery import recover
from edge_app.store.retention import delete_before, shrink
from edge_app.store.schema import open_database, told, transaction
from edge_app.store.session_lock import SessionLock

ALL_EVENTS = EventFilter()
_PUT_EVENT = (
    "INSERT INTO event(session, number, event_label, onset_sample, offset_sample, onset_ns, peak, mean, state, cut) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(session, number) DO UPDATE SET "
    "onset_sample = excluded.onset_sample, offset_sample = excluded.offset_sample, onset_ns = excluded.onset_ns, "
    "peak = excluded.peak, mean = excluded.mean, state = excluded.state, cut = excluded.cut"
)


class Store:
    """An open database. Every method raises StoreError where the file cannot be read or written.

    Opening ends the sessions that a crash left behind; their ids are in `recovered`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recovered: list[int] = []
        self._locks: dict[int, SessionLock] = {}
        self._clocks: dict[int, SessionClock] = {}
        self._connection = open_database(self.path)
        try:
            self.recovered = self.recover()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def clip_folder(self) -> Path:
        """Where the clips of this database lie: a folder beside it."""
        return self.path.with_name(f"{self.path.stem}.clips")

    def close(self) -> None:
        """Close the file; a session of this Store that has not ended is recovered at the next opening."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()
        self._connection.close()

    def recover(self) -> list[int]:
        """End the sessions that no living program records, with open events closed as cut; gives their ids."""
        with self._writing():
            return recover(self._connection, self.path)

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writing inside is committed at the end, or none of it."""
        with self._writing(), transaction(self._connection):
            yield

    def begin_session(self, facts: SessionFacts) -> int:
        """Begin a session that this Store records; gives its id. Not inside `together`."""
        columns = {name: getattr(facts, name) for name in SessionFacts.__dataclass_fields__}
        columns["started_ns"] = to_ns(columns.pop("started_at"))
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with ExitStack() as on_failure:
            with self.together():
                inserted = self._connection.execute(
                    f"INSERT INTO session({names}) VALUES ({marks})", [*columns.values()]
                )
                session = int(inserted.lastrowid or 0)
                # Before the row can be seen, so that no other program takes it for one left behind.
                lock = SessionLock(self.path, session)
                on_failure.callback(lock.release)
            on_failure.pop_all()
        self._locks[session] = lock
        self._clocks[session] = SessionClock(columns["started_ns"], facts.sample_rate)
        return session

    def take(self, session: int, news: Told) -> None:
        """Write news of a session. Provisional events are not kept; a summary ends nothing, but tells the length."""
        with self.together():
            if is_gap(news):
                self._take_gap(session, news)
            elif is_event(news):
                self._take_event(session, news)
            elif news.type == "summary":
                self._reach(session, news.samples_received + news.samples_gap)

    def anchor(self, session: int, sample: int, mono_ns: int, utc_ns: int) -> None:
        """Write what time it was at a sample, on the monotonic clock and in UTC, both in nanoseconds."""
        with self.together():
            self._connection.execute(
                "INSERT OR REPLACE INTO anchor VALUES (?, ?, ?, ?)", [session, sample, mono_ns, utc_ns]
            )
            self._clock(session).add(Anchor(session, sample, mono_ns, utc_ns))
            self._reach(session, sample)

    def scores(
        self, session: int, first_frame: int, event_labels: Sequence[str], scores: NDArray[np.float32]
    ) -> None:
        """Write a block of frame scores in 0...1, shape (frame, label), in steps of 1/255."""
        block = [session, first_frame, first_frame + len(scores), json.dumps(list(event_labels))]
        with self.together():
            self._connection.execute(
                "INSERT OR REPLACE INTO score_block VALUES (?, ?, ?, ?, ?)",
                [*block, to_bytes(scores).tobytes()],
            )

    def end_session(self, session: int, end_sample: int = 0) -> None:
        """End a session; what is still open is closed as cut."""
        with self.together():
            self._reach(session, end_sample)
            self._connection.execute(
                "UPDATE event SET state = 'closed', cut = 1 WHERE session = ? AND state = 'open'", [session]
            )
            self._connection.execute("UPDATE session SET ended = 1 WHERE id = ?", [session])
        self._clocks.pop(session, None)
        lock = self._locks.pop(session, None)
        if lock:
            lock.release()

    def review(self, event: int, verdict: Review, note: str | None = None) -> None:
        """Confirm or reject an event, or take that back with an empty verdict; a note of None stays as it is."""
        if verdict not in REVIEWS:
            raise ValueError(f"verdict: expected one of {REVIEWS}, found {verdict!r}")
        with self.together():
            self._connection.execute(
                "UPDATE event SET review = ?, note = COALESCE(?, note) WHERE id = ?", [verdict, note, event]
            )

    def set_clip(self, session: int, number: int, path: Path) -> None:
        """Note where the clip of an event lies; relative to the database where it lies below its folder."""
        folder = self.path.parent
        kept = path.relative_to(folder) if path.is_relative_to(folder) else path.absolute()
        with self.together():
            self._connection.execute(
                "UPDATE event SET clip_path = ? WHERE session = ? AND number = ?",
                [kept.as_posix(), session, number],
            )

    def sessions(self, ids: Iterable[int] | None = None) -> list[SessionRecord]:
        """Sessions, the newest first; all where no ids are given."""
        with told(self.path, "read"):
            return queries.select_sessions(self._connection, ids)

    def events(self, wanted: EventFilter = ALL_EVENTS) -> list[EventRecord]:
        """The events that a filter lets through."""
        with told(self.path, "read"):
            return queries.select_events(self._connection, self.path.parent, wanted)

    def count_events(self, wanted: EventFilter = ALL_EVENTS) -> int:
        """How many events a filter lets through, its `limit` and `first` aside."""
        with told(self.path, "read"):
            return queries.count_events(self._connection, wanted)

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

    def delete_older(self, days: float) -> int:
        """Delete events, clips and scores of more than so many days ago, reviewed events excepted.

        Gives the number of events deleted. A session without events that has ended goes too.
        """
        with self._writing():
            return delete_before(self._connection, self.clip_folder, days)

    def shrink(self, most_bytes: int) -> int:
        """Delete the oldest scores and events with their clips until database and clips take at most `most_bytes`.

        Reviewed events are kept, whatever they take. Gives the number of events deleted.
        """
        with self._writing():
            return shrink(self._connection, self.clip_folder, most_bytes)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with told(self.path, "written"):
            yield

    def _take_event(self, session: int, news: EventTold) -> None:
        if news.type == "provisional":
            return
        if news.type == "withdrawn":
            self._connection.execute("DELETE FROM event WHERE session = ? AND number = ?", [session, news.id])
            return
        state = "closed" if news.type == "closed" else "open"
        onset_ns = self._clock(session).utc_ns(news.onset_sample)
        mean = self._mean(session, news) if state == "closed" else None
        self._connection.execute(
            _PUT_EVENT,
            [
                *(session, news.id, news.event_label, news.onset_sample, news.offset_sample),
                *(onset_ns, news.score, mean, state, news.cut),
            ],
        )
        self._reach(session, news.offset_sample)

    def _mean(self, session: int, news: EventTold) -> float | None:
        hop_length = round(self._clock(session).sample_rate * FRAME_S)
        frames = news.onset_sample // hop_length, news.offset_sample // hop_length
        return queries.mean_score(self._connection, session, news.event_label, *frames)

    def _take_gap(self, session: int, news: GapTold) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?)",
            [session, news.onset_sample, news.offset_sample, news.kind],
        )
        self._reach(session, news.offset_sample)

    def _reach(self, session: int, sample: int) -> None:
        """The session is known up to here."""
        self._connection.execute(
            "UPDATE session SET end_sample = max(end_sample, ?) WHERE id = ?", [sample, session]
        )

    def _clock(self, session: int) -> SessionClock:
        if session not in self._clocks:
            (record,) = self.sessions([session])
            self._clocks[session] = SessionClock(to_ns(record.started_at), record.sample_rate)
            for anchor in self.anchors(session)[-100:]:
                self._clocks[session].add(anchor)
        return self._clocks[session]
