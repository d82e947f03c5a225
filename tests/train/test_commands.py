"""`sedge evaluate`, `sedge tune-decoding` and `sedge bench-accuracy`: from files to figures and back into a bundle."""

import json
import shutil
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import soundfile

import benchmarks.accuracy.accuracy
from edge_app.core.bundle import Bundle, BundleManifest, Graph, HopFrames, Parity, ReceptiveField
from edge_app.core.decode import LabelDecoding
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S, Event, rasterise
from edge_app.core.logmel import LogMelConfig
from edge_app.formats.desed_tsv import write_durations, write_events
from edge_app.formats.frame_scores import FrameScoreWriter
from edge_app.formats.score_arrays import ScoreArrayWriter
from train.commands import evaluate, tune_decoding
from train.measuring.tune import decode_all
from train.measuring.validation_set import read_validation_set, score_clips

LABELS = ("Cat", "Dog")
N_FRAMES = 300
Table = dict[str, list[Event]]


def random_table(n_clips: int) -> Table:
    generator = np.random.default_rng(4)
    reference: Table = {}
    for clip in range(n_clips):
        events = []
        for label in LABELS[: generator.integers(0, 3)]:
            onset, length = generator.integers(0, 200), generator.integers(20, 90)
            events.append(Event(onset * FRAME_S, (onset + length) * FRAME_S, label))
        reference[f"{'ab'[clip % 2]}_{clip:03d}.wav"] = events
    return reference


