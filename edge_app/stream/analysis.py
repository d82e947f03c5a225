"""What the inference thread does with the ring's items, without threads: blocks and gaps in, news and books out.

The clock is the absolute sample index at the model's rate. A gap ends a segment; the next one starts with
empty memory on the first frame of the same grid, and the samples before that frame are not analysed.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import MonoResampler
from edge_app.core.decode import Decoder, EventIds, LabelDecoding, Message
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S
from edge_app.core.hops import ScoredHop
from edge_app.stream.messages import EventNews, GapNews, News
from edge_app.stream.ring import Block, Missing, MissingKind

HopListener = Callable[[int, ScoredHop], None]
"""Is told the absolute index of a hop's first frame, and the hop; runs in the inference thread."""
RowListener = Callable[[int, NDArray[np.float32]], None]
"""Is told the absolute index of the first of what it is given; runs in the inference thread and must be quick."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Settings of every label, and which labels are on."""

    labels: Mapping[str, LabelDecoding]
    enabled: frozenset[str]

    def changed(self, labels: Mapping[str, LabelDecoding], enabled: Collection[str] | None) -> "Decoding":
        """With other settings for the labels named. Raises SedgeError for a label that is not there."""
        for label in (*labels, *(enabled or ())):
            if label not in self.labels:
                raise SedgeError(f"event label {label!r}: expected one of {list(self.labels)}")
        on = self.enabled if enabled is None else frozenset(enabled)
        return Decoding({**self.labels, **labels}, on)


DecodingListener = Callable[[int, Decoding], None]
"""Is told the absolute index of the first frame that is decoded by other settings than the ones before it, and them;
runs in the inference thread."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told, in the inference thread, what comes through it; each before the news that it brings."""

    on_hop: HopListener | None = None
    on_samples: RowListener | None = None
    """Given samples, shape (sample,), at the model's rate; never twice, and a gap shows in the index."""
    on_log_mel: RowListener | None = None
    """Given log-mel frames, shape (frame, mel)."""
    on_decoding: DecodingListener | None = None
    """Told where the settings change; of those at the beginning only where they are not the model's own."""


def shipped_decoding(detector: Detector) -> Decoding:
    """The model's own settings, with every label on."""
    return Decoding(detector.bundle.manifest.decoding, frozenset(detector.event_labels))


@dataclass
class Books:
    """Samples at the model's rate: what arrived, what was analysed, what never came."""

    received: int = 0
    analysed: int = 0
    gap: int = 0

    @property
    def not_analysed(self) -> int:
        """Received, but skipped or not a whole frame."""
        return self.received - self.analysed


class Segment:
    """One gapless stretch that begins at the absolute sample `position`, at the model's rate."""

    def __init__(
        self,
        detector: Detector,
        source_rate: int,
        position: int,
        ids: EventIds,
        listeners: Listeners,
        wanted: Callable[[int], Decoding],
    ) -> None:
        manifest = detector.bundle.manifest
        self.received = 0
        self._position = position
        self._hop_length = manifest.log_mel.hop_length
        self._before_grid = -position % self._hop_length  # samples until the first whole frame
        self._first_frame = (position + self._before_grid) // self._hop_length
        self._resampler = MonoResampler(source_rate, manifest.log_mel.sample_rate)
        self._features = detector.features()
        self._scorer = detector.scorer()
        self._wanted = wanted
        self._decoding = wanted(self._first_frame)
        self._decoder = Decoder(
            detector.event_labels,
            self._decoding.labels,
            self._first_frame,
            ids,
            enabled=self._decoding.enabled,
        )
        self._listeners = listeners
        self._frames_heard = 0

    @property
    def end(self) -> int:
        """Absolute sample after the last one received."""
        return self._position + self.received

    @property
    def analysed(self) -> int:
        """Samples of the frames that have final scores."""
        return self._scorer.frames_scored * self._hop_length

    @property
    def end_frame(self) -> int:
        """Absolute frame after the last one that has final scores."""
        return self._first_frame + self._scorer.frames_scored

    def push(self, samples: NDArray[np.float32]) -> list[Message]:
        """Take samples at the source's rate, shape (sample,); give the news that they bring."""
        return self._hear(self._resampler.push(samples))

    def finish(self) -> list[Message]:
        """End the stretch; what is open is closed."""
        messages = self._hear(self._resampler.flush())
        messages += self._decode(self._score(self._features.flush()) + self._scorer.finish())
        return messages + self._decoder.flush()

    def _hear(self, samples: NDArray[np.float32]) -> list[Message]:
        before_grid = min(max(0, self._before_grid - self.received), len(samples))
        first, self.received = self.end, self.received + len(samples)
        if self._listeners.on_samples and len(samples):
            self._listeners.on_samples(first, samples)
        return self._decode(self._score(self._features.push(samples[before_grid:])))

    def _score(self, log_mel: NDArray[np.float32]) -> list[ScoredHop]:
        if self._listeners.on_log_mel and len(log_mel):
            self._listeners.on_log_mel(self._first_frame + self._frames_heard, log_mel)
        self._frames_heard += len(log_mel)
        return self._scorer.push(log_mel)

    def _decode(self, hops: list[ScoredHop]) -> list[Message]:
        messages = []
        for hop in hops:
            if self._listeners.on_hop:
                self._listeners.on_hop(self._first_frame + hop.start_frame, hop)
            messages += self._follow_settings(self._first_frame + hop.start_frame)
            messages += self._decoder.push(hop.scores)
        return messages

    def _follow_settings(self, frame: int) -> list[Message]:
        """Take over the settings that are wanted now, from an absolute frame on."""
        wanted = self._wanted(frame)
        if wanted is self._decoding:
            return []
        self._decoding = wanted
        return self._decoder.change(wanted.labels, wanted.enabled)


