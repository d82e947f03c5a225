"""A row of figures: what was tuned where, both fixed and tuned, and inputs that stay as they are."""

import json
import statistics

import numpy as np
import pytest

from edge_app.core.decode import LabelDecoding, decode
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event, rasterise, runs
from train.measuring.evaluate import OPERATING_POINTS, event_f1, f1s, psds
from train.measuring.measure import (
    GATES,
    Part,
    Truth,
    decode_parts,
    duration_windows,
    durations_by_label,
    fixed_rule,
    gate_areas,
    gated,
    measure,
    operating_points,
    tuned_parts,
)
from train.measuring.tune import Grid, cross_tuned, smooth_all, tune

LABELS = ["Cat", "Dog"]
SMALL = Grid(
    median_frames=(1, 5, 21),
    threshold_on=(0.3, 0.5, 0.7),
    off_below=(None,),
    min_off_s=(0.0, 0.5),
    min_on_s=(0.0, 0.2),
)


def soundscapes(seed: int, n_clips: int = 12) -> tuple[dict[str, np.ndarray], Truth]:
    """Random events of two labels in halves a_ and b_, and scores that follow them with slow noise."""
    generator = np.random.default_rng(seed)
    scores, reference = {}, {}
    for clip in range(n_clips):
        filename = f"{'ab'[clip % 2]}_{clip:03d}.wav"
        events = []
        for label in LABELS[: 1 + clip % 2]:
            onset, length = generator.uniform(0, 5), generator.uniform(0.5, 4)
            events.append(Event(round(onset, 2), round(onset + length, 2), label))
        active = rasterise(events, LABELS, 500)
        slow = np.repeat(generator.normal(size=(20, 2)), 25, axis=0)
        logit = 4 * active - 2 + slow + 0.3 * generator.normal(size=active.shape)
        scores[filename], reference[filename] = (1 / (1 + np.exp(-logit))).astype(np.float32), events
    return scores, Truth(reference, dict.fromkeys(scores, 10.0))


def test_halves_are_scored_with_each_others_tuning() -> None:
    scores, truth = soundscapes(seed=1)
    parts = tuned_parts(scores, truth, LABELS, "halves", grid=SMALL)
    found = measure(scores, truth, LABELS, parts, "halves", at_50=False)
    expected = cross_tuned(scores, truth.reference, truth.durations, LABELS, SMALL)
    assert found["event_f1_macro"] == pytest.approx(expected.event_f1_macro)
    assert found["event_f1_micro"] == pytest.approx(expected.event_f1_micro)
    assert (found["psds1"], found["psds2"]) == pytest.approx((expected.psds1, expected.psds2))
    for label in LABELS:
        assert found["per_class"][label]["event_f1"] == pytest.approx(expected.per_label[label])
    tuned_on_a = {label: settings.model_dump() for label, settings in expected.decodings[0].items()}
    assert found["decodings"]["a_"] == tuned_on_a
    assert "the other" in found["tuned_on"]
    assert list(decode_parts(scores, LABELS, parts)) == list(scores)
    first = next(iter(scores))
    assert decode_parts(scores, LABELS, parts)[first] == decode(scores[first], LABELS, expected.decodings[1])


def test_figures_of_one_part_are_the_evaluators() -> None:
    scores, truth = soundscapes(seed=2)
    (part,) = parts = tuned_parts(scores, truth, LABELS, "reported", grid=SMALL)
    found = measure(scores, truth, LABELS, parts, "reported")
    assert found["tuned_on"] == "tuned on the clips that it is scored on"
    assert part.decoding == tune(scores, truth.reference, LABELS, SMALL)
    events = decode_parts(scores, LABELS, parts)
    every = f1s(truth.reference, events, truth.durations, LABELS)
    smoothed = smooth_all(scores, LABELS, part.decoding)
    area = psds(smoothed, truth.reference, truth.durations, LABELS)
    assert found["event_f1_macro"] == every.event.macro
    assert found["segment_f1_micro"] == every.segment.micro
    assert found["intersection_f1_macro"] == every.intersection.macro
    assert found["clip_f1_macro"] == every.clip.macro
    assert (found["psds1"], found["psds2"]) == (area.psds1, area.psds2)
    # 50 thresholds see no more of the curve than all of them
    assert area.psds1 - 0.1 < found["psds1_50"] <= area.psds1 + 1e-6
    assert area.psds2 - 0.1 < found["psds2_50"] <= area.psds2 + 1e-6
    assert json.loads(json.dumps(found)) == found


