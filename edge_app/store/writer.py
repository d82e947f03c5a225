"""Writes a live session to the store in a thread of its own, so that a slow or full disk holds nothing up."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import SedgeError
from edge_app.store.backlog import Backlog
from edge_app.store.clips import ClipKeeper
from edge_app.store.database import Store
from edge_app.store.news import EventTold, Told, is_event
from edge_app.store.records import SessionFacts
from edge_app.store.schema import StoreError
from edge_app.store.score_blocks import BlockBuilder, FrameScores

CAPACITY = 20_000
"""Events and gaps that may wait for the disk: hours of a busy room, a few megabytes."""
SPARE_CAPACITY = 500
"""Score blocks, anchors and updates that may wait: 10 MB at most."""
COMMIT_S = 5.0
"""At most this long what is not urgent waits to be written, in seconds."""
CLIP_S = 0.5
"""How often to look whether the sound after an event is there, in seconds."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each new attempt after a failed one; the last for all further ones."""
ANCHOR_S = 10.0
"""Clock anchors closer together than this are left out, in seconds."""
BATCH = 500
"""Items that are committed together."""
CLOSE_S = 15.0
KEPT_IDS = 1000
"""Newest events whose ids can be asked for: more than a window lists of a run."""


@dataclass(frozen=True, slots=True)
class _Item:
    write: Callable[[Store, int], object]
    news: Told | None = None


def _writing_scores(block: FrameScores) -> Callable[[Store, int], None]:
    return lambda store, session: store.scores(session, block.first_frame, block.event_labels, block.scores)


def _write_nothing(store: Store, session: int) -> None:
    del store, session


