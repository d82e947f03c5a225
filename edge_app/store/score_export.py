"""Frame scores of sessions for an export: read from the store as they are written, a few minutes at a time."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from edge_app.core.events import FRAME_S
from edge_app.formats.exchange import ExportScores
from edge_app.store.database import Store
from edge_app.store.records import ScoreBlock, SessionRecord
from edge_app.store.schema import StoreError

PAGE_FRAMES = 30_000
"""Frames that are read at once: 10 minutes."""


def session_scores(
    store: Store, sessions: Iterable[SessionRecord], names: Mapping[int, str]
) -> dict[str, ExportScores]:
    """The scores of each session that has some, by the session's name. They are read when they are written."""
    found = {}
    for session in sessions:
        first = next(_blocks(store, session), None)
        if first is not None:
            found[names[session.id]] = _scores(store, session, first.event_labels)
    return found


def _scores(store: Store, session: SessionRecord, event_labels: tuple[str, ...]) -> ExportScores:
    path = store.path
    last = store.score_blocks(session.id, max(0, _n_frames(session) - 1))
    n_frames = max([_n_frames(session), *(block.end_frame for block in last)])

    def stretches() -> Iterator[tuple[int, NDArray[np.float32]]]:
        with Store(path) as opened:
            for block in _blocks(opened, session):
                if block.event_labels != event_labels:
                    raise StoreError(
                        f"{path}: session {session.id}, frame {block.first_frame}: expected scores of "
                        f"{list(event_labels)}, found those of {list(block.event_labels)}"
                    )
                if block.first_frame < n_frames:  # the session may go on while its scores are written
                    yield block.first_frame, block.as_float()[: n_frames - block.first_frame]

    return ExportScores(event_labels, n_frames, stretches)


def _blocks(store: Store, session: SessionRecord) -> Iterator[ScoreBlock]:
    """The blocks of a session in order of time."""
    end = 0
    for first_frame in range(0, _n_frames(session) + PAGE_FRAMES, PAGE_FRAMES):
        for block in store.score_blocks(session.id, first_frame, first_frame + PAGE_FRAMES):
            if block.first_frame >= end:  # a block may touch two pages
                end = block.end_frame
                yield block


def _n_frames(session: SessionRecord) -> int:
    return session.end_sample // round(FRAME_S * session.sample_rate)
