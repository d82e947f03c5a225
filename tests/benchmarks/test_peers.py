"""`sedge bench-peers`: what other systems hear and cost, and how they are judged."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.accuracy.accuracy import spread_clips
from benchmarks.comparing.demo_clips import write_demo_clips
from benchmarks.peers.baseline import BaselinePeer
from benchmarks.peers.command import gather, hear_all, main
from benchmarks.peers.judging import auc, judge
from benchmarks.peers.ours import OwnPeer
from benchmarks.peers.peer import Clip, Heard, PeerMissingError, Watch, cost_of, on_frames, whole_steps
from benchmarks.peers.sherpa import LABELS_FILE, sherpa_peer
from benchmarks.peers.silero import STEP_SAMPLES, SileroPeer
from benchmarks.report import read_result
from edge_app.commands.demo import RECORDING
from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.formats.desed_tsv import write_events
from train.measuring.validation_set import read_validation_set

LABEL = "Speech"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The demo's clips with their speech only."""
    folder = tmp_path_factory.mktemp("peers") / "clips"
    write_demo_clips(folder)
    reference = read_validation_set(folder).reference
    speech = {
        filename: [event for event in events if event.event_label == LABEL]
        for filename, events in reference.items()
    }
    write_events(folder / "ground_truth.tsv", speech)
    return folder


@pytest.fixture(scope="module")
def clips(folder):
    return read_validation_set(folder)


@pytest.fixture(scope="module")
def demo():
    return Clip.read(RECORDING)


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return load_bundle(tiny_bundle)


def test_a_watch_counts_whole_steps_and_all_of_the_work():
    watch = Watch()
    for whole in (True, False, True):
        with watch.step(whole):
            sum(range(20_000))
    assert len(watch.steps_s) == 2
    assert watch.wall_s > sum(watch.steps_s) > 0
    assert watch.cpu_s > 0
    cost = cost_of(SimpleNamespace(key="x", step_samples=1600), watch, audio_s=2.0)
    assert (cost.step_s, cost.step.count) == (0.1, 2)
    assert cost.real_time_factor == watch.wall_s / 2
    assert cost.cpu_share == watch.cpu_s / 2
    with pytest.raises(SedgeError, match="expected a clip of 1600 samples or more"):
        cost_of(SimpleNamespace(key="x", step_samples=1600), Watch(), audio_s=2.0)


def test_steps_cover_the_clip_and_frames_take_the_score_of_their_middle():
    samples = np.arange(1, 1301, dtype=np.float32)
    steps = list(whole_steps(Clip(RECORDING, samples), STEP_SAMPLES))
    assert [len(step) for step in steps] == [512, 512, 512]
    np.testing.assert_array_equal(np.concatenate(steps)[:1300], samples)
    assert not steps[-1][1300 - 1024 :].any()
    # middles at 160, 480, 800, 1120
    assert on_frames([0.1, 0.2, 0.3], STEP_SAMPLES, 4) == pytest.approx([0.1, 0.1, 0.2, 0.3])


def test_the_area_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 6, 60) / 5, rng.random(60) < 0.4
    pairs = [(s > t) + 0.5 * (s == t) for s in scores[truth] for t in scores[~truth]]
    assert auc(scores, truth) == pytest.approx(np.mean(pairs))
    assert auc(scores, np.ones(60, bool)) is None


def test_judging_what_is_perfect_and_what_is_not():
    reference = {"a": [Event(1, 2, LABEL), Event(3, 4, "Dog")], "b": [], "c": [Event(0, 5, LABEL)]}
    frames = dict.fromkeys(reference, 250)
    perfect = {}
    for filename, spans in {"a": [(50, 100)], "b": [], "c": [(0, 250)]}.items():
        scores = np.zeros(250, np.float32)
        for first, end in spans:
            scores[first:end] = 0.9
        events = [Event(first / 50, end / 50, LABEL) for first, end in spans]
        perfect[filename] = Heard(events, scores, float(scores.max()))
    judged = judge(perfect, reference, frames, LABEL)
    assert (judged.segment_f1, judged.event_f1, judged.frame_f1, judged.frame_auc, judged.clip_auc) == (
        1,
    ) * 5
    half = {**perfect, "c": Heard([Event(0, 2.5, LABEL)], perfect["a"].scores, 0.0)}
    judged = judge(half, reference, frames, LABEL)
    assert judged.frame_f1 == pytest.approx(2 * (50 + 125) / (50 + 250 + 50 + 125))
    assert judged.event_f1 == pytest.approx(0.5)
    assert judged.clip_auc == pytest.approx((1 + 0.5) / 2)
    silent = judge(dict.fromkeys(reference, Heard()), reference, frames, LABEL)
    assert (
        silent.segment_f1 is silent.event_f1 is silent.frame_f1 is silent.frame_auc is silent.clip_auc is None
    )