class StoreWriter:
    """One session's way to the disk: `begin`, then news, anchors and scores from any thread, then `close`.

    Nothing here waits for the disk or raises its errors: `problem` says what is wrong, and what could not be
    written is tried again. Where more waits than fits, the oldest scores, anchors and updates are given up.
    """

    def __init__(
        self,
        path: str | Path,
        keeper: ClipKeeper | None = None,
        capacity: int = CAPACITY,
        spare_capacity: int = SPARE_CAPACITY,
    ) -> None:
        self.path = Path(path)
        self._keeper = keeper
        self._backlog: Backlog[_Item] = Backlog(capacity, spare_capacity)
        self._blocks = BlockBuilder()
        self._next_anchor = 0
        self._sample_rate = 0
        self._session: int | None = None
        self._problem: str | None = None
        self._clip_problem: str | None = None
        self._loss: str | None = None  # known at the end
        self._event_ids: dict[int, int] = {}
        self._unwritable = 0
        self._failures = 0
        self._thread: threading.Thread | None = None

    @property
    def session(self) -> int | None:
        """Id of the session in the store; None until it is written there."""
        return self._session

    @property
    def problem(self) -> str | None:
        """What keeps the session from being written, as a sentence; None while all is well."""
        return self._loss or self._problem or self._clip_problem

    @property
    def waiting(self) -> int:
        """Items that are not on the disk yet."""
        return len(self._backlog)

    @property
    def max_depth(self) -> int:
        """Most items that ever waited."""
        return self._backlog.max_depth

    @property
    def dropped(self) -> int:
        """Items given up: no room was left for them, or the database refused them."""
        return self._backlog.dropped + self._unwritable

    def begin(self, facts: SessionFacts) -> None:
        """Begin the session; once."""
        if self._thread:
            raise ValueError("begin: expected one session, found a second")
        self._sample_rate = facts.sample_rate
        self._backlog.put(_Item(_write_nothing), lasting=True)  # so that `flush` waits for the session itself
        self._thread = threading.Thread(target=self._run, args=[facts], name="sedge-store", daemon=True)
        self._thread.start()

    def take(self, news: Told) -> None:
        """Keep news; a confirmed or closed event, a gap and the summary are written at once."""
        if news.type == "provisional":
            return
        if news.type == "closed":  # its mean is of scores that are written
            self._put_blocks(self._blocks.flush())
        lasting = news.type != "update"
        self._backlog.put(
            _Item(lambda store, session: store.take(session, news), news), lasting, urgent=lasting
        )

    def anchor(self, sample: int, mono_ns: int, utc_ns: int) -> None:
        """Keep what time it was at a sample, at most once in `ANCHOR_S`."""
        if sample >= self._next_anchor:
            self._next_anchor = sample + round(ANCHOR_S * self._sample_rate)
            self._backlog.put(
                _Item(lambda store, session: store.anchor(session, sample, mono_ns, utc_ns)), lasting=False
            )

    def scores(self, first_frame: int, event_labels: Sequence[str], scores: NDArray[np.float32]) -> None:
        """Keep frame scores in 0...1, shape (frame, label), from an absolute frame on."""
        self._put_blocks(self._blocks.push(FrameScores(first_frame, tuple(event_labels), scores)))

    def mark(self, sample: int, note: str = "") -> None:
        """Keep a mark of the user's."""
        self._put_lasting(lambda store, session: store.mark(session, sample, note))

    def change_decoding(self, first_frame: int, settings_json: str) -> None:
        """Keep settings of the decoder that hold from a frame on."""
        self._put_lasting(lambda store, session: store.change_decoding(session, first_frame, settings_json))

    def recording(self, path: Path) -> None:
        """Keep where the sound of the session lies."""
        self._put_lasting(lambda store, session: store.set_recording(session, path))

    def event_id(self, number: int) -> int | None:
        """Id in the store of an event that is confirmed or closed, by its number; None until it is written."""
        return self._event_ids.get(number)

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all that was given is written; False where that fails or takes longer."""
        self._put_blocks(self._blocks.flush())
        return self._backlog.wait_empty(timeout_s)

    def close(self, timeout_s: float = CLOSE_S) -> str | None:
        """End the session and the thread; gives a sentence where something could not be written."""
        if self._thread is None:
            return None
        self._put_blocks(self._blocks.flush())
        self._backlog.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive() or self.waiting:
            cause = self._problem or f"{self.path}: cannot be written in time"
            self._loss = f"{cause}; {self.waiting} items of this session are lost"
        elif self.dropped:
            self._loss = f"{self.path}: items of this session that could not be kept: {self.dropped}"
        return self.problem

    def _put_blocks(self, blocks: list[FrameScores]) -> None:
        for block in blocks:
            self._backlog.put(_Item(_writing_scores(block)), lasting=False)

    def _put_lasting(self, write: Callable[[Store, int], object]) -> None:
        self._backlog.put(_Item(write), lasting=True, urgent=True)

    def _run(self, facts: SessionFacts) -> None:
        store: Store | None = None
        try:
            while True:
                last = self._backlog.closing
                try:
                    store = store or self._open(facts)
                    self._attend(store, last)
                    self._problem, self._failures = None, 0
                except Exception as error:
                    self._fail(error)
                if last:
                    return
                self._rest()
        finally:
            if store:
                store.close()

    def _open(self, facts: SessionFacts) -> Store:
        store = Store(self.path)
        try:
            self._session = store.begin_session(facts)
        except BaseException:
            store.close()
            raise
        return store

    def _fail(self, error: Exception) -> None:
        # Whatever it is, the session goes on: an error that is no sentence yet becomes one.
        is_sentence = isinstance(error, SedgeError)
        self._problem = str(error) if is_sentence else f"{self.path}: cannot be written ({error!r})"
        self._failures += 1
        self._backlog.fail()

    def _rest(self) -> None:
        """Wait for work; after a failure, longer each time."""
        if self._failures:
            self._backlog.wait(RETRY_S[min(self._failures, len(RETRY_S)) - 1], for_urgent=False)
        else:
            self._backlog.wait(CLIP_S if self._keeper and self._keeper.waiting else COMMIT_S)

    def _attend(self, store: Store, last: bool) -> None:
        """Write what waits and cut the clips that are due; at last, end the session."""
        assert self._session is not None
        if not self.path.exists():  # where open files can be removed, writing would go on into nothing
            raise StoreError(f"{self.path}: expected the database of this session, found it gone")
        while batch := self._backlog.take(BATCH):
            self._write(store, self._session, batch)
            for item in batch:
                if item.news and is_event(item.news):
                    self._note(store, self._session, item.news)
            self._problem, self._failures = None, 0
            self._backlog.done(len(batch))
        self._cut_clips(store, self._session, last)
        if last:
            store.end_session(self._session)

    def _note(self, store: Store, session: int, news: EventTold) -> None:
        """An event is written: its clip may be wanted, and its id."""
        if self._keeper:
            self._keeper.take(news)
        if news.type in ("confirmed", "closed") and news.id not in self._event_ids:
            with suppress(SedgeError):  # it is written all the same
                if (found := store.event_id(session, news.id)) is not None:
                    self._event_ids[news.id] = found
            while len(self._event_ids) > KEPT_IDS:
                del self._event_ids[next(iter(self._event_ids))]

    def _write(self, store: Store, session: int, batch: list[_Item]) -> None:
        try:
            with store.together():
                for item in batch:
                    item.write(store, session)
        except SedgeError:
            raise
        except Exception:
            # One of them can never be written: the others must not wait for it.
            if len(batch) == 1:
                self._unwritable += 1
                return
            for item in batch:
                self._write(store, session, [item])

    def _cut_clips(self, store: Store, session: int, at_end: bool) -> None:
        if not self._keeper:
            return
        saved, problems = self._keeper.cut(store.clip_folder, session, at_end)
        if saved or problems:
            self._clip_problem = problems[-1] if problems else None
        for number, clip in saved:
            store.set_clip(session, number, clip.path, clip.start)
