"""Decoding tuned per label for the event-based F1 (200 ms / 20 %) on a validation set.

Macro F1 is a mean over labels, so each label is searched by itself, over its whole grid. Only sums over
groups of clips are kept, which lets one search serve both halves of a set and the whole of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import ndimage

from edge_app.core.decode import LabelDecoding, StreamingMedian, decode
from edge_app.core.errors import SedgeError
from train.measuring.evaluate import (
    EventsByFile,
    FrameScores,
    check_files,
    check_labels_known,
    event_f1,
    psds,
)
from train.measuring.matching import (
    ClipRow,
    hysteresis,
    matched,
    merge_gaps,
    pairs_in_reach,
    reference_intervals,
)

Place = tuple[int, int, int, int, int]
Objective = Float[np.ndarray, "median threshold off min_off min_on"]
Decoding = dict[str, LabelDecoding]
ORDERED_AXES = (0, 1, 3, 4)
"""Axes of the objective on which neighbours are alike."""


@dataclass(frozen=True)
class Grid:
    """The settings that are tried.

    The median is at most 2 s wide, since a live event waits for half of it. Thresholds begin at 0.2: for a label
    that is hardly told apart, a lower one may gain a hit in a short set, and gives false alarms all day.
    """

    median_frames: tuple[int, ...] = (1, 3, 5, 7, 9, 11, 15, 19, 23, 27, 33, 39, 45, 53, 63, 73, 85, 101)
    threshold_on: tuple[float, ...] = tuple(float(t) for t in np.round(np.linspace(0.2, 0.95, 21), 4))
    off_below: tuple[float | None, ...] = (None, 0.0, 0.3)
    """How far `threshold_off` lies under `threshold_on`; None is the decoder's own rule."""
    min_off_s: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
    min_on_s: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8)

    @property
    def shape(self) -> Place:
        """Number of values along each axis."""
        off, ends = len(self.off_below), (len(self.min_off_s), len(self.min_on_s))
        return (len(self.median_frames), len(self.threshold_on), off, *ends)

    @property
    def margin_frames(self) -> int:
        """Silence that keeps clips apart whatever the setting."""
        return max(*self.median_frames, *self.min_off_frames) + 1

    @property
    def min_off_frames(self) -> tuple[int, ...]:
        """`min_off_s` as the decoder counts it."""
        return tuple(LabelDecoding(min_off_s=seconds).min_off_frames for seconds in self.min_off_s)

    @property
    def min_on_frames(self) -> tuple[int, ...]:
        """`min_on_s` as the decoder counts it."""
        return tuple(LabelDecoding(min_on_s=seconds).min_on_frames for seconds in self.min_on_s)

    def decoding(self, place: Place) -> LabelDecoding:
        """The settings at indices (median, threshold, off, min_off, min_on)."""
        median, threshold, off, min_off, min_on = place
        below, threshold_on = self.off_below[off], self.threshold_on[threshold]
        return LabelDecoding(
            threshold_on=threshold_on,
            threshold_off=None if below is None else max(round(threshold_on - below, 4), 0.01),
            median_frames=self.median_frames[median],
            min_off_s=self.min_off_s[min_off],
            min_on_s=self.min_on_s[min_on],
        )


REPORT_GRID = Grid(off_below=(None,), min_off_s=(0.0, 0.2, 0.5, 1.0), min_on_s=(0.0, 0.2))
"""For figures of many systems: a fifth of the time of the whole grid (2 s for 200 clips and 8 labels).

On the half that was not tuned on, event-F1 was 1.4 points higher on real scores and 2 to 3 lower on three simulated
sets: with some tens of events a label, much of what the other settings gain is luck. PSDS was mostly higher.
"""


@dataclass(frozen=True)
class Selection:
    """How the best settings are told from lucky ones.

    Some tens of events a label leave its F1 with a standard error of several points, so a single peak of the
    grid is mostly chance. The objective is averaged over neighbouring medians, thresholds and minimum lengths
    (weights 1 2 1, `smoothing_passes` times), and of the connected medians and thresholds around the best that
    come within `plateau_margin` of it the most central is taken. On simulated scores this gains a point of F1
    on the half that was not tuned on; more passes and other margins make no difference.
    """

    smoothing_passes: int = 1
    plateau_margin: float = 0.01


