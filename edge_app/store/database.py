"""The history of what was heard: sessions, events, gaps, clock anchors and scores in one SQLite file.

Any number of programs may have it open; each thread needs a Store of its own.
"""

import json
from collections.abc import Iterator, Sequence
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
from edge_app.store.reader import ALL_EVENTS, Reader
from edge_app.store.records import (
    REVIEWS,
    Anchor,
    Review,
    SessionFacts,
    to_bytes,
)
from edge_app.store.recovery import recover
from edge_app.store.retention import delete_before, shrink
from edge_app.store.schema import open_database, told, transaction
from edge_app.store.session_lock import SessionLock

__all__ = ["ALL_EVENTS", "Store"]
_PUT_EVENT = (
    "INSERT INTO event(session, number, event_label, onset_sample, offset_sample, onset_ns, peak, mean, state, cut) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(session, number) DO UPDATE SET "
    "onset_sample = excluded.onset_sample, offset_sample = excluded.offset_sample, onset_ns = excluded.onset_ns, "
    "peak = excluded.peak, mean = excluded.mean, state = excluded.state, cut = excluded.cut"
)


class Store(Reader):
    """An open database. Every method raises StoreError where the file cannot be read or written.

    Opening ends the sessions that a crash left behind; their ids are in `recovered`.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        super().__init__(open_database(path), path)
        self.recovered: list[int] = []
        self._locks: dict[int, SessionLock] = {}
        self._clocks: dict[int, SessionClock] = {}
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

    def mark(self, session: int, sample: int, note: str = "") -> int:
        """Mark a moment of a session; gives the mark's id."""
        with self.together():
            inserted = self._connection.execute(
                "INSERT INTO mark(session, sample, note) VALUES (?, ?, ?)", [session, sample, note]
            )
            self._reach(session, sample)
        return int(inserted.lastrowid or 0)

    def change_decoding(self, session: int, first_frame: int, settings_json: str) -> None:
        """Write settings of the decoder that hold from a frame on."""
        with self.together():
            self._connection.execute(
                "INSERT OR REPLACE INTO decoding_change VALUES (?, ?, ?)",
                [session, first_frame, settings_json],
            )

    def set_clip(self, session: int, number: int, path: Path, start_sample: int | None = None) -> None:
        """Note where the clip of an event lies, and which sample it begins with.

        The path is kept relative to the database where it lies below its folder.
        """
        with self.together():
            self._connection.execute(
                "UPDATE event SET clip_path = ?, clip_start_sample = ? WHERE session = ? AND number = ?",
                [self._kept(path), start_sample, session, number],
            )

    def set_recording(self, session: int, path: Path) -> None:
        """Note where the whole sound of a session lies."""
        with self.together():
            self._connection.execute(
                "UPDATE session SET recording = ? WHERE id = ?", [self._kept(path), session]
            )

    def delete_older(self, days: float) -> int:
        """Delete events, clips and scores of more than so many days ago, reviewed events excepted.

        Gives the number of events deleted. The recording of a session that began so long ago goes as a whole; a session
        without events and marks that has ended goes too.
        """
        with self._writing():
            return delete_before(self._connection, self.clip_folder, days)

    def shrink(self, most_bytes: int) -> int:
        """Delete the oldest until database, clips and recordings of ended sessions take at most `most_bytes`.

        Reviewed events are kept, whatever they take. Gives the number of events deleted.
        """
        with self._writing():
            return shrink(self._connection, self.clip_folder, most_bytes)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with told(self.path, "written"):
            yield

    def _kept(self, path: Path) -> str:
        folder = self.path.parent
        kept = path.relative_to(folder) if path.is_relative_to(folder) else path.absolute()
        return kept.as_posix()

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
