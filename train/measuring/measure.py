"""One system's row of figures from its frame scores, and how the decoding behind it was tuned.

PSDS is taken of the scores after each label's median filter, F1 of the decoded events. Beside the tuned row
stands, where windows are given, that of the fixed rule: medians from the events' durations and threshold 0.5.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float32

from edge_app.core.decode import LabelDecoding
from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S, Event, runs
from train.measuring.evaluate import (
    OPERATING_POINTS,
    EventsByFile,
    FrameScores,
    check_files,
    f1s,
    psds,
    psds_at_operating_points,
)
from train.measuring.figures import all_figures, mean_figures
from train.measuring.tune import (
    REPORT_GRID,
    Decoding,
    Grid,
    decode_all,
    halves_of,
    smooth_all,
    tune,
    tune_groups,
)

Measured = dict[str, Any]
"""Figures under their names in JSON, with `mode`, `tuned_on`, `decodings`, `fixed_rule` and `gates`."""
Mode = Literal["halves", "development", "reported"]
Gate = Literal["none", "half", "threshold"]
GATES: tuple[Gate, ...] = get_args(Gate)
TUNED_ON: dict[Mode, str] = {
    "halves": "each half is scored with the decoding tuned on the other, mean of both",
    "development": "tuned on the development clips",
    "reported": "tuned on the clips that it is scored on",
}
WINDOW_SHARE = 0.333
"""Of a label's mean duration: the released code of the report's authors writes a third so."""
TagsByFile = Mapping[str, Float32[np.ndarray, " label"]]


@dataclass(frozen=True)
class Truth:
    """What is known of the clips of a set."""

    reference: EventsByFile
    durations: Mapping[str, float]
    """Seconds."""


@dataclass(frozen=True)
class Part:
    """Clips that are decoded alike."""

    files: tuple[str, ...]
    tuned_on: str
    decoding: Decoding


def measure(
    scores: FrameScores,
    truth: Truth,
    event_labels: Sequence[str],
    parts: Sequence[Part],
    mode: Mode,
    windows: Mapping[str, int] | None = None,
    tags: TagsByFile | None = None,
    at_50: bool = True,
) -> Measured:
    """Figures of clips decoded as `tuned_parts` chose, means over the parts.

    `windows` adds the fixed rule, `tags` PSDS under both tag gates; without `at_50` psds_eval's figures are
    left out. Raises SedgeError where scores, reference and durations do not fit each other.
    """
    check_files("frame scores", scores, truth.reference)
    check_files("durations", truth.durations, truth.reference)
    figures = [_part_figures(scores, truth, event_labels, part, at_50) for part in parts]
    return {
        **mean_figures(figures),
        "mode": mode,
        "tuned_on": TUNED_ON[mode],
        "decodings": {part.tuned_on: _plain(part.decoding) for part in parts},
        "fixed_rule": windows and fixed_rule(scores, truth, event_labels, windows),
        "gates": None if tags is None else gate_areas(scores, tags, truth, event_labels, parts),
    }


def tuned_parts(
    scores: FrameScores,
    truth: Truth,
    event_labels: Sequence[str],
    mode: Mode,
    development: tuple[FrameScores, Truth] | None = None,
    grid: Grid = REPORT_GRID,
) -> list[Part]:
    """How the clips are decoded: by the other half's tuning, by the development set's, or by their own.

    Raises SedgeError where the files come in no halves or the development set is missing.
    """
    if mode == "halves":
        return _halves(scores, truth, event_labels, grid)
    if mode == "reported":
        source, reference = scores, truth.reference
    elif development is None:
        raise SedgeError("measure: expected scores of the development set to tune on, found none")
    else:
        source, reference = development[0], development[1].reference
    return [Part(tuple(scores), mode, tune(source, reference, event_labels, grid))]


def decode_parts(
    scores: FrameScores, event_labels: Sequence[str], parts: Sequence[Part]
) -> dict[str, Sequence[Event]]:
    """Events of every clip, each with the decoding of its part."""
    events: dict[str, Sequence[Event]] = {}
    for part in parts:
        events |= decode_all(_of(part, scores), event_labels, part.decoding)
    return {filename: events[filename] for filename in scores}


def fixed_rule(
    scores: FrameScores,
    truth: Truth,
    event_labels: Sequence[str],
    windows: Mapping[str, int],
) -> Measured:
    """Figures with nothing tuned: each label's median filter (frames) from `windows`, threshold 0.5."""
    decoding = {
        label: LabelDecoding(threshold_on=0.5, threshold_off=0.5, median_frames=windows[label])
        for label in event_labels
    }
    part = Part(tuple(scores), "durations", decoding)
    return {**_part_figures(scores, truth, event_labels, part, at_50=False), "windows": dict(windows)}