@dataclass(frozen=True)
class LabelCounts:
    """Correct and all detections of one label for every setting, and its reference events."""

    hits: Int[np.ndarray, "group median threshold off min_off min_on"]
    estimates: Int[np.ndarray, "group median threshold off min_off min_on"]
    references: Int[np.ndarray, " group"]

    def f1(self, groups: Sequence[int]) -> Objective:
        """Event-based F1 of every setting on some groups of clips together."""
        chosen = list(groups)
        events = self.estimates[chosen].sum(axis=0) + self.references[chosen].sum()
        return 2.0 * self.hits[chosen].sum(axis=0) / np.maximum(events, 1)


@dataclass(frozen=True)
class CrossTuned:
    """Each half scored with the decoding tuned on the other; figures are means over the two."""

    event_f1_macro: float
    event_f1_micro: float
    psds1: float
    psds2: float
    per_label: dict[str, float | None]
    decodings: tuple[Decoding, Decoding]
    """Tuned on the first half (`a_`) and on the second (`b_`)."""


def tune(
    scores: FrameScores,
    reference: EventsByFile,
    event_labels: Sequence[str],
    grid: Grid | None = None,
    selection: Selection | None = None,
) -> Decoding:
    """Decoding per label with the best event-based F1 on these clips.

    A label without reference events keeps the default. Raises SedgeError where scores and reference cover
    different files or a label is unknown.
    """
    return tune_groups(scores, reference, event_labels, [0] * len(scores), [[0]], grid, selection)[0]


def tune_groups(
    scores: FrameScores,
    reference: EventsByFile,
    event_labels: Sequence[str],
    groups: Sequence[int],
    unions: Sequence[Sequence[int]],
    grid: Grid | None = None,
    selection: Selection | None = None,
) -> list[Decoding]:
    """Decodings tuned on several unions of groups of clips, by one search.

    `groups` numbers the clips' groups from 0, in the order of `scores`. Raises SedgeError as `tune` does.
    """
    check_files("frame scores", scores, reference)
    check_labels_known("reference", reference, event_labels)
    grid, selection = grid or Grid(), selection or Selection()
    tuned: list[Decoding] = [{} for _ in unions]
    for label in event_labels:
        counts = count_label(scores, reference, event_labels, label, groups, grid)
        for decoding, union in zip(tuned, unions, strict=True):
            heard = counts.references[list(union)].sum() > 0
            decoding[label] = grid.decoding(choose(counts.f1(union), selection)) if heard else LabelDecoding()
    return tuned


def count_label(
    scores: FrameScores,
    reference: EventsByFile,
    event_labels: Sequence[str],
    label: str,
    groups: Sequence[int],
    grid: Grid,
) -> LabelCounts:
    """Count one label's hits and detections for every setting of the grid, summed by group of clips."""
    row = ClipRow(scores, grid.margin_frames)
    truth, column = reference_intervals(scores, reference, label), list(event_labels).index(label)
    of_clip, n_groups = np.asarray(groups, np.int64), max(groups) + 1
    hits, estimates = (np.zeros((n_groups, *grid.shape), np.int32) for _ in range(2))
    for median, width in enumerate(grid.median_frames):
        smoothed = row.smoothed(column, width)
        for (threshold, off, min_off), runs in _merged_runs(smoothed, median, grid):
            found = row.intervals(runs)
            pairs = pairs_in_reach(truth, found)
            length = runs[:, 1] - runs[:, 0]
            for min_on, frames in enumerate(grid.min_on_frames):
                at = (slice(None), median, threshold, off, min_off, min_on)
                kept = length >= frames
                hit = matched(pairs[kept[pairs[:, 1]]])
                estimates[at] = np.bincount(of_clip[found.clip[kept]], minlength=n_groups)
                hits[at] = np.bincount(of_clip[truth.clip[hit]], minlength=n_groups)
    return LabelCounts(hits, estimates, np.bincount(of_clip[truth.clip], minlength=n_groups))


