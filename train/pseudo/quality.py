"""How good pseudo labels are where the truth is known, as it is of clips that were mixed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from edge_app.core.events import rasterise
from train.measuring.evaluate import EventsByFile, event_f1


def pseudo_quality(
    truth: EventsByFile, labels: EventsByFile, event_labels: Sequence[str], n_frames: int
) -> dict[str, Any]:
    """F1 of frames, of events (200 ms, 20 %) and of tags, macro over the labels that occur in truth.

    Only files that are labelled count. Raises SedgeError where the truth lacks one of them.
    """
    known = {filename: truth[filename] for filename in labels if filename in truth}
    events = event_f1(known, labels, event_labels)
    true, found = (_activity(table, list(labels), event_labels, n_frames) for table in (known, labels))
    frame = f1_per_label(true.reshape(-1, true.shape[2]), found.reshape(-1, found.shape[2]))
    tag = f1_per_label(np.any(true, axis=1), np.any(found, axis=1))
    return {
        "clips": len(labels),
        "events": sum(map(len, labels.values())),
        "true_events": sum(map(len, known.values())),
        "frame_f1_macro": _macro(frame),
        "event_f1_macro": events.macro,
        "event_f1_micro": events.micro,
        "tag_f1_macro": _macro(tag),
        "per_label": {
            label: {"frame_f1": frame[place], "event_f1": events.per_label[label], "tag_f1": tag[place]}
            for place, label in enumerate(event_labels)
        },
    }


def f1_per_label(
    true: Bool[np.ndarray, "row label"], found: Bool[np.ndarray, "row label"]
) -> list[float | None]:
    """F1 of each label over rows (frames or clips); None where no row has it in truth."""
    hits, n_true, n_found = ((true & found).sum(axis=0), true.sum(axis=0), found.sum(axis=0))
    return [
        float(2 * hit / (truths + finds)) if truths else None
        for hit, truths, finds in zip(hits, n_true, n_found, strict=True)
    ]


def _activity(
    events: EventsByFile, files: Sequence[str], event_labels: Sequence[str], n_frames: int
) -> Bool[np.ndarray, "clip frame label"]:
    return np.stack([rasterise(events[filename], event_labels, n_frames) for filename in files])


def _macro(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 0.0