class Analysis:
    """Turns a ring's items, in order, into news; `start` is the ring's first absolute sample.

    `decoding` is what is wanted from the next hop on; any thread may set it.
    """

    def __init__(
        self,
        detector: Detector,
        source_rate: int,
        start: int = 0,
        on_hop: HopListener | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        self._detector = detector
        self._source_rate = source_rate
        self._sample_rate = detector.bundle.manifest.log_mel.sample_rate
        self._hop_length = detector.bundle.manifest.log_mel.hop_length
        self._listeners = listeners or Listeners(on_hop)
        self.decoding = shipped_decoding(detector)
        self._followed = self.decoding
        self._ids = EventIds()
        self._segment: Segment | None = None
        self._closed = Books()
        self._position = self._model_sample(start)

    @property
    def books(self) -> Books:
        """The books so far; samples inside the resampler count once they leave it."""
        books, segment = self._closed, self._segment
        if segment is None:
            return Books(books.received, books.analysed, books.gap)
        return Books(books.received + segment.received, books.analysed + segment.analysed, books.gap)

    def take(self, item: Block | Missing) -> list[News]:
        """Take what comes next in the ring."""
        if isinstance(item, Missing):
            return self._break(item)
        if self._segment is None:
            self._segment = Segment(
                self._detector,
                self._source_rate,
                self._position,
                self._ids,
                self._listeners,
                self._decoding_from,
            )
        return [self._news(message) for message in self._segment.push(item.samples)]

    def finish(self) -> list[News]:
        """The signal has ended: close what is open."""
        return self._end_segment(by_gap=False)

    def _decoding_from(self, frame: int) -> Decoding:
        """What is wanted from an absolute frame on."""
        wanted = self.decoding
        if wanted is not self._followed:
            is_other, self._followed = wanted != self._followed, wanted
            if is_other and self._listeners.on_decoding:
                self._listeners.on_decoding(frame, wanted)
        return wanted

    def _break(self, missing: Missing) -> list[News]:
        news = self._end_segment(by_gap=True)
        onset = self._position
        # A resampler may give a sample more than the share of the time that went by: time never runs back.
        self._position = max(onset, self._model_sample(missing.end))
        if missing.kind == "lost":
            self._closed.gap += self._position - onset
        else:
            self._closed.received += self._position - onset
        return [*news, self._gap_news(onset, missing.kind)]

    def _end_segment(self, by_gap: bool) -> list[News]:
        segment, self._segment = self._segment, None
        if segment is None:
            return []
        messages = segment.finish()
        self._position = segment.end
        self._closed.received += segment.received
        self._closed.analysed += segment.analysed
        return [self._news(message, segment.end_frame if by_gap else None) for message in messages]

    def _gap_news(self, onset: int, kind: MissingKind) -> GapNews:
        end, rate = self._position, self._sample_rate
        return GapNews(round(onset / rate, 6), round(end / rate, 6), onset, end, kind)

    def _news(self, message: Message, cut_frame: int | None = None) -> EventNews:
        return EventNews(
            message.type,
            message.id,
            message.event_label,
            round(message.onset_frame * FRAME_S, 6),
            round(message.offset_frame * FRAME_S, 6),
            message.onset_frame * self._hop_length,
            message.offset_frame * self._hop_length,
            round(message.score, 6),
            cut=message.type == "closed" and message.offset_frame == cut_frame,
        )

    def _model_sample(self, source_sample: int) -> int:
        return source_sample * self._sample_rate // self._source_rate
