"""Clip tags from scores: the threshold of each label, and how good the tags are.

Scores lie in 0...1 and a score of exactly 0 (what a mask leaves) never gives a tag. A tag is given where the
score is strictly above its threshold.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

DEFAULT_THRESHOLD = 0.5
"""Of a label that nothing can be tuned on."""


class Tuned(NamedTuple):
    """A threshold and the F1 it gives where it was tuned; None where no item has the label."""

    threshold: float
    f1: float | None


def best_threshold(scores: Float[np.ndarray, " item"], truth: Bool[np.ndarray, " item"]) -> Tuned:
    """The midpoint between adjacent scores (0 the lowest) with the best F1; of equally good ones, the highest."""
    n_true = int(truth.sum())
    if n_true == 0:
        return Tuned(DEFAULT_THRESHOLD, None)
    above = np.flatnonzero(scores > 0)
    order = above[np.argsort(-scores[above], kind="stable")]
    # midpoints of neighbouring float32 exist in float64 only
    ordered = scores[order].astype(np.float64)
    below = np.append(ordered[1:], 0.0)
    f1 = 2 * np.cumsum(truth[order]) / (np.arange(1, len(order) + 1) + n_true)
    f1[ordered == below[: len(ordered)]] = 0  # no threshold parts equal scores
    if not f1.any():
        return Tuned(DEFAULT_THRESHOLD, 0.0)
    best = int(f1.argmax())
    return Tuned(float((ordered[best] + below[best]) / 2), float(f1[best]))


def tag_thresholds(
    scores: Float[np.ndarray, "clip label"], truth: Bool[np.ndarray, "clip label"]
) -> list[Tuned]:
    """The best threshold of each label by itself."""
    return [best_threshold(column, true) for column, true in zip(scores.T, truth.T, strict=True)]


def give_tags(
    scores: Float[np.ndarray, "clip label"], thresholds: Float[np.ndarray, " label"]
) -> Bool[np.ndarray, "clip label"]:
    """Tags of clips: where the score is above the label's threshold."""
    return scores.astype(np.float64) > thresholds


def macro_tag_f1(
    scores: Float[np.ndarray, "clip label"],
    truth: Bool[np.ndarray, "clip label"],
    thresholds: Float[np.ndarray, " label"],
) -> float:
    """Mean F1 of the tags over the labels that some clip has; 0 where there are none."""
    given = give_tags(scores, thresholds)
    heard = truth.any(axis=0)
    if not heard.any():
        return 0.0
    hits = (given & truth).sum(axis=0)[heard]
    return float((2 * hits / (given.sum(axis=0) + truth.sum(axis=0))[heard]).mean())


def best_macro_tag_f1(
    scores: Float[np.ndarray, "clip label"], truth: Bool[np.ndarray, "clip label"]
) -> float:
    """Macro F1 of the tags with the best threshold of each label: the measure that checkpoints are kept by."""
    thresholds = np.array([tuned.threshold for tuned in tag_thresholds(scores, truth)])
    return macro_tag_f1(scores, truth, thresholds)
