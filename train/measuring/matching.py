"""Events of one label over many clips as arrays: from scores, and matched with a reference.

The counts equal those of the decoder followed by sed_eval, clip by clip; only the speed differs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import ndimage

from edge_app.core.events import FRAME_S
from train.measuring.evaluate import COLLAR_S, OFFSET_SHARE, EventsByFile, FrameScores, merged

_CLIP_STRIDE_S = 1e6  # longer than any clip: keeps clips apart on one time axis
_SLACK_S = 0.001  # the search takes in a little more, the comparison decides


def reference_intervals(files: Iterable[str], reference: EventsByFile, label: str) -> "Intervals":
    """One label's reference events, the clips numbered in the order of `files`."""
    rows = [
        (clip, round(event.onset, 3), round(event.offset, 3))
        for clip, filename in enumerate(files)
        for event in merged(reference[filename])
        if event.event_label == label
    ]
    table = np.array(rows, np.float64).reshape(-1, 3)
    return Intervals(table[:, 0].astype(np.int64), table[:, 1], table[:, 2])


def hysteresis(
    smoothed: Float32[np.ndarray, " frame"], threshold_on: float, threshold_off: float
) -> Int[np.ndarray, "run 2"]:
    """First and last + 1 frame of every run: it begins at or above one threshold, and lasts to below the other."""
    held = np.concatenate([[False], smoothed >= threshold_off, [False]])
    edges = np.flatnonzero(held[1:] != held[:-1])
    first, end = edges[::2], edges[1::2]
    above = np.flatnonzero(smoothed >= threshold_on)
    place = np.searchsorted(above, first)
    reached = place < np.searchsorted(above, end)
    return np.stack([above[place[reached]], end[reached]], axis=1)


def merge_gaps(runs: Int[np.ndarray, "run 2"], min_off_frames: int) -> Int[np.ndarray, "merged 2"]:
    """Runs with the gaps shorter than `min_off_frames` closed."""
    if not len(runs):
        return runs
    apart = runs[1:, 0] - runs[:-1, 1] >= min_off_frames
    first = np.concatenate([[True], apart])
    last = np.concatenate([apart, [True]])
    return np.stack([runs[first, 0], runs[last, 1]], axis=1)


def pairs_in_reach(truth: "Intervals", found: "Intervals") -> Int[np.ndarray, "pair 2"]:
    """Pairs (reference, detection) that may be matched: both times within the collar."""
    centre = truth.clip * _CLIP_STRIDE_S + truth.onset
    axis = found.clip * _CLIP_STRIDE_S + found.onset
    low = np.searchsorted(axis, centre - COLLAR_S - _SLACK_S)
    n_near = np.searchsorted(axis, centre + COLLAR_S + _SLACK_S) - low
    reference = np.repeat(np.arange(len(centre)), n_near)
    nth = np.arange(len(reference)) - np.repeat(np.cumsum(n_near) - n_near, n_near)
    detection = low[reference] + nth
    reach = np.maximum(COLLAR_S, OFFSET_SHARE * (truth.offset - truth.onset))[reference]
    hit = (np.abs(truth.onset[reference] - found.onset[detection]) <= COLLAR_S) & (
        np.abs(truth.offset[reference] - found.offset[detection]) <= reach
    )
    return np.stack([reference[hit], detection[hit]], axis=1)


def matched(pairs: Int[np.ndarray, "pair 2"]) -> Int[np.ndarray, " hit"]:
    """References of a largest matching that uses each reference and each detection once."""
    reference, detection = pairs[:, 0], pairs[:, 1]
    if not (_repeats(reference) or _repeats(detection)):
        return reference
    near: dict[int, list[int]] = {}
    for event, candidate in pairs.tolist():
        near.setdefault(event, []).append(candidate)
    owner: dict[int, int] = {}
    hits = [event for event in near if _claim(event, near, owner, set())]
    return np.array(hits, np.int64)


def _repeats(values: Int[np.ndarray, " value"]) -> bool:
    ordered = np.sort(values)
    return bool((ordered[1:] == ordered[:-1]).any())


def _claim(event: int, near: Mapping[int, list[int]], owner: dict[int, int], tried: set[int]) -> bool:
    """Give `event` a detection, moving earlier events to other ones where that makes room."""
    for candidate in near[event]:
        if candidate in tried:
            continue
        tried.add(candidate)
        if candidate not in owner or _claim(owner[candidate], near, owner, tried):
            owner[candidate] = event
            return True
    return False


@dataclass(frozen=True)
class Intervals:
    """Events of one label, sorted by clip and onset; times in seconds, whole milliseconds."""

    clip: Int[np.ndarray, " event"]
    onset: Float[np.ndarray, " event"]
    offset: Float[np.ndarray, " event"]


class ClipRow:
    """Clips' scores in one long row, with silence between them: the decoder's zeros outside a signal."""

    def __init__(self, scores: FrameScores, margin: int) -> None:
        lengths = np.array([len(clip) for clip in scores.values()])
        self._clips = list(scores.values())
        self._starts = np.cumsum(lengths + margin) - lengths
        self._size = int(self._starts[-1] + lengths[-1] + margin)
        self._inside = np.zeros(self._size, bool)
        for start, length in zip(self._starts, lengths, strict=True):
            self._inside[start : start + length] = True
        self._times = np.round(FRAME_S * np.arange(lengths.max() + 1), 3)

    def smoothed(self, column: int, median_frames: int) -> Float32[np.ndarray, " frame"]:
        """One label's scores after the decoder's median filter."""
        row = np.zeros(self._size, np.float32)
        for start, clip in zip(self._starts, self._clips, strict=True):
            row[start : start + len(clip)] = clip[:, column]
        row = ndimage.median_filter(row, median_frames, mode="constant")
        return np.where(self._inside, row, np.float32(0))

    def intervals(self, runs: Int[np.ndarray, "run 2"]) -> Intervals:
        """Runs of the row as events of their clips."""
        clip = np.searchsorted(self._starts, runs[:, 0], side="right") - 1
        frames = runs - self._starts[clip][:, None]
        return Intervals(clip, self._times[frames[:, 0]], self._times[frames[:, 1]])
