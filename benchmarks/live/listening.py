"""The live engine on a source, with a stamp of the clock at every stage of every hop and at every piece of news."""

import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_app.core.detect import Detector
from edge_app.core.hops import ScoredHop
from edge_app.stream.engine import Engine
from edge_app.stream.messages import EventNews, Summary
from edge_app.stream.sources import Source
from edge_app.stream.stamps import Stamps

TOLD = ("provisional", "confirmed")
HELD_BACK_S = 0.1  # more than a resampler keeps to itself


@dataclass(frozen=True, slots=True)
class HopStamps:
    """When a hop reached each stage, by the monotonic clock."""

    needed_sample: int
    """The sample at the model's rate after the last one that its final scores need."""
    arrived_s: float
    """When the newest block had been captured, as its samples left the resampler."""
    resampled_s: float
    featured_s: float
    scored_s: float


@dataclass(frozen=True, slots=True)
class Told:
    """The first provisional or confirmed news of an event, and when its reader had it."""

    id: int
    state: str
    event_label: str
    onset_sample: int
    told_s: float
    onset_s: float | None
    """When the sample of its onset was heard, by the monotonic clock; None where that is not known."""
    hop: HopStamps


@dataclass
class Heard:
    """What a run brought."""

    told: list[Told] = field(default_factory=list)
    closed: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    """Label, onset and offset sample of every event, by its id."""
    hops: list[HopStamps] = field(default_factory=list)
    samples: list[tuple[int, NDArray[np.float32]]] = field(default_factory=list)
    """At the model's rate, with the index of the first; kept only where they are asked for."""
    summary: Summary | None = None


class Listening:
    """One run; `keep_samples` keeps the sound, `on_first_sound` is called when the first of it has come."""

    def __init__(
        self,
        source: Source,
        detector: Detector,
        duration_s: float | None = None,
        keep_samples: bool = False,
        on_first_sound: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        manifest = detector.bundle.manifest
        self.heard = Heard()
        self.stamps = Stamps(manifest.log_mel.sample_rate)
        self._sample_rate = manifest.log_mel.sample_rate
        self._hop_length, self._margin = manifest.log_mel.hop_length, manifest.log_mel.margin
        self._context = manifest.receptive_field_frames.tag_cnn
        self._keep_samples, self._on_first_sound, self._clock = keep_samples, on_first_sound, clock
        self._engine = Engine(
            source,
            detector,
            duration_s,
            on_hop=self._on_hop,
            on_samples=self._on_samples,
            on_log_mel=self._on_log_mel,
        )
        self._arrived_s = self._resampled_s = self._featured_s = 0.0
        self._has_begun = False
        self._lock = threading.Lock()

    def run(self) -> Heard:
        """Listen to the end. Raises SedgeError where the source fails."""
        known: set[tuple[int, str]] = set()
        for news in self._engine:
            told_s = self._clock()
            if isinstance(news, Summary):
                self.heard.summary = news
            elif isinstance(news, EventNews):
                span = (news.event_label, news.onset_sample, news.offset_sample)
                if news.type == "closed":
                    self.heard.closed[news.id] = span
                elif news.type in TOLD and (news.id, news.type) not in known:
                    known.add((news.id, news.type))
                    self._tell(news, told_s)
        return self.heard

    def _tell(self, news: EventNews, told_s: float) -> None:
        """Keep news with the hop that brought it: the newest that had been scored. Not that of the sound's end."""
        with self._lock:
            index = bisect_right(self.heard.hops, told_s, key=lambda hop: hop.scored_s) - 1
            hop = self.heard.hops[index] if index >= 0 else None
        if hop is not None and hop.needed_sample > 0:
            onset_s = self.stamps.time_of(news.onset_sample)
            one = Told(news.id, news.type, news.event_label, news.onset_sample, told_s, onset_s, hop)
            self.heard.told.append(one)

    def _on_samples(self, first: int, samples: NDArray[np.float32]) -> None:
        self._resampled_s = self._clock()
        newest, heard_s = self._engine.heard
        self.stamps.heard(newest, heard_s)
        end = first + len(samples)
        # Where the ring has run ahead, the newest block is not this one: its last sample tells when it came.
        is_behind = newest - end > HELD_BACK_S * self._sample_rate
        self._arrived_s = (self.stamps.time_of(end - 1) if is_behind else None) or heard_s
        if self._keep_samples:
            self.heard.samples.append((first, samples.copy()))
        if not self._has_begun:
            self._has_begun = True
            self._on_first_sound()

    def _on_log_mel(self, first: int, log_mel: NDArray[np.float32]) -> None:
        del first, log_mel
        self._featured_s = self._clock()

    def _on_hop(self, first: int, hop: ScoredHop) -> None:
        """Stamp a hop; one without frames after it ends a stretch, and is told sooner than any other would be."""
        end = first + len(hop.scores) + self._context
        needed = end * self._hop_length + self._margin if len(hop.preview) else 0
        stamps = HopStamps(needed, self._arrived_s, self._resampled_s, self._featured_s, self._clock())
        with self._lock:
            self.heard.hops.append(stamps)