def noisy(reference: Table, noise: float) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    scores = {}
    for filename, events in reference.items():
        logit = 4 * rasterise(events, LABELS, N_FRAMES) - 2.5 + noise * generator.normal(size=(N_FRAMES, 2))
        scores[filename] = (1 / (1 + np.exp(-logit))).astype(np.float32)
    return scores


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Annotated clips in two halves."""
    folder = tmp_path / "clips"
    (folder / "audio").mkdir(parents=True)
    reference = random_table(n_clips=24)
    for filename in reference:
        soundfile.write(folder / "audio" / filename, np.zeros(16_000 * 6, np.float32), 16_000)
    write_events(folder / "ground_truth.tsv", reference)
    write_durations(folder / "durations.tsv", dict.fromkeys(reference, N_FRAMES * FRAME_S))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    manifest = BundleManifest(
        name="test",
        created_at="2024-01-01T00:00:00Z",
        sedge_version="0",
        event_labels=LABELS,
        log_mel=LogMelConfig(),
        hop_frames=HopFrames(default=25, allowed=(25,)),
        tag_window_frames=500,
        receptive_field_frames=ReceptiveField(mlfl=5, tag_cnn=12),
        members=(1.0,),
        gate="none",
        graph=Graph(file="g", sha256="0" * 64, precision="float32", inputs=(), outputs=()),
        decoding={label: LabelDecoding() for label in LABELS},
        metrics={"kept": 1},
        provenance={},
        parity=Parity(file="p", sha256="0" * 64, tolerance=1e-4),
    )
    folder = tmp_path / "bundle"
    folder.mkdir()
    return Bundle(folder, manifest)


class SilentRuntime:
    """In the place of a runtime that the scores below make needless."""

    name = "none"

    def __init__(self, *_: object) -> None:
        pass


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
    """Commands find `bundle`, and noisy scores of each clip: a little noisier live."""

    def scores(detector, clips):
        return noisy(clips.reference, {"clip": 1.5, "live": 2.0}[detector.context])

    for module in (tune_decoding, benchmarks.accuracy.accuracy):
        monkeypatch.setattr(module, "load_bundle", lambda _: bundle)
        monkeypatch.setattr(module, "OnnxRuntime", SilentRuntime)
        monkeypatch.setattr(module, "score_clips", scores)
    return bundle


def arguments(folder: Path, *more: object) -> list[str]:
    tables = ["--ground-truth", folder / "ground_truth.tsv", "--durations", folder / "durations.tsv"]
    return [str(argument) for argument in [*tables, *more]]


def write_scores(out: Path, scores: dict[str, np.ndarray]) -> None:
    out.mkdir()
    for filename, clip in scores.items():
        with FrameScoreWriter((out / filename).with_suffix(".tsv"), LABELS) as writer:
            writer.write(clip)


def test_evaluate_measures_events_and_frame_scores(folder: Path, tmp_path: Path) -> None:
    reference = random_table(n_clips=24)
    scores = noisy(reference, noise=0.3)
    write_scores(tmp_path / "scores", scores)
    write_events(
        tmp_path / "events.tsv", decode_all(scores, LABELS, {label: LabelDecoding() for label in LABELS})
    )
    given = ["--events", tmp_path / "events.tsv", "--frame-scores", tmp_path / "scores"]
    assert evaluate.main(arguments(folder, *given, "--out", tmp_path / "figures.json")) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["event_f1_macro"] > 0.9
    assert 0.5 < figures["psds1"] <= figures["psds2"] <= 1
    assert set(figures["per_class"]) == set(LABELS)
    assert figures["psds1_50"] == pytest.approx(figures["psds1"], abs=0.02)
    assert figures["psds2_50"] == pytest.approx(figures["psds2"], abs=0.02)
    f1s = {"event_f1", "segment_f1", "intersection_f1", "clip_f1"}
    assert set(figures["per_class"]["Cat"]) == {*f1s, "psds1", "psds2"}
    assert 0 < min(figures[f"{name}_macro"] for name in f1s) <= 1
    assert figures["operating_point"] is None
    assert evaluate.main(arguments(folder, "--frame-scores", tmp_path / "scores", "--no-fifty-points")) == 0


@pytest.mark.parametrize("writer", [FrameScoreWriter, ScoreArrayWriter])
def test_evaluate_takes_a_folder_of_results(
    folder: Path, tmp_path: Path, writer: type[FrameScoreWriter] | type[ScoreArrayWriter]
) -> None:
    results, figures = tmp_path / "results", tmp_path / "figures.json"
    (results / "scores").mkdir(parents=True)
    scores = noisy(random_table(n_clips=24), noise=0.3)
    found = decode_all(scores, LABELS, {label: LabelDecoding() for label in LABELS})
    write_events(results / "events.tsv", found)
    truth = [str(results), "--ground-truth", str(folder / "ground_truth.tsv"), "--no-fifty-points"]
    with pytest.raises(
        SedgeError, match=r"results: expected a folder that `sedge score` .*no durations\.tsv"
    ):
        evaluate.main(truth)
    shutil.copy(folder / "durations.tsv", results)
    suffix = ".tsv" if writer is FrameScoreWriter else ".npz"
    for filename, clip in scores.items():
        name = filename if filename == "a_000.wav" else filename.removesuffix(".wav")
        with writer(results / "scores" / f"{name}{suffix}", LABELS) as table:
            table.write(clip)
    assert evaluate.main([*truth, "--out", str(figures)]) == 0
    by_folder = json.loads(figures.read_text())
    assert by_folder["event_f1_macro"] > 0.9
    assert by_folder["psds2"] > 0.5
    by_options = ["--events", results / "events.tsv", "--frame-scores", results / "scores"]
    assert evaluate.main(arguments(folder, *by_options, "--no-fifty-points", "--out", figures)) == 0
    assert json.loads(figures.read_text()) == by_folder
    write_events(tmp_path / "silence.tsv", {filename: [] for filename in scores})
    assert evaluate.main([*truth, "--events", str(tmp_path / "silence.tsv"), "--out", str(figures)]) == 0
    assert json.loads(figures.read_text())["event_f1_macro"] == 0
    with pytest.raises(SedgeError, match="expected FOLDER or --durations, found neither"):
        evaluate.main([*truth[1:3], "--events", str(results / "events.tsv")])


def test_evaluate_says_what_an_event_table_leaves_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = {filename: events for filename, events in random_table(n_clips=24).items() if events}
    write_events(tmp_path / "events.tsv", reference)
    assert evaluate.main(arguments(folder, "--events", tmp_path / "events.tsv")) == 0
    said = capsys.readouterr()
    assert f"{24 - len(reference)} of 24 files are not in it" in said.err
    assert "1.0000" in said.out


@pytest.mark.parametrize(
    "naming", ["{}.tsv", "detections_{}.tsv", "t.{}.tsv", "op-{}.csv", "v2_{}.TSV", "{}"]
)
def test_evaluate_measures_operating_points(folder: Path, tmp_path: Path, naming: str) -> None:
    points, scores = tmp_path / "points", noisy(random_table(n_clips=24), noise=0.3)
    points.mkdir()
    for threshold in ("0.9", "0.2", "0.35", ".6"):
        value = float(threshold)
        decoding = dict.fromkeys(LABELS, LabelDecoding(threshold_on=value, threshold_off=value))
        write_events(points / naming.format(threshold), decode_all(scores, LABELS, decoding))
    given = ["--operating-points", points, "--out", tmp_path / "figures.json"]
    assert evaluate.main(arguments(folder, *given)) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["psds2"] > 0.5
    assert 0.5 < figures["per_class"]["Cat"]["psds2"] <= 1
    assert figures["operating_point"] == 0.6
    own = ["--events", points / naming.format(".6"), "--out", tmp_path / "own.json"]
    assert evaluate.main(arguments(folder, *own)) == 0
    assert (
        json.loads((tmp_path / "own.json").read_text())["event_f1_macro"] == figures["event_f1_macro"] > 0.5
    )


def test_operating_points_are_sorted_as_numbers_and_half_is_the_higher_of_equals(tmp_path: Path) -> None:
    names = ("a_0.51.tsv", "b_.1.tsv", "c_0.05.csv", "d_1.tsv", "e_0.49.tsv", "f_1e-05.tsv", "g0.tsv")
    for name in names:
        write_events(tmp_path / name, {})
    found = evaluate.read_operating_points(tmp_path)
    assert list(found) == [0, 1e-05, 0.05, 0.1, 0.49, 0.51, 1]
    assert evaluate.nearest_half(list(found)) == 0.51
    assert evaluate.nearest_half([0.1, 0.45, 0.56]) == 0.45


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("0.5.tsv", "notes.txt"), r"notes\.txt: expected a name that ends in a threshold"),
        (("0.5.tsv", "t_50.tsv"), r"t_50\.tsv: expected .* in 0\.\.\.1, .*found 50"),
        (("a_0.5.tsv", "b_.50.csv"), r"found 0\.5 in both a_0\.5\.tsv and b_\.50\.csv"),
        ((), "expected tables of detected events, found none"),
    ],
)
def test_operating_points_without_a_threshold_of_their_own_are_refused(
    folder: Path, tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    points = tmp_path / "points"
    points.mkdir()
    for name in names:
        write_events(points / name, {})
    with pytest.raises(SedgeError, match=message):
        evaluate.main(arguments(folder, "--operating-points", points))


def test_clips_that_only_the_durations_list_are_silent_if_that_is_said(folder: Path, tmp_path: Path) -> None:
    reference = random_table(n_clips=24)
    scores = noisy(reference, noise=0.3)
    eventless = next(filename for filename, events in reference.items() if not events)
    scores[eventless][120:160] = 0.99  # one false alarm of each label
    names = [*scores, *(f"silent_{clip}.wav" for clip in range(8))]
    write_durations(folder / "durations.tsv", dict.fromkeys(names, N_FRAMES * FRAME_S))
    silence = {name: np.full((N_FRAMES, 2), 0.01, np.float32) for name in names[24:]}
    write_scores(tmp_path / "scores", {**scores, **silence})
    given = arguments(folder, "--frame-scores", tmp_path / "scores", "--no-fifty-points")
    with pytest.raises(SedgeError, match=r"found 8 unknown: .*; --silent-clips takes them as clips without"):
        evaluate.main(given)
    assert evaluate.main([*given, "--silent-clips", "--out", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    # one in 144 s is 25 an hour, one in 192 s 18.75; above that all events are found, and the area ends at 100
    assert figures["annotated_only"]["psds1"] == pytest.approx(0.75)
    assert figures["psds1"] == pytest.approx(0.8125)


def test_evaluate_refuses_what_does_not_fit(folder: Path, tmp_path: Path) -> None:
    scores = noisy(random_table(n_clips=24), noise=0.3)
    write_scores(tmp_path / "scores", scores)
    with pytest.raises(SedgeError, match="found none of them"):
        evaluate.main(arguments(folder))
    (tmp_path / "scores" / "other.tsv").write_bytes((tmp_path / "scores" / "a_000.tsv").read_bytes())
    with pytest.raises(SedgeError, match="found 1 others"):
        evaluate.main(arguments(folder, "--frame-scores", tmp_path / "scores"))
    (tmp_path / "scores" / "other.tsv").unlink()
    (tmp_path / "scores" / "a_000.tsv").unlink()
    with pytest.raises(SedgeError, match=r"a_000\.tsv: cannot be read"):
        evaluate.main(arguments(folder, "--frame-scores", tmp_path / "scores"))
    write_events(tmp_path / "events.tsv", {"x.wav": []})
    with pytest.raises(SedgeError, match=r"events\.tsv: .*1 unknown: 'x\.wav'"):
        evaluate.main(arguments(folder, "--events", tmp_path / "events.tsv"))


@pytest.mark.parametrize("halves", ["--halves", "--no-halves"])
def test_tune_decoding_rewrites_the_manifest(folder: Path, scored: Bundle, halves: str) -> None:
    assert tune_decoding.main([str(scored.folder), str(folder), halves]) == 0
    (written,) = scored.folder.iterdir()
    manifest = BundleManifest.model_validate_json(written.read_text())
    assert manifest.decoding != scored.manifest.decoding
    assert manifest.model_copy(update={"decoding": {}, "metrics": {}}) == scored.manifest.model_copy(
        update={"decoding": {}, "metrics": {}}
    )
    assert manifest.metrics["kept"] == 1
    validation = manifest.metrics["validation"]
    assert ("the other" in validation["method"]) == (halves == "--halves")
    assert 0.3 < validation["contexts"]["live"]["event_f1_macro"] <= 1
    assert validation["contexts"]["clip"]["psds2"] > 0.5


def test_bench_accuracy_sets_clip_and_live_side_by_side(folder: Path, scored: Bundle, tmp_path: Path) -> None:
    assert benchmarks.accuracy.accuracy.main([str(folder), "--json", str(tmp_path / "accuracy.json")]) == 0
    report = json.loads((tmp_path / "accuracy.json").read_text())["details"]
    clip, live = report["contexts"]["clip"], report["contexts"]["live"]
    assert clip["cross_tuned"]["event_f1_macro"] > clip["shipped"]["event_f1_macro"]
    assert set(live["cross_tuned"]["event_f1_per_class"]) == set(LABELS)
    assert (clip["hop_frames"], live["hop_frames"]) == (None, 25)
    with pytest.raises(SedgeError, match="context: expected some of clip, live, found 'disc'"):
        benchmarks.accuracy.accuracy.main([str(folder), "--context", "disc"])


def test_every_clip_is_scored_from_its_audio(folder: Path, bundle: Bundle) -> None:
    class Counting:
        context = "clip"
        event_labels = LABELS

        def scores(self, blocks):
            n_samples = sum(len(block) for block in blocks)
            yield np.zeros((100, 2), np.float32)
            yield np.zeros((n_samples // 320 - 100, 2), np.float32)

    clips = read_validation_set(folder)
    scores = score_clips(cast(Detector, Counting()), clips)
    assert list(scores) == list(clips.reference)
    assert {clip.shape for clip in scores.values()} == {(N_FRAMES, 2)}


def test_a_validation_set_in_the_layout_of_desed(folder: Path, scored: Bundle, tmp_path: Path) -> None:
    tables = tmp_path / "mixes" / "metadata" / "validation"
    tables.mkdir(parents=True)
    (folder / "ground_truth.tsv").rename(tables / "synthetic.tsv")
    (folder / "durations.tsv").rename(tables / "synthetic_durations.tsv")
    with pytest.raises(SedgeError, match=r"expected ground_truth\.tsv, or the DESED layout"):
        read_validation_set(folder)
    audio = tmp_path / "mixes" / "audio" / "validation" / "synthetic"
    audio.parent.mkdir(parents=True)
    (folder / "audio").rename(audio)
    assert read_validation_set(tmp_path / "mixes").audio == audio


def test_tuning_in_halves_needs_halves(folder: Path, scored: Bundle) -> None:
    for table in ("ground_truth.tsv", "durations.tsv"):
        text = (folder / table).read_text()
        (folder / table).write_text(text.replace("a_", "c_"))
    for path in (folder / "audio").glob("a_*"):
        path.rename(path.with_name(path.name.replace("a_", "c_")))
    with pytest.raises(SedgeError, match=r"two halves, .*--no-halves tunes on all"):
        tune_decoding.main([str(scored.folder), str(folder)])


def test_a_validation_set_is_whole(folder: Path) -> None:
    (folder / "audio").rename(folder / "sound")
    assert read_validation_set(folder).audio == folder / "sound"
    (folder / "sound" / "b_001.wav").unlink()
    with pytest.raises(SedgeError, match=r"expected 24 clips, found 1 missing: \['b_001.wav'\]"):
        read_validation_set(folder)
    write_durations(folder / "durations.tsv", {"a_000.wav": 6.0})
    with pytest.raises(SedgeError, match=r"durations\.tsv: expected the 24 files"):
        read_validation_set(folder)