def test_the_development_set_tunes_for_another() -> None:
    scores, truth = soundscapes(seed=3)
    others, other_truth = soundscapes(seed=4)
    (part,) = tuned_parts(scores, truth, LABELS, "development", (others, other_truth), SMALL)
    assert part.decoding == tune(others, other_truth.reference, LABELS, SMALL)
    assert part.files == tuple(scores)
    with pytest.raises(SedgeError, match="expected scores of the development set"):
        tuned_parts(scores, truth, LABELS, "development")
    fewer = {filename: scores[filename] for filename in list(scores)[:-1]}
    with pytest.raises(SedgeError, match=r"frame scores: .*1 missing"):
        measure(fewer, truth, LABELS, [Part(tuple(fewer), "development", part.decoding)], "development")
    with pytest.raises(SedgeError, match="expected names in two halves"):
        tuned_parts({"c.wav": scores["a_000.wav"]}, truth, LABELS, "halves")


def test_windows_of_the_fixed_rule_follow_its_formula() -> None:
    durations = {
        "Cat": [1.0, 2.0],  # 75 frames, 0.333 of them 24.975
        "Dog": [0.5],  # 25 frames: 8.3
        "Frying": [9.99, 10.0],  # 499.75, cut to 499: 166.2
        "Dishes": [0.02],  # one frame
        "Frog": [],
        "Speech": [0.58, 0.58],  # 29 whole frames although 0.58 / 0.02 is less
    }
    assert duration_windows(durations) == {
        "Cat": 25,
        "Dog": 9,
        "Frying": 167,
        "Dishes": 1,
        "Frog": 1,
        "Speech": 9,
    }
    reference = {"a.wav": [Event(0, 1, "Cat"), Event(1, 3, "Cat")], "b.wav": [Event(2, 2.5, "Dog")]}
    found = durations_by_label(reference, ["Cat", "Dog", "Frog"])
    assert found == {"Cat": [1, 2], "Dog": [0.5], "Frog": []}


def test_pitfall_median_windows_are_odd_and_centred() -> None:
    generator = np.random.default_rng(0)
    lengths = {str(i): list(generator.uniform(0.02, 10, 3)) for i in range(200)}
    windows = duration_windows(lengths)
    assert all(window % 2 == 1 and window >= 1 for window in windows.values())
    with pytest.raises(ValueError, match="expected an odd number"):
        LabelDecoding(median_frames=22)
    scores = {"a.wav": np.zeros((61, 1), np.float32)}
    scores["a.wav"][25:36] = 1
    for window in (windows["0"], 3, 9, 21):
        smoothed = smooth_all(scores, ["Cat"], {"Cat": LabelDecoding(median_frames=window)})["a.wav"]
        np.testing.assert_array_equal(smoothed, smoothed[::-1])  # a block in the middle stays in the middle
    clip = generator.random((40, 1), np.float32)
    smoothed = smooth_all({"a.wav": clip}, ["Cat"], {"Cat": LabelDecoding(median_frames=5)})["a.wav"]
    padded = [0.0, 0.0, *clip[:, 0].tolist(), 0.0, 0.0]
    assert smoothed[:, 0].tolist() == [statistics.median(padded[i : i + 5]) for i in range(40)]


