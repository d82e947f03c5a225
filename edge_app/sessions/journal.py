"""What is kept of a run: a session with events, gaps, marks, clock, settings, scores, clips and, if asked, sound."""

import json
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_app.core.decode import LabelDecoding
from edge_app.core.detect import Detector
from edge_app.core.hops import ScoredHop
from edge_app.sessions.facts import decoding_fields, session_facts
from edge_app.sessions.recording import Recorder, time_name
from edge_app.store.clips import ClipKeeper, ClipWishes, SavedClip, save_clip
from edge_app.store.database import Store
from edge_app.store.history import History
from edge_app.store.writer import StoreWriter
from edge_app.stream.analysis import Decoding, Listeners
from edge_app.stream.messages import News
from edge_app.stream.sources import Source


class Journal:
    """One session on its way to the store at `path`, which is made where it is not there.

    It begins with `begin`. What `listeners` and `anchor` are told comes from the inference thread; nothing but
    `begin`, `save_last` and `close` waits for the disk. Raises StoreError where the store cannot be opened; of later
    problems `notify` is told once each, and listening goes on. `decoding` and `enabled` are those of the run.
    """

    def __init__(
        self,
        path: Path,
        source: Source,
        detector: Detector,
        notify: Callable[[str], None],
        *,
        with_scores: bool = True,
        wishes: ClipWishes | None = None,
        history_s: float = 60.0,
        records_sound: bool = False,
        decoding: Mapping[str, LabelDecoding] | None = None,
        enabled: Collection[str] | None = None,
    ) -> None:
        with Store(path) as store:  # the writer opens it in a thread of its own, where nobody could be told
            self._folder = store.clip_folder
        self.path = path
        sample_rate = detector.bundle.manifest.log_mel.sample_rate
        self.history = History(sample_rate, history_s)
        """The newest sound, to play and to cut from; also after the end."""
        self.listeners = Listeners(
            on_hop=self._on_hop, on_samples=self._on_samples, on_decoding=self._on_decoding
        )
        """What the run's engine is to tell."""
        self._facts = partial(session_facts, source, detector, decoding, enabled)
        self._facts()  # a label that is not there is told now
        self._keeper = ClipKeeper(self.history, wishes or ClipWishes())
        self._writer = StoreWriter(path, self._keeper)
        self._notify = notify
        self._told: str | None = None
        self._event_labels = detector.event_labels
        self._with_scores = with_scores
        self._records_sound = records_sound
        self._recorder: Recorder | None = None
        self._clock: Callable[[], tuple[int, float]] | None = None

    @property
    def session(self) -> int | None:
        """Id of the session in the store; None until it is written there."""
        return self._writer.session

    @property
    def problem(self) -> str | None:
        """What keeps something from being written, or did to the end, as a sentence; None while all is well."""
        return self._writer.problem or (self._recorder.problem if self._recorder else None)

    def begin(self) -> None:
        """Begin the session; once."""
        self._writer.begin(self._facts())
        if self._records_sound:
            self._recorder = Recorder(self._folder, self.history.sample_rate, self._writer.recording)

    def anchor(self, sample: int, mono_ns: int, utc_ns: int) -> None:
        """Keep what time it was at a sample, on the monotonic clock and in UTC, both in nanoseconds."""
        self._writer.anchor(sample, mono_ns, utc_ns)

    def follow(self, heard: Callable[[], tuple[int, float]]) -> None:
        """Take anchors by itself, of an engine whose source is heard as it sounds; see `Engine.heard`."""
        self._clock = heard

    def take(self, news: News) -> None:
        """Keep news."""
        if news.type == "gap":
            self.history.lose(news.onset_sample, news.offset_sample)
        self._writer.take(news)
        former, self._told = self._told, self.problem
        if self._told and self._told != former:
            self._notify(self._told)

    def wish(self, wishes: ClipWishes) -> None:
        """Of which events clips are kept from now on."""
        self._keeper.wish(wishes)

    def keep_scores(self, wanted: bool) -> None:
        """Whether scores are kept from now on."""
        self._with_scores = wanted

    def mark(self, sample: int, note: str = "") -> None:
        """Keep a mark at a moment."""
        self._writer.mark(sample, note)

    def event_id(self, number: int) -> int | None:
        """Id in the store of the event that the news call so; None until it is confirmed and written."""
        return self._writer.event_id(number)

    def save_last(self, seconds: float, path: Path | None = None) -> SavedClip:
        """Write the newest sound as FLAC; beside the clips and named after the time unless a path is given.

        Raises StoreError where nothing was heard yet or the file cannot be written.
        """
        end = self.history.end
        start = max(0, end - round(seconds * self.history.sample_rate))
        return save_clip(self.history, start, end, path or self._new_path(f"{time_name()}-last"))

    def close(self) -> str:
        """End the session; gives a sentence about where it is, or about what could not be written."""
        if self._recorder:
            self._recorder.close()
        self._writer.close()
        return self.problem or f"{self.path}: keeps this as session {self.session}"

    def _new_path(self, stem: str) -> Path:
        path, number = self._folder / f"{stem}.flac", 1
        while path.exists():
            number += 1
            path = self._folder / f"{stem}-{number}.flac"
        return path

    def _on_hop(self, first_frame: int, hop: ScoredHop) -> None:
        if self._with_scores:
            self._writer.scores(first_frame, self._event_labels, hop.scores)
        if self._clock is not None:
            sample, heard_s = self._clock()
            mono_ns = round(heard_s * 1e9)
            self.anchor(sample, mono_ns, time.time_ns() - (time.monotonic_ns() - mono_ns))

    def _on_samples(self, first: int, samples: NDArray[np.float32]) -> None:
        self.history.write(first, samples)
        if self._recorder:
            self._recorder.write(first, samples)

    def _on_decoding(self, first_frame: int, decoding: Decoding) -> None:
        self._writer.change_decoding(first_frame, json.dumps(decoding_fields(decoding)))
