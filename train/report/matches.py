"""Which clips of a set show a detector at its best, its usual and its worst."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.core.events import Event
from train.measuring.evaluate import merged
from train.measuring.matching import Intervals, matched, pairs_in_reach, reference_intervals

EventsByFile = Mapping[str, Sequence[Event]]
_KINDS = ("Best", "Median", "Worst")


@dataclass(frozen=True)
class ClipMatches:
    """Events of one clip: how many are matched (200 ms, offsets 20 %), expected and detected."""

    filename: str
    hits: int
    expected: int
    detected: int

    @property
    def f1(self) -> float:
        """Event-based F1 of this clip alone."""
        return 2 * self.hits / (self.expected + self.detected)

    @property
    def errors(self) -> int:
        """Events missed and detections without an event."""
        return self.expected + self.detected - 2 * self.hits


@dataclass(frozen=True)
class Example:
    """A clip and what it is an example of."""

    kind: str
    matches: ClipMatches


def count_matches(
    reference: EventsByFile, detections: EventsByFile, event_labels: Sequence[str]
) -> list[ClipMatches]:
    """Matches in every clip that has events or detections. `detections` may leave out files without any."""
    files = list(reference)
    found = {filename: detections.get(filename, ()) for filename in files}
    hits, expected, detected = (np.zeros(len(files), np.int64) for _ in range(3))
    for label in event_labels:
        truth, estimate = _intervals(files, reference, label), _intervals(files, found, label)
        hit = matched(pairs_in_reach(truth, estimate))
        hits += np.bincount(truth.clip[hit], minlength=len(files))
        expected += np.bincount(truth.clip, minlength=len(files))
        detected += np.bincount(estimate.clip, minlength=len(files))
    counts = zip(files, hits.tolist(), expected.tolist(), detected.tolist(), strict=True)
    return [clip for clip in (ClipMatches(*count) for count in counts) if clip.expected + clip.detected]


def choose_examples(clips: Sequence[ClipMatches], each: int = 2) -> list[Example]:
    """The clips with the highest, the middle and the lowest F1, `each` of them; fewer where there are fewer clips.

    Of equal ones, more matches are better and more errors worse.
    """
    ranked = sorted(clips, key=lambda clip: (-clip.f1, -clip.hits, clip.errors, clip.filename))
    each = min(each, max(1, len(ranked) // len(_KINDS)))
    middle = max(0, (len(ranked) - each) // 2)
    places = [range(each), range(middle, middle + each), range(len(ranked) - each, len(ranked))]
    kind_of: dict[int, str] = {}
    for kind, of_kind in zip(_KINDS, places, strict=True):
        for place in of_kind:
            if 0 <= place < len(ranked):
                kind_of.setdefault(place, kind)
    return [Example(kind, ranked[place]) for place, kind in kind_of.items()]


def _intervals(files: Sequence[str], events: EventsByFile, label: str) -> Intervals:
    """One label's events, the clips numbered as in `files`, sorted as the matching needs them."""
    return reference_intervals(files, {filename: merged(events[filename]) for filename in files}, label)
