"""`sedge bench-accuracy` from a folder of clips to figures."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.accuracy.accuracy import main, spread_clips
from benchmarks.accuracy.levels import set_levels
from benchmarks.accuracy.measuring import by_polyphony, by_snr, shipped_figures
from benchmarks.accuracy.perturbations import Perturbation
from benchmarks.accuracy.robustness import perturbed_scores, robustness
from benchmarks.comparing.demo_clips import write_demo_clips
from benchmarks.report import read_result
from edge_app.core.audio import read_blocks
from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.formats.desed_tsv import write_events
from tests.models import TINY_LABELS
from train.measuring.validation_set import read_validation_set, score_clips

OTHER_LABELS = {"Alarm_bell_ringing": "Dog", "Blender": "Cat", "Dishes": "Cat"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The demo's clips, one of them with a second sound that is said to overlap and one said to be empty."""
    folder = tmp_path_factory.mktemp("accuracy") / "clips"
    write_demo_clips(folder)
    reference = {
        filename: [
            replace(event, event_label=OTHER_LABELS.get(event.event_label, event.event_label))
            for event in events
        ]
        for filename, events in read_validation_set(folder).reference.items()
    }
    first, second, *_ = reference
    event = reference[first][0]
    other = next(label for label in TINY_LABELS if label != event.event_label)
    reference[first] = [event, replace(event, event_label=other)]
    reference[second] = []
    write_events(folder / "ground_truth.tsv", reference)
    return folder


@pytest.fixture(scope="module")
def detector(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    return Detector(bundle, OnnxRuntime(bundle))


def test_groups_hold_every_clip_and_every_event_once(folder, detector):
    clips = read_validation_set(folder)
    levels = set_levels(clips)
    rng = np.random.default_rng(3)
    scores = {
        filename: rng.random((round(50 * seconds), len(TINY_LABELS)), np.float32)
        for filename, seconds in clips.durations.items()
    }
    polyphony = by_polyphony(scores, clips, detector.bundle, levels)
    assert list(polyphony) == ["no events", "1 at once", "2 at once"]
    assert sum(group.clips for group in polyphony.values()) == len(clips.reference)
    n_events = sum(map(len, clips.reference.values()))
    assert sum(group.events for group in polyphony.values()) == n_events
    assert (polyphony["2 at once"].clips, polyphony["2 at once"].events) == (1, 2)
    assert polyphony["no events"].event_f1_macro is None
    assert polyphony["no events"].psds1 is None
    snr = by_snr(scores, clips, detector.bundle, levels)
    assert sum(group.events for group in snr.values()) == n_events
    assert sum(group.clips for group in snr.values()) == len(clips.reference) - 1
    assert snr["SNR not measurable"].events >= 2


def test_one_group_of_all_clips_has_the_figures_of_all(folder, detector):
    clips = read_validation_set(folder)
    lonely = {
        filename: [Event(1.0, 2.0, "Dog")] if number % 2 else [Event(3.0, 5.0, "Speech")]
        for number, filename in enumerate(clips.reference)
    }
    clips = replace(clips, reference=lonely)
    scores = score_clips(detector, clips)
    shipped = shipped_figures(scores, clips, detector.bundle)
    (group,) = by_polyphony(scores, clips, detector.bundle, set_levels(clips)).values()
    for name in ("event_f1_macro", "event_f1_micro", "psds1", "psds2"):
        assert getattr(group, name) == pytest.approx(shipped[name])
    assert group.events == group.clips == len(lonely)


def test_a_perturbation_that_changes_nothing_costs_nothing(folder, detector):
    clips = spread_clips(read_validation_set(folder), 4)
    shipped = shipped_figures(score_clips(detector, clips), clips, detector.bundle)
    nothing = Perturbation("nothing", "nothing", lambda samples, _: samples)
    (same,) = robustness(detector, clips, [nothing])
    assert (same.name, same.figures) == ("nothing", shipped)


def test_what_is_scored_is_the_perturbed_clip(folder, detector):
    clips = spread_clips(read_validation_set(folder), 2)
    plain = score_clips(detector, clips)
    softer = Perturbation("softer", "softer", lambda samples, _: samples / 8)
    found = perturbed_scores(detector, clips, softer)
    assert list(found) == list(clips.reference)
    for filename, scores in found.items():
        samples = np.concatenate(list(read_blocks(clips.audio / filename)))
        expected = np.concatenate(list(detector.scores([samples / 8])))
        np.testing.assert_array_equal(scores, expected)
        assert np.abs(scores - plain[filename]).max() > 1e-3


def test_some_clips_are_spread_over_the_table(folder):
    clips = read_validation_set(folder)
    filenames = list(clips.reference)
    some = spread_clips(clips, 3)
    assert list(some.reference) == [filenames[0], filenames[3], filenames[6]] == list(some.durations)
    assert spread_clips(clips, 100) is clips
    assert spread_clips(clips, None) is clips


def test_the_command_writes_every_figure(folder, detector, tmp_path, capsys):
    words = [str(folder), "--clips", "3", "--bundle", str(detector.bundle.folder)]
    out = tmp_path / "accuracy.json"
    assert main([*words, "--json", str(out), "--perturb", "8khz", "white", "--noise-snr-db", "10"]) == 0
    result = read_result(out)
    assert result.benchmark == "accuracy"
    assert result.settings["clips"] == 3
    assert result.settings["bundle"]["graph_sha256"] == detector.bundle.manifest.graph.sha256
    names = {figure.name for figure in result.figures}
    for context in ("clip", "live"):
        assert {f"{context} / {row} / PSDS1" for row in ("shipped", "8 kHz sample rate")} <= names
        assert f"{context} / white noise, 10 dB SNR / event-F1 macro" in names
        assert f"{context} / 2 at once / events found" in names
    assert set(result.details["contexts"]["clip"]["shipped"]["event_f1_per_class"]) == set(TINY_LABELS)
    told = capsys.readouterr().out
    for text in ("by SNR", "by events at once", "as recorded", "white noise, 10 dB SNR", "8 kHz"):
        assert text in told


def test_all_perturbations_are_meant_where_none_is_named(folder, detector, tmp_path):
    out = tmp_path / "accuracy.json"
    words = [str(folder), "--clips", "1", "--context", "clip", "--bundle", str(detector.bundle.folder)]
    assert main([*words, "--json", str(out), "--perturb"]) == 0
    assert len(read_result(out).details["contexts"]["clip"]["robustness"]) == 10
    assert main([*words, "--json", str(out)]) == 0
    assert read_result(out).details["contexts"]["clip"]["robustness"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--clips", "0"], "--clips: expected more than 0, found 0"),
        (["--noise-snr-db", "nan"], "--noise-snr-db: expected finite numbers"),
        (["--context", "disc"], "context: expected some of clip, live, found 'disc'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(folder, words, message):
    with pytest.raises(SedgeError, match=message):
        main([str(folder), *words])
