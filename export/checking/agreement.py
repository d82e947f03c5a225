"""Whether two runtimes hear the same events in a recording, and whether rounding excuses it where they do not.

The median filter never widens a difference, so two runtimes whose scores agree within a tolerance can only decide
differently in a frame whose filtered score lies within that tolerance of a threshold. A differing event without such
a frame in it has another cause.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import read_blocks
from edge_app.core.decode import Decoder, LabelDecoding, closed_events
from edge_app.core.detect import Detector
from edge_app.core.events import Event, frame_span


@dataclass(frozen=True)
class Heard:
    """What a runtime makes of one recording."""

    scores: NDArray[np.float32]
    """Shape (frame, label)."""
    smoothed: NDArray[np.float32]
    """After the median, shape (frame, label)."""
    events: list[Event]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A stretch in which the events of one label are not the same."""

    event_label: str
    onset: float
    offset: float
    excused: bool
    """Whether a filtered score of the reference lies within the tolerance of a threshold there."""

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.event_label} {self.onset:.2f} - {self.offset:.2f} s"


def hear(detector: Detector, recording: Path) -> Heard:
    """Scores and events of a recording. Raises AudioError where it cannot be read."""
    labels, manifest = detector.event_labels, detector.bundle.manifest
    pieces = list(detector.scores(read_blocks(recording, manifest.log_mel.sample_rate)))
    return heard(np.concatenate([np.empty((0, len(labels)), np.float32), *pieces]), labels, manifest.decoding)


def heard(
    scores: NDArray[np.float32], event_labels: tuple[str, ...], decoding: Mapping[str, LabelDecoding]
) -> Heard:
    """What frame scores (frame, label) are decoded to."""
    decoder = Decoder(event_labels, decoding, keep_smoothed=True)
    events = closed_events(decoder.push(scores) + decoder.flush())
    return Heard(scores, decoder.smoothed(), events)


def disagreements(
    reference: Heard,
    found: Heard,
    event_labels: tuple[str, ...],
    decoding: Mapping[str, LabelDecoding],
    tolerance: float,
) -> list[Disagreement]:
    """Where the events differ, label by label, and whether the tolerance of the scores excuses it."""
    return [
        Disagreement(label, *span, is_near(reference.smoothed[:, column], decoding[label], tolerance, *span))
        for column, label in enumerate(event_labels)
        for span in _spans(_differing(reference.events, found.events, label))
    ]


def is_near(
    smoothed: NDArray[np.float32], settings: LabelDecoding, tolerance: float, onset: float, offset: float
) -> bool:
    """Whether a filtered score (frame,) from onset to offset lies within the tolerance of a threshold."""
    first, end = frame_span(onset, offset)
    thresholds = np.array([settings.threshold_on, settings.off], np.float32)
    return bool((np.abs(smoothed[first:end, None] - thresholds) <= tolerance).any())


def n_same(reference: Iterable[Event], found: Iterable[Event]) -> int:
    """Events that both have, with the same label, onset and offset."""
    return (Counter(map(_key, reference)) & Counter(map(_key, found))).total()


def _key(event: Event) -> tuple[str, float, float]:
    return event.event_label, event.onset, event.offset


def _differing(one: list[Event], other: list[Event], label: str) -> list[tuple[float, float]]:
    spans = [{(e.onset, e.offset) for e in events if e.event_label == label} for events in (one, other)]
    return sorted(spans[0] ^ spans[1])


def _spans(events: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Events (onset, offset), sorted by onset, with those that overlap or touch as one."""
    spans: list[tuple[float, float]] = []
    for onset, offset in events:
        if spans and onset <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], offset))
        else:
            spans.append((onset, offset))
    return spans
