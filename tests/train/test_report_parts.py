"""The parts of a run's report: curves, examples, differences and logs against slow or literal versions."""

from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.events import Event
from train.measuring.evaluate import MAX_EFPR, event_f1
from train.report.ablation import difference, unhelpful_sentences
from train.report.curves import Roc, draw_training
from train.report.folder import Log, read_log
from train.report.matches import ClipMatches, choose_examples, count_matches
from train.report.rows import Row


@given(st.integers(2, 2000), st.integers(0, 99))
@settings(max_examples=30)
def test_a_thinned_curve_is_the_same_staircase(n_steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    places, rates = np.sort(rng.random(n_steps)) * MAX_EFPR, np.sort(rng.random(n_steps))
    whole = Roc(np.append(rates, rates[-1]), np.append(places, MAX_EFPR))
    thin = whole.thinned()
    assert len(thin.rate) <= 300
    for place, rate in zip(thin.false_per_h, thin.rate, strict=True):
        reached = whole.rate[whole.false_per_h <= place]
        assert rate == (reached[-1] if len(reached) else whole.rate[0])


times = st.tuples(st.integers(0, 40), st.integers(1, 20), st.sampled_from("xy"))
clip_events = st.lists(times, max_size=4).map(
    lambda rows: [Event(o / 10, (o + n) / 10, label) for o, n, label in rows]
)


@given(st.lists(st.tuples(clip_events, clip_events), min_size=1, max_size=4))
def test_matches_of_a_clip_are_those_of_sed_eval(clips: list[tuple[list[Event], list[Event]]]) -> None:
    reference = {f"{number}.wav": truth for number, (truth, _) in enumerate(clips)}
    detections = {f"{number}.wav": found for number, (_, found) in enumerate(clips)}
    for clip in count_matches(reference, detections, ["x", "y"]):
        if clip.expected:
            alone = event_f1(
                {clip.filename: reference[clip.filename]},
                {clip.filename: merged_label_by_label(detections[clip.filename])},
                ["x", "y"],
            )
            assert clip.f1 == pytest.approx(alone.micro)


def merged_label_by_label(events: list[Event]) -> list[Event]:
    """Overlapping events of a label as one, slowly."""
    done: list[Event] = []
    for event in sorted(events, key=lambda event: (event.event_label, event.onset)):
        if done and done[-1].event_label == event.event_label and event.onset < done[-1].offset:
            done[-1] = Event(done[-1].onset, max(done[-1].offset, event.offset), event.event_label)
        else:
            done.append(event)
    return done


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_examples_are_the_best_the_median_and_the_worst(counts: list[tuple[int, int, int]]) -> None:
    clips = [
        ClipMatches(str(i), hits, hits + missed, hits + false)
        for i, (hits, missed, false) in enumerate(counts)
        if hits + missed + false
    ]
    chosen = choose_examples(clips)
    names = [example.matches.filename for example in chosen]
    assert len(names) == len(set(names)) == min(len(clips), 6 if len(clips) >= 6 else 3)
    ordered = sorted((clip.f1 for clip in clips), reverse=True)
    assert [example.matches.f1 for example in chosen] == sorted((e.matches.f1 for e in chosen), reverse=True)
    if clips:
        assert chosen[0].matches.f1 == ordered[0]
        assert chosen[-1].matches.f1 == ordered[-1]


def test_differences_are_paired_by_seed() -> None:
    full = Row("single", "mlfl", "MLFL", {"1": {"psds1": 0.2}, "2": {"psds1": 0.4}, "3": {"psds1": 0.9}})
    variant = Row("ablation", "without_focal", "Without focal", {"1": {"psds1": 0.25}, "2": {"psds1": 0.37}})
    found = difference(variant, full, "psds1")
    assert found is not None
    assert found.seeds == ("1", "2")
    assert found.spread.mean == pytest.approx(0.01)
    assert found.spread.deviation == pytest.approx(stdev([0.05, -0.03]))
    other = Row("ablation", "no_ifdc", "No ifdc", {"1": {"psds1": 0.19}, "2": {"psds1": 0.33}})
    first, second = unhelpful_sentences([full, variant, other])
    assert (
        first
        == "Leaving out “focal” does not lower PSDS 1 (+0.010): the ingredient does not help there (2 seeds)."
    )
    assert second.startswith(
        "Leaving out “ifdc” lowers PSDS 1 (−0.040), which is no more than the seeds differ"
    )


def test_a_log_cut_by_a_kill_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"step": 2, "clip": 3.0, "clips_per_s": 5}\n{"step": 2, "clip": 1.0}\n{"step": 1, "clip": 9}\n{"st'
    )
    log = read_log(path)
    assert log.losses == {"clip": {1: 9.0, 2: 1.0}}
    assert list(log.losses["clip"]) == [1, 2]
    assert log.clips_per_s == {2: 5.0}
    assert log.unreadable == 1


def test_scales_over_decades_are_numbers_not_formulae() -> None:
    series = {step: 10.0 ** -(step / 100) for step in range(0, 600, 50)}
    picture = draw_training({"1": Log({"consistency": series}, {}, {}, 0)}, "Baseline CRNN")
    assert "mathdefault" not in picture
    assert ">0.0001<" in picture
