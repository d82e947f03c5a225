"""How frame scores of windowed detection become activity: context, filter and threshold of each label.

Scores are first masked by the clip's tags, then filtered by a median with zeros outside the clip, then
compared with a threshold (strictly above).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy import ndimage

from edge_app.core.events import FRAME_S, Event, rasterise, runs
from train.measuring.matching import Intervals, matched, pairs_in_reach, reference_intervals
from train.pseudo.tagging import DEFAULT_THRESHOLD, Tuned, best_threshold

ContextScores = Mapping[int, Float32[np.ndarray, "clip frame label"]]
Metric = Literal["frame", "event"]
EVENT_THRESHOLDS = 50
"""Thresholds tried for event F1: so many evenly spread over the ranks of the scores, and so many over their range."""


@dataclass(frozen=True)
class LabelChoice:
    """Setting of one label; `f1` is what it gave where it was chosen, None where nothing could be measured."""

    context: int
    filter_frames: int
    threshold: float
    f1: float | None


def median_filter(scores: Float[np.ndarray, "clip frame"], width: int) -> Float[np.ndarray, "clip frame"]:
    """Median over `width` frames (odd) of each clip, with zeros outside it."""
    n_clips, n_frames = scores.shape
    # as one row with zeros between the clips: SciPy has a fast filter for one dimension only
    apart = np.pad(scores, ((0, 0), (0, width // 2)))
    row = ndimage.median_filter(apart.reshape(-1), width, mode="constant", cval=0.0)
    return row.reshape(n_clips, -1)[:, :n_frames]


def smooth(
    scores: Float[np.ndarray, "clip frame"], tags: Bool[np.ndarray, " clip"], width: int
) -> Float[np.ndarray, "clip frame"]:
    """One label's scores, masked by its tags and then filtered."""
    return median_filter(scores * tags[:, None].astype(scores.dtype), width)


def detect(
    scores: ContextScores, tags: Bool[np.ndarray, "clip label"], choice: Sequence[LabelChoice]
) -> Bool[np.ndarray, "clip frame label"]:
    """Activity of each label by its own choice."""
    columns = []
    for column, chosen in enumerate(choice):
        smoothed = smooth(scores[chosen.context][:, :, column], tags[:, column], chosen.filter_frames)
        columns.append(smoothed.astype(np.float64) > chosen.threshold)
    return np.stack(columns, axis=2)


def choose_detection(
    scores: ContextScores,
    tags: Bool[np.ndarray, "clip label"],
    events: Sequence[Sequence[Event]],
    event_labels: Sequence[str],
    filters: Sequence[int],
    metric: Metric = "frame",
) -> tuple[LabelChoice, ...]:
    """Context, filter and threshold with the best F1 for each label, on clips whose `events` are known.

    Of equally good ones the first in the order of contexts, then filters. A label without events gets the
    middle of both and the threshold 0.5.
    """
    return tuple(
        _choose_label({context: of[:, :, column] for context, of in scores.items()},
                      tags[:, column], events, label, filters, metric)
        for column, label in enumerate(event_labels)
    )  # fmt: skip


def _choose_label(
    scores: Mapping[int, Float32[np.ndarray, "clip frame"]],
    tags: Bool[np.ndarray, " clip"],
    events: Sequence[Sequence[Event]],
    label: str,
    filters: Sequence[int],
    metric: Metric,
) -> LabelChoice:
    contexts = list(scores)
    n_frames = scores[contexts[0]].shape[1]
    own = [[event for event in of_clip if event.event_label == label] for of_clip in events]
    if not any(own):
        middle = contexts[(len(contexts) - 1) // 2], filters[(len(filters) - 1) // 2]
        return LabelChoice(*middle, DEFAULT_THRESHOLD, None)
    truth = np.stack([rasterise(of_clip, [label], n_frames)[:, 0] for of_clip in own])
    by_file = {str(clip): of_clip for clip, of_clip in enumerate(own)}
    reference = reference_intervals(by_file, by_file, label)
    choices = []
    for context, of_context in scores.items():
        for width in filters:
            smoothed = smooth(of_context, tags, width)
            tuned = (
                best_threshold(smoothed.reshape(-1), truth.reshape(-1))
                if metric == "frame"
                else best_event_threshold(smoothed, reference)
            )
            choices.append(LabelChoice(context, width, *tuned))
    return max(choices, key=lambda choice: choice.f1 or 0.0)


def best_event_threshold(smoothed: Float[np.ndarray, "clip frame"], reference: Intervals) -> Tuned:
    """As `best_threshold`, for event-based F1 (200 ms, 20 %), on a selection of the midpoints."""
    levels = np.unique(np.append(smoothed.astype(np.float64), 0.0))
    if len(levels) == 1:
        return Tuned(DEFAULT_THRESHOLD, 0.0)
    by_rank = np.linspace(0, len(levels) - 2, EVENT_THRESHOLDS).round().astype(np.int64)
    by_value = np.searchsorted(levels, np.linspace(0, levels[-1], EVENT_THRESHOLDS + 1)[1:]) - 1
    lower = np.unique(np.concatenate([by_rank, by_value]))[::-1]
    tried = (levels[lower] + levels[lower + 1]) / 2
    f1 = np.array([_event_f1(smoothed > threshold, reference) for threshold in tried])
    best = int(f1.argmax())
    return Tuned(float(tried[best]), float(f1[best]))


def _event_f1(active: Bool[np.ndarray, "clip frame"], reference: Intervals) -> float:
    width = active.shape[1] + 1  # one silent frame keeps the clips apart
    found = runs(np.pad(active, ((0, 0), (0, 1))).reshape(-1))
    clip, first = np.divmod(found[:, 0], width)
    onset = np.round(first * FRAME_S, 3)
    offset = np.round((first + found[:, 1] - found[:, 0]) * FRAME_S, 3)
    hits = len(matched(pairs_in_reach(reference, Intervals(clip, onset, offset))))
    return 2 * hits / (len(found) + len(reference.clip))