@pytest.mark.parametrize("context", ["live", "clip"])
def test_this_program_hears_what_it_hears_in_files(demo, bundle, context):
    detector = Detector(bundle, OnnxRuntime(bundle), context)
    watch = Watch()
    heard = OwnPeer(detector, LABEL).hear(demo, watch)
    column = bundle.manifest.event_labels.index(LABEL)
    np.testing.assert_array_equal(
        heard.scores, np.concatenate(list(detector.scores([demo.samples])))[:, column]
    )
    detection = detector.detect_file(demo.path)
    assert heard.events == [event for event in detection.events if event.event_label == LABEL]
    assert heard.tag == heard.scores.max()
    assert len(watch.steps_s) == (len(demo.samples) // (25 * 320) if context == "live" else 1)


def test_silero_hears_speech_the_same_each_time(demo, clips):
    pytest.importorskip("silero_vad")
    peer, watch = SileroPeer(LABEL), Watch()
    first = clips.audio / next(iter(clips.reference))
    heard = [peer.hear(Clip.read(first), watch) for _ in range(2)]
    assert heard[0].events == heard[1].events != []
    np.testing.assert_array_equal(heard[0].scores, heard[1].scores)
    measured = hear_all([peer], spread_clips(clips, 5), LABEL)["silero-vad"]
    assert (measured.judged.frame_auc or 0) > 0.9
    assert (measured.judged.segment_f1 or 0) > 0.8
    assert measured.cost.step_s == 0.032
    assert 0 < measured.cost.real_time_factor < 1


def test_silero_in_sherpa_hears_the_spans_of_its_package(tmp_path, clips):
    silero_vad, _ = pytest.importorskip("silero_vad"), pytest.importorskip("sherpa_onnx")
    shutil.copy(Path(silero_vad.__file__).parent / "data" / "silero_vad.onnx", tmp_path)
    peer = sherpa_peer(tmp_path, LABEL, threads=1)
    measured = hear_all([peer, SileroPeer(LABEL)], spread_clips(clips, 4), LABEL)
    ours, theirs = measured["sherpa-onnx"].judged, measured["silero-vad"].judged
    assert ours.frame_f1 == pytest.approx(theirs.frame_f1, abs=0.1)
    assert ours.frame_auc is None
    clip = Clip.read(clips.audio / next(iter(clips.reference)))
    assert peer.hear(clip, Watch()).events == peer.hear(clip, Watch()).events


def write_tagger(folder, labels):
    """A model of the CED family's form: one map of the mean of 64 mel bands. Logit 1 for the first label."""
    folder.mkdir()
    weight = np.zeros((64, len(labels)), np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["mel"], ["mean"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["nought"]),
        helper.make_node("Add", ["nought", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    bias = np.eye(1, len(labels), dtype=np.float32)[0]
    graph = helper.make_graph(
        nodes,
        "tagger",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", 64, "frame"])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", len(labels)])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, folder / "model.onnx")
    lines = [f'{number},/m/{number},"{label}"' for number, label in enumerate(labels)]
    (folder / LABELS_FILE).write_text("\n".join(["index,mid,display_name", *lines]) + "\n")


def test_a_tagger_in_sherpa_gives_the_score_of_its_label(tmp_path, demo):
    pytest.importorskip("sherpa_onnx")
    write_tagger(tmp_path / "ced", ["Speech", "Child speech, kid speaking"])
    watch = Watch()
    heard = sherpa_peer(tmp_path / "ced", LABEL, threads=1).hear(demo, watch)
    assert heard.tag == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-5)
    assert heard.events is heard.scores is None
    assert len(watch.steps_s) == 1
    with pytest.raises(SedgeError, match="expected the label speech, found none"):
        sherpa_peer(tmp_path / "ced", "speech", threads=1)
    (tmp_path / "ced" / LABELS_FILE).write_text("index,mid,display_name\n0,/m/0,Speech\n")
    with pytest.raises(
        SedgeError, match=r"expected lines of number,identifier,.name., found '0,/m/0,Speech'"
    ):
        sherpa_peer(tmp_path / "ced", LABEL, threads=1)


def test_what_is_not_there_is_said(tmp_path, bundle, monkeypatch):
    peers, missing = gather([lambda: sherpa_peer(None, LABEL, 1), BaselinePeer])
    assert [peer.key for peer in peers] == ["baseline CRNN"]
    assert missing == ["sherpa-onnx: no model given: --sherpa-model FOLDER"]
    for package in ("silero_vad", "sherpa_onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PeerMissingError, match="pip install silero-vad"):
        SileroPeer(LABEL)
    with pytest.raises(PeerMissingError, match="pip install sherpa-onnx"):
        sherpa_peer(tmp_path, LABEL, 1)


def test_a_folder_without_a_model_is_refused(tmp_path):
    pytest.importorskip("sherpa_onnx")
    with pytest.raises(SedgeError, match="expected silero_vad"):
        sherpa_peer(tmp_path, LABEL, 1)


def test_the_baseline_costs_and_tells_nothing(clips):
    found = hear_all([BaselinePeer()], spread_clips(clips, 1), LABEL)["baseline CRNN"]
    assert found.cost.step_s is None
    assert found.cost.step.count == 1
    assert found.judged.segment_f1 is None


def test_the_command_writes_every_figure(folder, bundle, tmp_path, capsys):
    out = tmp_path / "peers.json"
    words = [str(folder), "--clips", "3", "--bundle", str(bundle.folder), "--json", str(out)]
    assert main(words) == 0
    result = read_result(out)
    assert result.benchmark == "peers"
    assert result.settings["bundle"]["name"] == bundle.manifest.name
    names = {figure.name for figure in result.figures}
    for key in ("sedge live", "sedge clip", "baseline CRNN"):
        assert {f"{key} / step / p50", f"{key} / share of a core", f"{key} / real-time factor"} <= names
    assert "sedge live / step / p95" in names  # whole clips are too few to have one
    assert {"sedge live / Speech / segment-F1", "sedge clip / Speech / frame AUC"} <= names
    assert not [name for name in names if name.startswith("baseline CRNN / Speech")]
    told = capsys.readouterr().out
    assert "not measured: sherpa-onnx: no model given" in told
    with pytest.raises(SedgeError, match="--label: expected one of"):
        main([*words, "--label", "Talk"])
    with pytest.raises(SedgeError, match="expected clips with Dog, found none"):
        main([*words, "--label", "Dog"])
