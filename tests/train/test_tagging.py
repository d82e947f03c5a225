"""Thresholds of clip tags and their F1 against literal loops."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.pseudo.tagging import (
    DEFAULT_THRESHOLD,
    best_macro_tag_f1,
    best_threshold,
    give_tags,
    macro_tag_f1,
    tag_thresholds,
)


def literal_f1(given_tags: list[bool], truth: list[bool]) -> float:
    hits = sum(a and b for a, b in zip(given_tags, truth, strict=True))
    misses = sum(b and not a for a, b in zip(given_tags, truth, strict=True))
    false_alarms = sum(a and not b for a, b in zip(given_tags, truth, strict=True))
    return 2 * hits / (2 * hits + misses + false_alarms) if hits else 0.0


def literal_best(scores: list[float], truth: list[bool]) -> tuple[float, float]:
    """Every midpoint between adjacent scores, from the highest down; the first of the best."""
    levels = sorted({0.0, *scores}, reverse=True)
    best = (DEFAULT_THRESHOLD, 0.0)
    for high, low in itertools.pairwise(levels):
        f1 = literal_f1([score > (high + low) / 2 for score in scores], truth)
        if f1 > best[1] + 1e-12:
            best = ((high + low) / 2, f1)
    return best


items = st.lists(
    st.tuples(st.integers(0, 12).map(lambda step: step / 12), st.booleans()), min_size=1, max_size=30
)


@given(items)
def test_threshold_is_the_best_midpoint(pairs):
    scores, truth = [score for score, _ in pairs], [true for _, true in pairs]
    tuned = best_threshold(np.array(scores, np.float64), np.array(truth))
    if not any(truth):
        assert tuned == (DEFAULT_THRESHOLD, None)
        return
    threshold, f1 = literal_best(scores, truth)
    assert tuned.threshold == pytest.approx(threshold)
    assert tuned.f1 == pytest.approx(f1)
    assert tuned.threshold > 0


@given(items)
def test_threshold_gives_the_f1_that_it_promises(pairs):
    scores = np.array([score for score, _ in pairs], np.float32)
    truth = np.array([true for _, true in pairs])
    tuned = best_threshold(scores, truth)
    tags = give_tags(scores[:, None], np.array([tuned.threshold]))[:, 0]
    if tuned.f1 is not None:
        assert tuned.f1 == pytest.approx(literal_f1(tags.tolist(), truth.tolist()))


def test_neighbouring_float32_scores_are_told_apart():
    high = np.float32(0.7)
    scores = np.array([np.nextafter(high, np.float32(0)), high], np.float32)
    tuned = best_threshold(scores, np.array([False, True]))
    assert tuned.f1 == 1
    assert give_tags(scores[:, None], np.array([tuned.threshold])).ravel().tolist() == [False, True]


def test_a_score_of_zero_is_never_a_tag():
    tuned = best_threshold(np.array([0.0, 0.0, 0.4]), np.array([True, True, True]))
    assert tuned == (0.2, pytest.approx(0.5))
    assert best_threshold(np.zeros(3), np.ones(3, bool)) == (DEFAULT_THRESHOLD, 0.0)


def test_macro_is_the_mean_over_labels_that_are_heard():
    random = np.random.default_rng(0)
    scores = random.random((40, 5)).astype(np.float32)
    truth = random.random((40, 5)) < 0.3
    truth[:, 3] = False
    thresholds = random.random(5)
    expected = [
        literal_f1((scores[:, label] > thresholds[label]).tolist(), truth[:, label].tolist())
        for label in (0, 1, 2, 4)
    ]
    assert macro_tag_f1(scores, truth, thresholds) == pytest.approx(np.mean(expected))
    best = [literal_best(scores[:, label].tolist(), truth[:, label].tolist())[1] for label in (0, 1, 2, 4)]
    assert best_macro_tag_f1(scores, truth) == pytest.approx(np.mean(best))
    assert [tuned.f1 is None for tuned in tag_thresholds(scores, truth)] == [False] * 3 + [True, False]


def test_nothing_heard_scores_zero():
    assert best_macro_tag_f1(np.full((4, 2), 0.5), np.zeros((4, 2), bool)) == 0
