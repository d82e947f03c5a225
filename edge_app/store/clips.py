"""Recordings of single events, cut from the history with some sound before and after."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import whole_file
from edge_app.store.history import History
from edge_app.store.news import EventTold
from edge_app.store.schema import StoreError, told


@dataclass(frozen=True, slots=True)
class SavedClip:
    """Where a clip lies, and which samples [start, end) of the session it holds."""

    path: Path
    start: int
    end: int
    gaps: tuple[tuple[int, int], ...]
    """Ranges in it that were never heard; they are silent."""


def save_clip(history: History, start: int, end: int, path: str | Path) -> SavedClip:
    """Write samples [start, end), as far as the history has them, as 16-bit FLAC.

    Sample n of the session is sample n - `start` of the saved clip. Raises SedgeError where the history has
    none of them or the file cannot be written.
    """
    path = Path(path)
    first, last = max(start, history.start), min(end, history.end)
    if first >= last:
        raise StoreError(
            f"{path}: samples {start} to {end}: expected some of {history.start} to {history.end}, found none"
        )
    samples, gaps = history.read(first, last)
    # Made in memory: a failed write within the encoder would be a print by its library and no error.
    encoded = io.BytesIO()
    whole = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
    soundfile.write(encoded, whole, history.sample_rate, format="FLAC", subtype="PCM_16")
    with told(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as handle:
            handle.write(encoded.getvalue())
    return SavedClip(path, first, last, tuple(gaps))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipWishes:
    """Of which events clips are kept."""

    event_labels: frozenset[str] = frozenset()
    """None unless asked for: sound from a home is private."""
    pre_roll_s: float = 3.0
    """Sound kept before an event, in seconds."""
    post_roll_s: float = 3.0
    """Sound kept after it."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    number: int
    event_label: str
    start: int
    end: int


class ClipKeeper:
    """Cuts the clips that are wished for once the sound after the event is there."""

    def __init__(self, history: History, wishes: ClipWishes) -> None:
        self._history = history
        self._wishes = wishes
        self._waiting: list[_Wanted] = []

    @property
    def waiting(self) -> int:
        """Clips that wait for the sound after their event."""
        return len(self._waiting)

    def wish(self, wishes: ClipWishes) -> None:
        """What is kept of the events that close from now on."""
        self._wishes = wishes

    def take(self, news: EventTold) -> None:
        """Take news of an event; a closed one is cut if that is wished for."""
        if news.type != "closed" or news.event_label not in self._wishes.event_labels:
            return
        rate = self._history.sample_rate
        start = news.onset_sample - round(self._wishes.pre_roll_s * rate)
        end = news.offset_sample + round(self._wishes.post_roll_s * rate)
        self._waiting.append(_Wanted(news.id, news.event_label, max(0, start), end))

    def cut(
        self, folder: Path, session: int, at_end: bool = False
    ) -> tuple[list[tuple[int, SavedClip]], list[str]]:
        """Write the clips that are complete, or all of them; gives event numbers with clips, and what went wrong."""
        ready = [wanted for wanted in self._waiting if at_end or wanted.end <= self._history.end]
        self._waiting = [wanted for wanted in self._waiting if wanted not in ready]
        saved: list[tuple[int, SavedClip]] = []
        problems: list[str] = []
        for wanted in ready:
            path = folder / clip_name(session, wanted.number, wanted.event_label)
            try:
                saved.append((wanted.number, save_clip(self._history, wanted.start, wanted.end, path)))
            except SedgeError as error:
                problems.append(str(error))
        return saved, problems


def clip_name(session: int, number: int, event_label: str) -> str:
    """The file name of an event's clip, good on every system."""
    return f"{session:04d}-{number:06d}-{re.sub(r'[^A-Za-z0-9_-]', '_', event_label)[:60]}.flac"
