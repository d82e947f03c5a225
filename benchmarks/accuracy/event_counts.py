"""Hits, reference events and detections by clip and label: what event-F1 is made of, and how far chance moves it.

The hits are those of `train.measuring.evaluate.event_f1`, counted clip by clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from edge_app.core.events import Event
from train.measuring.evaluate import EventsByFile
from train.measuring.matching import Intervals, matched, pairs_in_reach, reference_intervals

RESAMPLES, SPREAD = 1000, (5, 95)


@dataclass(frozen=True)
class EventCounts:
    """Counts of shape (clip, label), and which reference events were found."""

    hits: Int[np.ndarray, "clip label"]
    reference: Int[np.ndarray, "clip label"]
    detections: Int[np.ndarray, "clip label"]
    found: tuple[tuple[bool, ...], ...]
    """For each clip, whether each merged reference event was found; sorted by onset, then label."""

    def of_clips(self, clips: Sequence[int]) -> "EventCounts":
        """Those of some clips only."""
        rows = np.array(clips, np.int64)
        found = tuple(self.found[clip] for clip in clips)
        return EventCounts(self.hits[rows], self.reference[rows], self.detections[rows], found)

    @property
    def macro(self) -> float | None:
        """Mean F1 of the labels that have reference events; None without any."""
        return _macro(*(count.sum(axis=0)[None] for count in self._counts))[0]

    @property
    def micro(self) -> float | None:
        """F1 of all labels together; None without reference events."""
        if not self.reference.sum():
            return None
        return float(2 * self.hits.sum() / (self.reference.sum() + self.detections.sum()))

    @property
    def false_detections(self) -> int:
        """Detections that match no reference event."""
        return int(self.detections.sum() - self.hits.sum())

    def macro_spread(self, seed: int = 0) -> tuple[float, float] | None:
        """5th and 95th percentile of the macro F1 of as many clips drawn with repetition; None without events.

        1000 draws, of that seed: a bootstrap over clips (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).
        """
        n_clips = len(self.reference)
        draws = np.random.default_rng(seed).multinomial(n_clips, np.full(n_clips, 1 / n_clips), RESAMPLES)
        drawn = [macro for macro in _macro(*(draws @ count for count in self._counts)) if macro is not None]
        if not drawn:
            return None
        low, high = np.percentile(drawn, SPREAD)
        return float(low), float(high)

    @property
    def _counts(self) -> tuple[Int[np.ndarray, "clip label"], ...]:
        return self.hits, self.reference, self.detections


def count_events(reference: EventsByFile, estimate: EventsByFile, event_labels: Sequence[str]) -> EventCounts:
    """Match the detections of every clip of the reference with its events, label by label."""
    files = list(reference)
    shape = (len(files), len(event_labels))
    hits, truths, detections = (np.zeros(shape, np.int64) for _ in range(3))
    found: list[list[tuple[float, str, bool]]] = [[] for _ in files]
    for column, label in enumerate(event_labels):
        truth = reference_intervals(files, reference, label)
        heard = _intervals([estimate[filename] for filename in files], label)
        was_found = np.zeros(len(truth.clip), bool)
        was_found[matched(pairs_in_reach(truth, heard))] = True
        hits[:, column] = np.bincount(truth.clip[was_found], minlength=len(files))
        truths[:, column] = np.bincount(truth.clip, minlength=len(files))
        detections[:, column] = np.bincount(heard.clip, minlength=len(files))
        _note(found, truth, label, was_found)
    return EventCounts(hits, truths, detections, tuple(_in_order(clip) for clip in found))


def _note(
    found: list[list[tuple[float, str, bool]]],
    truth: Intervals,
    label: str,
    was_found: Bool[np.ndarray, " event"],
) -> None:
    for clip, onset, is_hit in zip(truth.clip, truth.onset, was_found, strict=True):
        found[clip].append((float(onset), label, bool(is_hit)))


def _in_order(clip: list[tuple[float, str, bool]]) -> tuple[bool, ...]:
    return tuple(is_hit for _, _, is_hit in sorted(clip))


def _intervals(clips: Sequence[Sequence[Event]], label: str) -> Intervals:
    rows = sorted(
        (clip, round(event.onset, 3), round(event.offset, 3))
        for clip, events in enumerate(clips)
        for event in events
        if event.event_label == label
    )
    table = np.array(rows, np.float64).reshape(-1, 3)
    return Intervals(table[:, 0].astype(np.int64), table[:, 1], table[:, 2])


def _macro(
    hits: Float[np.ndarray, "draw label"],
    reference: Float[np.ndarray, "draw label"],
    detections: Float[np.ndarray, "draw label"],
) -> list[float | None]:
    """Macro F1 of each row of counts."""
    heard = reference > 0
    f1 = np.where(heard, 2 * hits / np.maximum(reference + detections, 1), 0)
    n_heard = heard.sum(axis=1)
    return [
        float(total / n) if n else None for total, n in zip(f1.sum(axis=1), n_heard.tolist(), strict=True)
    ]
