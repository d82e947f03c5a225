"""The sound of a session that has ended: its own recording, or the file that it listened to."""

import json
import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import Recording
from edge_app.core.errors import AudioError
from edge_app.store.records import GapRecord, SessionRecord
from edge_app.store.schema import NotKeptError
from edge_app.stream.ring import Block, Missing, MissingKind


@dataclass(frozen=True)
class SessionSound:
    """What a session heard, at the rate of its file."""

    path: Path
    sample_rate: int
    end: int | None
    """Sample of the file after the last one heard; None for all of it."""
    is_cut: bool
    """Whether the program ended in the middle of writing it."""

    def blocks(self) -> Generator[NDArray[np.float32], None, None]:
        """The samples in blocks of a second, shape (sample,). Raises AudioError where the file is damaged."""
        heard = False
        try:
            for block in Recording(self.path).blocks():
                heard = True
                yield block
        except AudioError:
            if not (self.is_cut and heard):
                raise


def session_sound(session: SessionRecord) -> SessionSound:
    """Where the sound of a session is found.

    Raises NotKeptError where none was kept and where it is another file by now, AudioError where it cannot be read.
    """
    if session.recording is not None and session.recording.is_file():
        rate = Recording(session.recording).sample_rate
        return SessionSound(session.recording, rate, None, session.recovered)
    path = _file_heard(session)
    rate = Recording(path).sample_rate
    exact = session.end_sample * rate / session.sample_rate
    # At another rate a little more: a sample of the model more or less may not cost a whole frame.
    return SessionSound(path, rate, math.ceil(exact + (rate != session.sample_rate)), False)


def stretches(
    blocks: Iterable[NDArray[np.float32]], gaps: Sequence[Missing], end: int | None
) -> Iterator[Block | Missing]:
    """Samples up to `end`, with each gap in the place of the samples that were not heard there."""
    position, waiting = 0, list(gaps)
    for samples in blocks:
        rest = samples if end is None else samples[: max(0, end - position)]
        while len(rest) or (waiting and waiting[0].end <= position):
            if waiting and waiting[0].start <= position:
                count = min(len(rest), waiting[0].end - position)
            else:
                count = min(len(rest), waiting[0].start - position) if waiting else len(rest)
                yield Block(position, rest[:count])
            position, rest = position + max(0, count), rest[max(0, count) :]
            if waiting and waiting[0].end <= position:
                yield waiting.pop(0)
    yield from waiting


def gaps_of(gaps: Iterable[GapRecord], sample_rate: int, session_rate: int) -> list[Missing]:
    """Gaps of a session in samples of its sound; exact where that has the session's rate."""
    return [
        Missing(
            round(gap.start_sample * sample_rate / session_rate),
            math.ceil(gap.end_sample * sample_rate / session_rate),
            _kind(gap.kind),
        )
        for gap in gaps
    ]


def _kind(kind: str) -> MissingKind:
    return "skipped" if kind == "skipped" else "lost"


def _file_heard(session: SessionRecord) -> Path:
    try:
        settings = json.loads(session.settings_json)
        path, n_bytes = Path(settings["file"]), settings.get("file_bytes")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise NotKeptError(
            f"session {session.id}: expected its sound, found none: it was not recorded, or is deleted by now"
        ) from None
    if not path.is_file():
        raise NotKeptError(f"session {session.id}: expected the recording {path}, found no file")
    found = path.stat().st_size
    if found != n_bytes:
        raise NotKeptError(
            f"session {session.id}: {path}: expected {n_bytes} bytes as it was heard, found {found}"
        )
    return path