def choose(f1: Objective, selection: Selection) -> Place:
    """Indices of the setting to take: central on the plateau of the smoothed objective."""
    smooth = f1
    for axis in ORDERED_AXES * selection.smoothing_passes:
        smooth = ndimage.convolve1d(smooth, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
    median, threshold, *ends = (int(i) for i in np.unravel_index(int(smooth.argmax()), smooth.shape))
    surface = smooth[:, :, ends[0], ends[1], ends[2]]
    regions, _ = ndimage.label(surface >= surface[median, threshold] - selection.plateau_margin)
    plateau = np.argwhere(regions == regions[median, threshold])
    centre = plateau[int(((plateau - plateau.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    return (int(centre[0]), int(centre[1]), ends[0], ends[1], ends[2])


def halves_of(files: Iterable[str]) -> list[int]:
    """0 for files whose base name begins with `a_`, 1 for `b_`. Raises SedgeError for others or an empty half."""
    starts = [filename.rsplit("/", 1)[-1][:2] for filename in files]
    if set(starts) != {"a_", "b_"}:
        raise SedgeError(
            f"validation set: expected names in two halves, a_... and b_..., found {sorted(set(starts))}"
        )
    return [int(start == "b_") for start in starts]


def decode_all(
    scores: FrameScores, event_labels: Sequence[str], decoding: Mapping[str, LabelDecoding]
) -> EventsByFile:
    """Events of every clip."""
    return {filename: decode(clip, event_labels, decoding) for filename, clip in scores.items()}


def smooth_all(
    scores: FrameScores, event_labels: Sequence[str], decoding: Mapping[str, LabelDecoding]
) -> FrameScores:
    """Scores after each label's median filter: what PSDS is taken of."""
    widths = [decoding[label].median_frames for label in event_labels]
    return {filename: _smooth(clip, widths) for filename, clip in scores.items()}


def cross_tuned(
    scores: FrameScores,
    reference: EventsByFile,
    durations: Mapping[str, float],
    event_labels: Sequence[str],
    grid: Grid | None = None,
    selection: Selection | None = None,
) -> CrossTuned:
    """Tune on the files of half `a_`, score on `b_`, and the other way; PSDS with the tuned medians.

    Raises SedgeError as `tune` does, and where a file belongs to neither half.
    """
    halves = halves_of(scores)
    tuned = tune_groups(scores, reference, event_labels, halves, [[0], [1]], grid, selection)
    return score_halves(scores, reference, durations, event_labels, (tuned[0], tuned[1]))


def score_halves(
    scores: FrameScores,
    reference: EventsByFile,
    durations: Mapping[str, float],
    event_labels: Sequence[str],
    decodings: tuple[Decoding, Decoding],
) -> CrossTuned:
    """Score each half with the decoding of the other; `decodings` are those tuned on `a_` and on `b_`."""
    halves = dict(zip(scores, halves_of(scores), strict=True))
    f1s, areas = [], []
    for half, decoding in enumerate(reversed(decodings)):
        clips = {filename: clip for filename, clip in scores.items() if halves[filename] == half}
        truth = {filename: reference[filename] for filename in clips}
        lengths = {filename: durations[filename] for filename in clips}
        f1s.append(event_f1(truth, decode_all(clips, event_labels, decoding), event_labels))
        areas.append(psds(smooth_all(clips, event_labels, decoding), truth, lengths, event_labels))
    return CrossTuned(
        _mean([f1.macro for f1 in f1s]) or 0.0,
        _mean([f1.micro for f1 in f1s]) or 0.0,
        _mean([area.psds1 for area in areas]) or 0.0,
        _mean([area.psds2 for area in areas]) or 0.0,
        {label: _mean([f1.per_label[label] for f1 in f1s]) for label in event_labels},
        decodings,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of the figures that exist: a half without a label's events has none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _smooth(
    clip: Float32[np.ndarray, "frame label"], widths: Sequence[int]
) -> Float32[np.ndarray, "frame label"]:
    columns = []
    for scores, width in zip(clip.T, widths, strict=True):
        median = StreamingMedian(width)
        columns.append(np.concatenate([median.push(scores), median.flush()]))
    return np.stack(columns, axis=1)


def _merged_runs(
    smoothed: Float32[np.ndarray, " frame"], median: int, grid: Grid
) -> Iterator[tuple[tuple[int, int, int], Int[np.ndarray, "run 2"]]]:
    """Indices (threshold, off, min_off) and the runs that they give."""
    for threshold, off in np.ndindex(len(grid.threshold_on), len(grid.off_below)):
        settings = grid.decoding((median, threshold, off, 0, 0))
        runs = hysteresis(smoothed, settings.threshold_on, settings.off)
        for min_off, frames in enumerate(grid.min_off_frames):
            yield (threshold, off, min_off), merge_gaps(runs, frames)
