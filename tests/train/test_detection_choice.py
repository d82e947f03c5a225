"""Choice of context, filter and threshold, against literal loops over every setting."""

import itertools
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.events import FRAME_S, Event, rasterise, vectorise
from train.measuring.evaluate import event_f1
from train.measuring.matching import reference_intervals
from train.pseudo.detection_choice import (
    LabelChoice,
    best_event_threshold,
    choose_detection,
    detect,
    median_filter,
    smooth,
)

LABELS = ("Cat", "Dog")
N_FRAMES = 60


def random_scores(seed: int, n_clips: int = 5, levels: int = 9) -> dict[int, np.ndarray]:
    """Scores with many equal values, for two contexts."""
    random = np.random.default_rng(seed)
    shape = (n_clips, N_FRAMES, len(LABELS))
    return {c: (random.integers(0, levels, shape) / (levels - 1)).astype(np.float32) for c in (5, 10)}


def random_events(seed: int, n_clips: int = 5) -> list[list[Event]]:
    random = np.random.default_rng(seed)
    active = np.repeat(random.random((n_clips, N_FRAMES // 10, len(LABELS))) < 0.3, 10, axis=1)
    return [vectorise(clip, LABELS) for clip in active]


def literal_median(row: list[float], width: int) -> list[float]:
    padded = [0.0] * (width // 2) + row + [0.0] * (width // 2)
    return [median(padded[at : at + width]) for at in range(len(row))]


@given(st.integers(1, 3), st.integers(1, 12), st.sampled_from([1, 3, 5, 11, 31]), st.integers(0, 2**32 - 1))
def test_median_has_zeros_outside_each_clip(n_clips, n_frames, width, seed):
    scores = np.random.default_rng(seed).random((n_clips, n_frames)).astype(np.float32)
    expected = [literal_median(row.tolist(), width) for row in scores]
    np.testing.assert_array_equal(median_filter(scores, width), np.array(expected, np.float32))


def test_pitfall_masking_precedes_filtering_of_float_scores():
    # the dip between two high frames gets a score of its neighbours, not a vote
    scores = np.array([[0, 0.9, 0.2, 0.8, 0.7, 0, 0, 0]], np.float32)
    smoothed = smooth(scores, np.array([True]), 3)
    np.testing.assert_array_equal(smoothed[0], np.array([0, 0.2, 0.8, 0.7, 0.7, 0, 0, 0], np.float32))
    assert not smooth(scores, np.array([False]), 3).any()
    # zeros outside the clip: an edge frame with one loud neighbour has a zero beside it
    edge = np.array([[0.6, 0.9, 0, 0.9, 0.6]], np.float32)
    assert smooth(edge, np.array([True]), 3)[0].tolist() == pytest.approx([0.6, 0.6, 0.9, 0.6, 0.6])
    assert smooth(edge, np.array([True]), 5)[0, 0] == 0


def test_masked_clips_do_not_enter_the_choice():
    scores, events = random_scores(0), random_events(1)
    tags = np.array([[True, False], [True, True], [False, True], [False, False], [True, True]])
    masked = {context: of * tags[:, None] for context, of in scores.items()}
    everything = np.ones_like(tags)
    assert choose_detection(scores, tags, events, LABELS, (3, 5)) == choose_detection(
        masked, everything, events, LABELS, (3, 5)
    )


def test_padding_after_clips_changes_nothing():
    scores, events = random_scores(3), random_events(4)
    tags = np.ones((5, 2), bool)
    longer = {c: np.concatenate([of, np.zeros_like(of)], axis=1) for c, of in scores.items()}
    chosen = choose_detection(scores, tags, events, LABELS, (3, 11))
    assert choose_detection(longer, tags, events, LABELS, (3, 11)) == chosen
    assert not detect(longer, tags, chosen)[:, N_FRAMES:].any()


def literal_frame_f1(found: np.ndarray, truth: np.ndarray) -> float:
    hits = int((found & truth).sum())
    return 2 * hits / (int(found.sum()) + int(truth.sum())) if hits else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_choice_is_the_best_of_every_setting_by_frame_f1(seed):
    scores, events = random_scores(seed), random_events(seed + 10)
    tags = np.random.default_rng(seed).random((5, 2)) < 0.8
    chosen = choose_detection(scores, tags, events, LABELS, (3, 5, 7))
    for column, label in enumerate(LABELS):
        truth = np.stack([rasterise(of_clip, LABELS, N_FRAMES)[:, column] for of_clip in events])
        best = 0.0
        for context, width in itertools.product(scores, (3, 5, 7)):
            smoothed = np.array(
                [
                    literal_median((row * tag).tolist(), width)
                    for row, tag in zip(scores[context][:, :, column], tags[:, column], strict=True)
                ]
            )
            levels = sorted({0.0, *smoothed.ravel().tolist()})
            for low, high in itertools.pairwise(levels):
                best = max(best, literal_frame_f1(smoothed > (low + high) / 2, truth))
        assert chosen[column].f1 == pytest.approx(best), label
    active = detect(scores, tags, chosen)
    for column, one in enumerate(chosen):
        truth = np.stack([rasterise(of_clip, LABELS, N_FRAMES)[:, column] for of_clip in events])
        assert literal_frame_f1(active[:, :, column], truth) == pytest.approx(one.f1)


@pytest.mark.parametrize("seed", range(3))
def test_choice_by_event_f1_is_the_best_and_what_the_evaluation_says(seed):
    random = np.random.default_rng(seed)
    events = random_events(seed + 20, 8)
    truth = np.stack([rasterise(of_clip, LABELS, N_FRAMES) for of_clip in events])
    scores = {
        context: np.clip(0.6 * truth + noise * random.random(truth.shape), 0, 1).astype(np.float32).round(1)
        for context, noise in ((5, 0.7), (10, 0.5))
    }
    tags = np.any(truth, axis=1)
    chosen = choose_detection(scores, tags, events, LABELS, (3, 7), "event")
    reference = {str(clip): of_clip for clip, of_clip in enumerate(events)}
    best = [0.0, 0.0]
    for context, width, cut in itertools.product(scores, (3, 7), np.arange(0.05, 1, 0.1)):
        active = detect(scores, tags, [LabelChoice(context, width, float(cut), None)] * 2)
        found = {str(clip): vectorise(of_clip, LABELS) for clip, of_clip in enumerate(active)}
        measured = event_f1(reference, found, LABELS).per_label
        best = [max(old, measured[label] or 0) for old, label in zip(best, LABELS, strict=True)]
    assert [one.f1 for one in chosen] == pytest.approx(best)


def test_few_event_thresholds_stand_for_many_scores():
    random = np.random.default_rng(0)
    truth = np.zeros((20, N_FRAMES), bool)
    truth[:, 20:40] = True
    scores = np.clip(0.5 * truth + 0.4 * random.random(truth.shape), 0, 1)
    events = {str(clip): [Event(20 * FRAME_S, 40 * FRAME_S, "Cat")] for clip in range(20)}
    tuned = best_event_threshold(scores, reference_intervals(events, events, "Cat"))
    assert tuned.f1 == 1
    assert 0.4 < tuned.threshold < 0.5


def test_label_without_events_gets_the_middle_setting():
    events = [[event for event in clip if event.event_label == "Cat"] for clip in random_events(2)]
    chosen = choose_detection(random_scores(2), np.ones((5, 2), bool), events, LABELS, (3, 5, 7))
    assert chosen[1] == LabelChoice(5, 5, 0.5, None)
    assert chosen[0].f1 is not None


def test_equally_good_settings_leave_the_smallest_context_and_filter():
    truth = np.zeros((2, N_FRAMES), bool)
    truth[:, 10:50] = True
    scores = {context: truth[:, :, None].astype(np.float32) for context in (5, 10, 20)}
    events = [vectorise(clip[:, None], ["Cat"]) for clip in truth]
    chosen = choose_detection(scores, np.ones((2, 1), bool), events, ["Cat"], (3, 5))
    assert chosen == (LabelChoice(5, 3, 0.5, 1.0),)


def test_scores_of_zero_everywhere_detect_nothing():
    scores = {5: np.zeros((5, N_FRAMES, 2), np.float32)}
    for metric in ("frame", "event"):
        chosen = choose_detection(scores, np.ones((5, 2), bool), random_events(1), LABELS, (3,), metric)
        assert [one.f1 for one in chosen] == [0, 0]
        assert not detect(scores, np.ones((5, 2), bool), chosen).any()