def duration_windows(durations: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Median windows (frames, odd) of a third of each label's mean duration (seconds), at least one frame.

    The rule of Lin et al.'s released code, max(1, floor(0.333 floor(mean frames))). An even window has no centre:
    here it is one frame wider. A label without events gets one frame.
    """
    windows = {}
    for label, seconds in durations.items():
        mean_frames = math.floor(fmean(seconds) / FRAME_S + 1e-6) if seconds else 0
        windows[label] = max(1, math.floor(WINDOW_SHARE * mean_frames)) | 1
    return windows


def durations_by_label(reference: EventsByFile, event_labels: Sequence[str]) -> dict[str, list[float]]:
    """Seconds that each event of each label lasts, as annotated."""
    events = [event for of_file in reference.values() for event in of_file]
    return {
        label: [event.offset - event.onset for event in events if event.event_label == label]
        for label in event_labels
    }


def gated(scores: FrameScores, tags: TagsByFile, how: Gate) -> dict[str, Float32[np.ndarray, "frame label"]]:
    """New scores under a tag gate; `scores` and `tags` stay as they are.

    "half" silences labels whose tag is below 0.5. "threshold" does so below whatever threshold the scores are
    held against: a score then counts as no more than its tag. Raises SedgeError where they cover different files.
    """
    check_files("tags", tags, scores)
    if how == "none":
        return {filename: clip.copy() for filename, clip in scores.items()}
    if how == "half":
        return {filename: clip * (tags[filename] >= 0.5) for filename, clip in scores.items()}
    return {filename: np.minimum(clip, tags[filename]) for filename, clip in scores.items()}


def gate_areas(
    scores: FrameScores, tags: TagsByFile, truth: Truth, event_labels: Sequence[str], parts: Sequence[Part]
) -> dict[str, dict[str, float]]:
    """Exact PSDS under each gate, means over the parts: a gate at 0.5 caps the recall, which PSDS 2 shows."""
    areas: dict[str, dict[str, float]] = {}
    for how in GATES:
        through = gated(scores, tags, how)
        areas[how] = mean_figures([_area(_of(part, through), truth, event_labels, part) for part in parts])
    return areas


def operating_points(
    scores: FrameScores, event_labels: Sequence[str], thresholds: Sequence[float] = OPERATING_POINTS
) -> list[EventsByFile]:
    """Detections at each threshold: the runs of frames whose score is at or above it."""
    return [
        {
            filename: [
                Event(round(first * FRAME_S, 3), round(end * FRAME_S, 3), label)
                for label, column in zip(event_labels, (clip >= threshold).T, strict=True)
                for first, end in runs(column).tolist()
            ]
            for filename, clip in scores.items()
        }
        for threshold in thresholds
    ]


def _halves(scores: FrameScores, truth: Truth, event_labels: Sequence[str], grid: Grid) -> list[Part]:
    halves = halves_of(scores)
    on_a, on_b = tune_groups(scores, truth.reference, event_labels, halves, [[0], [1]], grid)
    a, b = (tuple(f for f, of in zip(scores, halves, strict=True) if of == half) for half in (0, 1))
    return [Part(a, "b_", on_b), Part(b, "a_", on_a)]


def _part_figures(
    scores: FrameScores, truth: Truth, event_labels: Sequence[str], part: Part, at_50: bool
) -> dict[str, Any]:
    clips, of_part = _of(part, scores), _truth_of(part, truth)
    smoothed = smooth_all(clips, event_labels, part.decoding)
    events = decode_all(clips, event_labels, part.decoding)
    at_points = None
    if at_50:
        points = operating_points(smoothed, event_labels)
        at_points = psds_at_operating_points(points, of_part.reference, of_part.durations, event_labels)
    return all_figures(
        f1s(of_part.reference, events, of_part.durations, event_labels),
        psds(smoothed, of_part.reference, of_part.durations, event_labels),
        at_points,
        event_labels,
    )


def _area(scores: FrameScores, truth: Truth, event_labels: Sequence[str], part: Part) -> dict[str, float]:
    of_part, smoothed = _truth_of(part, truth), smooth_all(scores, event_labels, part.decoding)
    area = psds(smoothed, of_part.reference, of_part.durations, event_labels)
    return {"psds1": area.psds1, "psds2": area.psds2}


def _of(part: Part, scores: FrameScores) -> FrameScores:
    return {filename: scores[filename] for filename in part.files}


def _truth_of(part: Part, truth: Truth) -> Truth:
    files = part.files
    return Truth({f: truth.reference[f] for f in files}, {f: truth.durations[f] for f in files})


def _plain(decoding: Decoding) -> dict[str, Any]:
    return {label: settings.model_dump() for label, settings in decoding.items()}