def test_the_fixed_rule_stands_beside_the_tuned_row() -> None:
    scores, truth = soundscapes(seed=5)
    windows = {"Cat": 9, "Dog": 21}
    parts = tuned_parts(scores, truth, LABELS, "reported", grid=SMALL)
    fixed = measure(scores, truth, LABELS, parts, "reported", windows, at_50=False)["fixed_rule"]
    assert fixed == fixed_rule(scores, truth, LABELS, windows)
    assert fixed["windows"] == windows
    events = {}
    for filename, clip in smooth_all(
        scores, LABELS, {label: LabelDecoding(median_frames=windows[label]) for label in LABELS}
    ).items():
        events[filename] = [
            Event(round(0.02 * first, 3), round(0.02 * end, 3), label)
            for column, label in enumerate(LABELS)
            for first, end in runs(clip[:, column] >= 0.5).tolist()
        ]
    assert fixed["event_f1_macro"] == event_f1(truth.reference, events, LABELS).macro


def test_pitfall_thresholding_leaves_its_inputs_as_they_are() -> None:
    scores, truth = soundscapes(seed=6)
    tags = {filename: clip.max(axis=0) * np.float32(0.6) for filename, clip in scores.items()}
    before = {filename: (scores[filename].copy(), tags[filename].copy()) for filename in scores}
    for array in (*scores.values(), *tags.values()):
        array.flags.writeable = False  # writing in place would raise
    parts = tuned_parts(scores, truth, LABELS, "halves", grid=SMALL)
    measure(scores, truth, LABELS, parts, "halves", {"Cat": 9, "Dog": 9}, tags, at_50=False)
    operating_points(scores, LABELS)
    for how in GATES:
        through = gated(scores, tags, how)
        assert not any(np.shares_memory(through[filename], scores[filename]) for filename in scores)
    for filename, (clip, tag) in before.items():
        np.testing.assert_array_equal(scores[filename], clip)
        np.testing.assert_array_equal(tags[filename], tag)


def test_pitfall_tag_gates_at_half_and_at_the_operating_threshold_differ() -> None:
    scores, truth = soundscapes(seed=7)
    generator = np.random.default_rng(7)
    tags = {}
    for filename, events in truth.reference.items():
        heard = np.array([label in {event.event_label for event in events} for label in LABELS])
        tags[filename] = (generator.uniform(0.0, 0.3, 2) + heard * generator.uniform(0.1, 0.6, 2)).astype(
            np.float32
        )
    curves = [operating_points(gated(scores, tags, how), LABELS) for how in GATES[1:]]
    for threshold, at_half, moving in zip(OPERATING_POINTS, *curves, strict=True):
        for filename, clip in scores.items():
            for detections, gate in ((at_half, 0.5), (moving, threshold)):
                literal = (clip >= threshold) & (tags[filename] >= gate)
                np.testing.assert_array_equal(rasterise(detections[filename], LABELS, 500), literal)
    doubted = [
        (filename, label)
        for filename in scores
        for label, tag in zip(LABELS, tags[filename], strict=True)
        if tag < 0.5
    ]
    at_half, moving = (
        {(filename, event.event_label) for filename, events in curve[0].items() for event in events}
        for curve in curves
    )
    # however low the threshold, the gate at .5 never finds what its tag doubts: a cap on the recall
    assert len(doubted) > 5
    assert not at_half & set(doubted)
    assert len(moving & set(doubted)) > 5
    parts = [Part(tuple(scores), "none", dict.fromkeys(LABELS, LabelDecoding()))]
    areas = gate_areas(scores, tags, truth, LABELS, parts)
    assert set(areas) == {"none", "half", "threshold"}
    assert len({of["psds2"] for of in areas.values()}) == 3
    with pytest.raises(SedgeError, match=r"tags: .*1 missing"):
        gated(scores, {f: tags[f] for f in list(tags)[1:]}, "half")
