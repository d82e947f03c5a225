"""How well a system hears one label: the field's segment and event F1, F1 of frames, and areas without a threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.peers.peer import Heard
from edge_app.core.events import Event, rasterise
from train.measuring.evaluate import EventsByFile, event_f1, segment_f1


@dataclass(frozen=True)
class Judged:
    """Figures in 0...1; None where the system does not tell what is needed."""

    segment_f1: float | None
    """In segments of one second, of its events."""
    event_f1: float | None
    """With a collar of 200 ms, of its events."""
    frame_f1: float | None
    """In frames of 20 ms, of its events."""
    frame_auc: float | None
    """Area under the receiver operating characteristic of the scores of frames."""
    clip_auc: float | None
    """The same of the scores of clips; None also where all clips have the label, or none."""


def judge(
    heard: Mapping[str, Heard], reference: EventsByFile, frames: Mapping[str, int], label: str
) -> Judged:
    """Judge what was heard of `label` in clips that are `frames` long. Raises SedgeError without such an event."""
    truth = {
        filename: [event for event in reference[filename] if event.event_label == label]
        for filename in reference
    }
    active = {filename: rasterise(truth[filename], [label], frames[filename])[:, 0] for filename in truth}
    events = {filename: answer.events for filename, answer in heard.items() if answer.events is not None}
    scores = [answer.scores for answer in heard.values() if answer.scores is not None]
    tags = [answer.tag for answer in heard.values() if answer.tag is not None]
    has_events = bool(events)
    return Judged(
        segment_f1=segment_f1(truth, events, [label]).per_label[label] if has_events else None,
        event_f1=event_f1(truth, events, [label]).per_label[label] if has_events else None,
        frame_f1=_frame_f1(events, active, label) if has_events else None,
        frame_auc=auc(np.concatenate(scores), _rows(active, heard)) if scores else None,
        clip_auc=auc(np.array(tags), np.array([row.any() for row in active.values()])) if tags else None,
    )


def _rows(active: Mapping[str, NDArray[np.bool_]], heard: Mapping[str, Heard]) -> NDArray[np.bool_]:
    return np.concatenate([active[filename] for filename in heard])


def _frame_f1(
    events: Mapping[str, Sequence[Event]], active: Mapping[str, NDArray[np.bool_]], label: str
) -> float:
    hits = total = 0
    for filename, truth in active.items():
        found = rasterise(events[filename], [label], len(truth))[:, 0]
        hits += int((truth & found).sum())
        total += int(truth.sum() + found.sum())
    return 2 * hits / total if total else 0.0


def auc(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float | None:
    """Chance that a true one scores over a false one, ties counted half; None where there are no two kinds.

    The Mann-Whitney statistic: (R - n(n + 1) / 2) / (n m), R the sum of the n true ones' ranks among n + m.
    """
    n_true, n_false = int(truth.sum()), int((~truth).sum())
    if not n_true or not n_false:
        return None
    ranks = float(rankdata(scores)[truth].sum())
    return (ranks - n_true * (n_true + 1) / 2) / (n_true * n_false)
