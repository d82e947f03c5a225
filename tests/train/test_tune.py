"""The fast search counts as the decoder and sed_eval do, and chooses plateaus, not peaks."""

import numpy as np
import pytest
import sed_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.decode import LabelDecoding, decode
from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S, Event, rasterise
from train.measuring.evaluate import event_f1, merged
from train.measuring.matching import Intervals, matched, pairs_in_reach
from train.measuring.tune import (
    REPORT_GRID,
    Grid,
    Selection,
    choose,
    count_label,
    cross_tuned,
    decode_all,
    halves_of,
    smooth_all,
    tune,
)

LABELS = ["Cat", "Dog"]
SMALL = Grid(
    median_frames=(1, 5, 21),
    threshold_on=(0.1, 0.3, 0.5, 0.8),
    off_below=(None, 0.0, 0.3),
    min_off_s=(0.0, 0.1, 1.0),
    min_on_s=(0.0, 0.1, 0.5),
)
Table = dict[str, list[Event]]


def soundscapes(seed: int, n_clips: int = 12, noise: float = 1.0) -> tuple[dict[str, np.ndarray], Table]:
    """Random events, and scores that follow them with slow and fast noise; clips of different lengths."""
    generator = np.random.default_rng(seed)
    scores, reference = {}, {}
    for clip in range(n_clips):
        n_frames = int(generator.choice([500, 500, 37, 350]))
        events = []
        for label in generator.choice(LABELS, generator.integers(0, 5)):
            onset, length = int(generator.integers(0, n_frames - 5)), int(generator.integers(5, 150))
            events.append(
                Event(
                    round(onset * FRAME_S, 3), round(min(n_frames, onset + length) * FRAME_S, 3), str(label)
                )
            )
        active = rasterise(events, LABELS, n_frames)
        slow = np.repeat(generator.normal(size=(n_frames // 25 + 1, 2)), 25, axis=0)[:n_frames]
        logit = 4 * active - 2 + noise * (slow + generator.normal(size=active.shape))
        scores[f"{'ab'[clip % 2]}_{clip:03d}.wav"] = (1 / (1 + np.exp(-logit))).astype(np.float32)
        reference[f"{'ab'[clip % 2]}_{clip:03d}.wav"] = merged(events)
    return scores, reference


def sed_eval_counts(reference: Table, estimate: Table, label: str) -> tuple[int, int]:
    metrics = sed_eval.sound_event.EventBasedMetrics([label], t_collar=0.2, percentage_of_length=0.2)
    for filename, events in reference.items():
        rows = [
            [
                {
                    "filename": filename,
                    "onset": round(event.onset, 3),
                    "offset": round(event.offset, 3),
                    "event_label": label,
                }
                for event in table
                if event.event_label == label
            ]
            for table in (events, estimate[filename])
        ]
        metrics.evaluate(*rows)
    return int(metrics.class_wise[label]["Ntp"]), int(metrics.class_wise[label]["Nsys"])


@pytest.mark.parametrize("seed", range(3))
def test_counts_equal_the_decoders_and_sed_evals(seed: int) -> None:
    scores, reference = soundscapes(seed)
    groups = [clip % 3 for clip in range(len(scores))]
    generator = np.random.default_rng(seed)
    counts = {label: count_label(scores, reference, LABELS, label, groups, SMALL) for label in LABELS}
    for _ in range(40):
        median, threshold, off, min_off, min_on = (int(generator.integers(size)) for size in SMALL.shape)
        place = (median, threshold, off, min_off, min_on)
        decoding = dict.fromkeys(LABELS, SMALL.decoding(place))
        estimate = {name: decode(clip, LABELS, decoding) for name, clip in scores.items()}
        for label in LABELS:
            for group in range(3):
                names = [name for name, number in zip(scores, groups, strict=True) if number == group]
                truth, found = ({name: table[name] for name in names} for table in (reference, estimate))
                at = (group, *place)
                assert (counts[label].hits[at], counts[label].estimates[at]) == sed_eval_counts(
                    truth, found, label
                )


def test_f1_of_a_setting_is_that_of_the_evaluator() -> None:
    scores, reference = soundscapes(seed=5)
    place = (1, 2, 0, 1, 1)
    decoding = dict.fromkeys(LABELS, SMALL.decoding(place))
    expected = event_f1(reference, decode_all(scores, LABELS, decoding), LABELS)
    for label in LABELS:
        counts = count_label(scores, reference, LABELS, label, [0, 1] * 6, SMALL)
        assert counts.f1([0, 1])[place] == pytest.approx(expected.per_label[label])


def intervals(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Events of up to three clips, crowded so that most have several partners."""
    rows = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(1, 60)), max_size=12))
    return sorted((clip, 10 * onset, 10 * (onset + length)) for clip, onset, length in rows)


@settings(max_examples=300, deadline=None)
@given(st.composite(intervals)(), st.composite(intervals)())
def test_matching_equals_sed_evals(
    truth: list[tuple[int, int, int]], found: list[tuple[int, int, int]]
) -> None:
    arrays = [np.array(rows, float).reshape(-1, 3) for rows in (truth, found)]
    events = [Intervals(rows[:, 0].astype(int), rows[:, 1] / 1000, rows[:, 2] / 1000) for rows in arrays]
    tables = [
        {
            str(clip): [Event(on / 1000, off / 1000, "Cat") for c, on, off in rows if c == clip]
            for clip in range(3)
        }
        for rows in (truth, found)
    ]
    assert len(matched(pairs_in_reach(*events))) == sed_eval_counts(tables[0], tables[1], "Cat")[0]


def test_smoothing_is_the_decoders() -> None:
    scores, _ = soundscapes(seed=7, n_clips=3)
    decoding = {"Cat": LabelDecoding(median_frames=9), "Dog": LabelDecoding(median_frames=51)}
    plain = {label: LabelDecoding() for label in LABELS}
    smooth = smooth_all(scores, LABELS, decoding)
    assert {name: clip.shape for name, clip in smooth.items()} == {
        name: clip.shape for name, clip in scores.items()
    }
    times = [
        {
            name: [(event.onset, event.offset, event.event_label) for event in events]
            for name, events in table.items()
        }
        for table in (decode_all(smooth, LABELS, plain), decode_all(scores, LABELS, decoding))
    ]
    assert times[0] == times[1]


def test_a_lone_peak_loses_to_a_plateau() -> None:
    f1 = np.zeros((9, 21, 1, 1, 1))
    f1[2:7, 12:19] = 0.5
    f1[1, 3] = 0.6
    assert choose(f1, Selection()) == (4, 15, 0, 0, 0)
    assert choose(f1, Selection(smoothing_passes=0, plateau_margin=0.0)) == (1, 3, 0, 0, 0)


def test_tuning_finds_what_undoes_the_noise() -> None:
    scores, reference = soundscapes(seed=8, n_clips=40)
    plain = event_f1(
        reference, decode_all(scores, LABELS, {label: LabelDecoding() for label in LABELS}), LABELS
    )
    decoding = tune(scores, reference, LABELS)
    tuned = event_f1(reference, decode_all(scores, LABELS, decoding), LABELS)
    assert tuned.macro > plain.macro + 0.2
    assert all(settings.median_frames > 1 or settings.min_on_s > 0 for settings in decoding.values())


def test_cross_tuned_figures_come_from_the_other_half() -> None:
    scores, reference = soundscapes(seed=9, n_clips=40)
    durations = {name: len(clip) * FRAME_S for name, clip in scores.items()}
    found = cross_tuned(scores, reference, durations, LABELS, SMALL)
    halves = [{name: clip for name, clip in scores.items() if name.startswith(half)} for half in "ab"]
    macros = []
    for half, other in ((0, 1), (1, 0)):
        truth = [{name: reference[name] for name in halves[i]} for i in (half, other)]
        decoding = tune(halves[half], truth[0], LABELS, SMALL)
        assert decoding == found.decodings[half]
        macros.append(event_f1(truth[1], decode_all(halves[other], LABELS, decoding), LABELS).macro)
    assert found.event_f1_macro == pytest.approx(np.mean(macros))
    assert 0 < found.psds1 < found.psds2 < 1


def test_a_label_without_events_keeps_the_default() -> None:
    scores, reference = soundscapes(seed=10)
    cats = {
        name: [event for event in events if event.event_label == "Cat"] for name, events in reference.items()
    }
    assert tune(scores, cats, LABELS, SMALL)["Dog"] == LabelDecoding()


def test_halves_go_by_name() -> None:
    assert halves_of(["a_1.wav", "x/b_1.wav", "b/a_2.wav"]) == [0, 1, 0]
    for wrong in (["a_1.wav"], ["a_1.wav", "b_1.wav", "c_1.wav"], []):
        with pytest.raises(SedgeError, match="two halves"):
            halves_of(wrong)


def test_the_grid_of_reports_is_a_part_of_the_whole_one() -> None:
    whole = Grid()
    for name in ("median_frames", "threshold_on", "off_below", "min_off_s", "min_on_s"):
        assert set(getattr(REPORT_GRID, name)) <= set(getattr(whole, name))
    assert np.prod(REPORT_GRID.shape) < np.prod(whole.shape) / 10
