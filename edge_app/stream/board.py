"""What the screen shows, gathered from the threads of a live run and pulled as one snapshot at a time.

The inference thread writes scores, frames and samples, the reader thread writes news, and whoever paints pulls.
One lock makes every snapshot a whole; it is held to copy what changed, never to compute.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edge_app.core.decode import LabelDecoding
from edge_app.core.events import FRAME_S, runs
from edge_app.core.hops import ScoredHop
from edge_app.core.logmel import LogMelConfig
from edge_app.stream.advice import Adviser
from edge_app.stream.analysis import Decoding
from edge_app.stream.frame_ring import FrameRing
from edge_app.stream.messages import EventNews, GapNews, News, Summary
from edge_app.stream.snapshot import (
    LOG_MEL_HIGH,
    LOG_MEL_LOW,
    SILENT_DBFS,
    GapBand,
    Guess,
    ItemState,
    LaneItem,
    Level,
    Mark,
    Pulse,
    Snapshot,
)
from edge_app.stream.stamps import Stamps

VIEW_S = 600.0
"""The past that a board keeps unless told otherwise, in seconds."""
MAX_ITEMS = 5_000
"""Events, gaps and marks that a board keeps at most, each."""
HOPS_ALLOWED = (5, 10, 25, 50)
"""Steps of a live run in frames, where nothing else is said."""
NEWEST_FRAMES = 12  # of final scores that count for what is heard now
LEVEL_S = 0.1
CLIP_HOLD_S = 1.0
FULL_SCALE = 0.999
AT_ONCE = 16  # old events that one piece of news pushes out at most
NEVER = -(2**62)  # before any sample
STATES: dict[str, ItemState] = {
    "provisional": "provisional",
    "confirmed": "confirmed",
    "update": "confirmed",
    "closed": "closed",
    "withdrawn": "withdrawn",
}


class Board:
    """The newest `seconds` of a run; memory is bounded. `seconds` is at least what the longest view shows.

    `hops_allowed` are the model's steps in frames: advice under overload names the next larger one.
    """

    def __init__(
        self,
        event_labels: Sequence[str],
        sample_rate: int = 16_000,
        seconds: float = VIEW_S,
        n_mels: int = LogMelConfig.n_mels,
        hops_allowed: Sequence[int] = HOPS_ALLOWED,
    ) -> None:
        self.event_labels = tuple(event_labels)
        self.sample_rate = sample_rate
        self.hop_length = round(sample_rate * FRAME_S)
        self.stamps = Stamps(sample_rate)
        self._capacity, self._n_mels = max(1, round(seconds / FRAME_S)), n_mels
        self._keep = round(seconds * sample_rate)
        self._hops_allowed = tuple(hops_allowed)
        self._lock = threading.Lock()
        labels = dict.fromkeys(self.event_labels, LabelDecoding())
        self.attach(Pulse, Decoding(labels, frozenset(labels)), "")

    def attach(self, pulse: Callable[[], Pulse], decoding: Decoding, runtime_text: str) -> None:
        """A run begins, and the board is empty: each run counts its samples and events anew.

        `pulse` is asked at every snapshot, in the thread that takes it.
        """
        with self._lock:
            self.stamps.forget()
            self._pulse, self._decoding = pulse, decoding
            self._log_mel = FrameRing(self._capacity, self._n_mels, np.uint8, 0)
            self._scores = FrameRing(self._capacity, len(self.event_labels), np.float32, np.nan)
            self._items: dict[int, LaneItem] = {}
            self._gaps: deque[GapBand] = deque(maxlen=MAX_ITEMS)
            self._marks: deque[Mark] = deque(maxlen=MAX_ITEMS)
            self._adviser = Adviser(self.sample_rate, self._hops_allowed)
            self._newest = np.empty(0, np.float32)
            self._clipped_sample = NEVER
            # Read-only copies of what changes less often than it is shown; None where something has come.
            self._kept_scores: tuple[int, NDArray[np.float32]] | None = None
            self._kept_items: tuple[LaneItem, ...] | None = None
            self._view = self._empty_view(runtime_text)

    def snapshot(self, since_frame: int | None = None) -> Snapshot:
        """All there is to show; log-mel columns from frame `since_frame` on, or all that are kept."""
        pulse, latency = self._pulse(), self.stamps.latency
        with self._lock:
            if self._kept_items is None:
                self._kept_items = tuple(self._items.values())
            if self._kept_scores is None:
                self._kept_scores = self._scores.read()
            log_mel_first, log_mel = self._log_mel.read(since_frame)
            view, newest, clipped_sample = self._view, self._newest, self._clipped_sample
            scores_first, scores = self._kept_scores
            items, gaps, marks = self._kept_items, tuple(self._gaps), tuple(self._marks)
        return replace(
            view,
            pulse=pulse,
            latency=latency,
            level=self._level(newest, view.now_sample - clipped_sample),
            log_mel_first=log_mel_first,
            log_mel=log_mel,
            scores_first=scores_first,
            scores=scores,
            items=items,
            gaps=gaps,
            marks=marks,
        )

    def decode_by(self, decoding: Decoding) -> None:
        """Guess by these thresholds from the next hop on."""
        self._decoding = decoding

    def notify(self, message: str) -> None:
        """Say something about the source, in words."""
        with self._lock:
            self._view = replace(self._view, message=message)

    def mark(self, sample: int, note: str = "") -> None:
        """Mark the moment of an absolute sample; any thread may do so."""
        with self._lock:
            self._marks.append(Mark(sample, note))

    def tell(self, summary: Summary) -> None:
        """The books so far."""
        with self._lock:
            self._adviser.take(summary)
            self._view = replace(self._view, summary=summary, advice=self._adviser.words)

    def hear(self, first_sample: int, samples: NDArray[np.float32], mono_s: float) -> None:
        """Samples at the model's rate from the absolute `first_sample` on, shape (sample,), captured by `mono_s`."""
        end = first_sample + len(samples)
        length = round(LEVEL_S * self.sample_rate)
        newest = np.concatenate([self._newest, samples[-length:]])[-length:]
        clipped = np.flatnonzero(np.abs(samples) >= FULL_SCALE)
        with self._lock:
            self._adviser.hear(samples)
            self._newest = newest
            if len(clipped):
                self._clipped_sample = first_sample + int(clipped[-1])
            self._view = replace(self._view, now_sample=end, now_mono_s=mono_s)

    def see(self, first_frame: int, log_mel: NDArray[np.float32]) -> None:
        """Log-mel frames from the absolute `first_frame` on, shape (frame, mel)."""
        scaled = (log_mel - LOG_MEL_LOW) * (255 / (LOG_MEL_HIGH - LOG_MEL_LOW))
        columns = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        with self._lock:
            self._log_mel.write(first_frame, columns)

    def score(self, first_frame: int, hop: ScoredHop) -> None:
        """Scores of a hop that begins at the absolute `first_frame`."""
        preview_first = first_frame + len(hop.scores)
        preview = hop.preview.copy()
        preview.setflags(write=False)
        top = self._top(np.concatenate([hop.scores[-NEWEST_FRAMES:], preview]))
        with self._lock:
            self._scores.write(first_frame, hop.scores)
            self._kept_scores = None
            guesses = self._guesses(preview_first, preview)
            self._view = replace(
                self._view, preview_first=preview_first, preview=preview, guesses=guesses, top=top
            )

    def take(self, news: News) -> None:
        """News of a run, in its order."""
        if isinstance(news, Summary):
            missed_s = (news.samples_not_analysed + news.samples_gap) / news.sample_rate
            with self._lock:
                self._view = replace(self._view, summary=news, top=(), advice="", not_analysed_s=missed_s)
        elif isinstance(news, GapNews):
            self._take_gap(GapBand(news.onset_sample, news.offset_sample, news.kind))
        else:
            self._take_event(news)

    def _take_event(self, news: EventNews) -> None:
        if news.type in ("provisional", "confirmed"):
            self.stamps.told(news.id, news.event_label, news.onset_sample)
        item = LaneItem(
            news.id,
            news.event_label,
            news.onset_sample,
            news.offset_sample,
            STATES[news.type],
            news.score,
            news.cut,
        )
        with self._lock:
            self._items[news.id] = item
            self._forget(news.offset_sample - self._keep)
            self._kept_items = None

    def _take_gap(self, gap: GapBand) -> None:
        with self._lock:
            self._gaps.append(gap)
            self._forget(gap.end_sample - self._keep)
            now = max(self._view.now_sample, gap.end_sample)
            missed_s = self._view.not_analysed_s + (gap.end_sample - gap.start_sample) / self.sample_rate
            self._view = replace(self._view, now_sample=now, top=(), not_analysed_s=missed_s)

    def _forget(self, before: int) -> None:
        """Drop what ended before that sample, and the oldest where there is too much."""
        while self._gaps and self._gaps[0].end_sample < before:
            self._gaps.popleft()
        while self._marks and self._marks[0].sample < before:
            self._marks.popleft()
        # The oldest come first; those that are still open are few, one for each label.
        surplus = max(0, len(self._items) - MAX_ITEMS)
        oldest = islice(self._items.values(), surplus + len(self.event_labels) + AT_ONCE)
        finished = [item for item in oldest if item.state in ("closed", "withdrawn")]
        for number, item in enumerate(finished):
            if number < surplus or item.offset_sample < before:
                del self._items[item.id]
                self._kept_items = None

    def _guesses(self, preview_first: int, preview: NDArray[np.float32]) -> tuple[Guess, ...]:
        """From where each label's decoder has come to, which is late by half its median."""
        guesses = []
        decoding = self._decoding
        for column, label in enumerate(self.event_labels):
            if label not in decoding.enabled or not len(preview):
                continue
            settings = decoding.labels[label]
            first_frame, final = self._scores.read(preview_first - settings.median_frames // 2)
            scores = np.concatenate([final[:, column], preview[:, column]])
            for first, end in runs(scores >= settings.threshold_on).tolist():
                onset, offset = (self.hop_length * (first_frame + frame) for frame in (first, end))
                guesses.append(Guess(label, onset, offset, float(scores[first:end].max())))
        return tuple(guesses)

    def _top(self, scores: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        peaks = zip(self.event_labels, scores.max(axis=0, initial=0).tolist(), strict=True)
        on = [(label, score) for label, score in peaks if label in self._decoding.enabled]
        return tuple(sorted(on, key=lambda pair: -pair[1]))

    def _level(self, newest: NDArray[np.float32], since_clipped: int) -> Level:
        if not len(newest):
            return Level()
        peak, rms = float(np.abs(newest).max()), float(np.sqrt(np.mean(np.square(newest, dtype=np.float64))))
        return Level(_dbfs(rms), _dbfs(peak), since_clipped <= CLIP_HOLD_S * self.sample_rate)

    def _empty_view(self, runtime_text: str) -> Snapshot:
        no_scores = np.empty((0, len(self.event_labels)), np.float32)
        no_scores.setflags(write=False)
        return Snapshot(
            pulse=Pulse(),
            message="",
            runtime_text=runtime_text,
            summary=None,
            now_sample=0,
            now_mono_s=0.0,
            level=Level(),
            log_mel_first=0,
            log_mel=np.empty((0, self._n_mels), np.uint8),
            scores_first=0,
            scores=no_scores,
            preview_first=0,
            preview=no_scores,
            guesses=(),
            items=(),
            gaps=(),
            top=(),
            latency=self.stamps.latency,
        )


def _dbfs(amplitude: float) -> float:
    return max(SILENT_DBFS, 20 * float(np.log10(max(amplitude, 1e-12))))
