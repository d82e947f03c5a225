"""`sedge export-check`: what is right passes, what differs is found with its place, and rounding is told apart."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edge_app import cli
from edge_app.core import runtimes
from edge_app.core.bundle import Bundle, file_sha256, load_bundle, write_manifest
from edge_app.core.decode import LabelDecoding
from edge_app.core.errors import SedgeError
from edge_app.core.gpu import CudaError
from edge_app.core.logmel import log_mel
from edge_app.core.runtime import EMPTY_LOGIT, FusedInput, FusedOutput
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.core.tensorrt_engine import ShapeRefused
from export.bundle import CHECKPOINT_FILE
from export.checking.agreement import disagreements, heard, n_same
from export.checking.calls import BATCH, parity_calls
from export.checking.check import STORED_CLIP, Checker, Reference, check, tolerance_of, worst
from export.checking.peak_memory import can_measure, peak_of
from export.checking.torch_runtime import rebuild
from tests.models import DEMO_CLIP, TINY_LABELS, write_tiny_run

MIB = 2**20


def with_origin(bundle: Bundle, folder: Path, run: Path, seeds: tuple[int, ...]) -> Bundle:
    """A copy of a bundle whose provenance names the checkpoints of a run, a member each."""
    shutil.copytree(bundle.folder, folder)
    kinds = ("mlfl", "tag_cnn")
    members = [
        {
            kind: {"sha256": file_sha256(run / kind / str(seed) / CHECKPOINT_FILE), "seed": seed}
            for kind in kinds
        }
        for seed in seeds
    ]
    weights = (1 / len(seeds),) * len(seeds)
    update = {"provenance": {"members": members}, "members": weights}
    write_manifest(folder, bundle.manifest.model_copy(update=update))
    return load_bundle(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_tiny_run(tmp_path_factory.mktemp("run"), (0, 8))


@pytest.fixture(scope="module")
def bundle(tiny_bundle, run, tmp_path_factory) -> Bundle:
    """The bundle of the one member that lies in the run under seed 0."""
    return with_origin(load_bundle(tiny_bundle), tmp_path_factory.mktemp("bundles") / "tiny", run, (0,))


@pytest.fixture(scope="module")
def two_members(bundle, run, tmp_path_factory) -> Bundle:
    """A manifest of two members; the graph has one."""
    return with_origin(bundle, tmp_path_factory.mktemp("bundles") / "two", run, (0, 8))


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """The first twelve seconds of the soundscape."""
    path = tmp_path_factory.mktemp("recordings") / "twelve seconds.flac"
    soundfile.write(path, *soundfile.read(DEMO_CLIP, frames=12 * 16000))
    return path


def spoiled(bundle: Bundle, folder: Path, by: float) -> Bundle:
    """The bundle with a bias of its graph's last convolution changed, and a manifest that says it should be so."""
    shutil.copytree(bundle.folder, folder)
    model = onnx.load(bundle.graph_path)
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    bias = next(each for each in model.graph.initializer if each.name == last.input[2])
    changed = onnx.numpy_helper.to_array(bias) + np.float32(by)
    bias.CopyFrom(onnx.numpy_helper.from_array(changed, bias.name))
    path = folder / bundle.manifest.graph.file
    onnx.save(model, path)
    graph = bundle.manifest.graph.model_copy(update={"sha256": file_sha256(path)})
    write_manifest(folder, bundle.manifest.model_copy(update={"graph": graph}))
    return load_bundle(folder)


def test_exported_graph_passes_against_its_clip_and_its_checkpoints(bundle, run, recording, tmp_path):
    report = check(bundle, ("cpu",), [recording], tmp_path, rebuild(bundle, [run]))
    assert report.passed
    compared = [(row.reference, row.output) for row in report.differences]
    outputs = ["scores", "tags", "logit", "evidence"]
    assert compared[:2] == [(STORED_CLIP, "scores"), (STORED_CLIP, "tags")]
    assert compared[-4:] == [("torch", output) for output in outputs]
    assert [(row.context, row.unexcused) for row in report.agreements] == [("clip", ()), ("live", ())]
    assert all(row.peak and row.peak.peak_bytes > 20 * MIB for row in report.memory)


def test_graph_that_differs_is_found_with_its_place(bundle, run, recording, tmp_path, capsys):
    wrong = spoiled(bundle, tmp_path / "wrong", 0.01)
    path = tmp_path / "report.json"
    words = [
        "--runtime",
        "cpu",
        "--checkpoints",
        str(run),
        "--recordings",
        str(recording),
        "--json",
        str(path),
    ]
    assert cli.main(["export-check", str(wrong.folder), *words]) == 1
    report = json.loads(path.read_text())
    assert not report["passed"]
    failed = [row for row in report["differences"] if row["value"] > row["tolerance"]]
    # the changed bias comes after the tags, so only the scores are wrong
    assert [(row["reference"], row["output"]) for row in failed] == [
        (STORED_CLIP, "scores"),
        ("torch", "scores"),
    ]
    assert "frame" in failed[1]["where"]
    assert failed[1]["where"].split(", ")[-1] in TINY_LABELS
    assert "FAILED" in capsys.readouterr().out


def test_checkpoints_that_are_not_the_bundle_s_are_named(two_members, run, tmp_path):
    other = write_tiny_run(tmp_path / "other", (0, 8), first_weights=100)
    for place in ("mlfl/0", "tag_cnn/0", "mlfl/8"):
        shutil.copy(run / place / CHECKPOINT_FILE, other / place / CHECKPOINT_FILE)
    with pytest.raises(SedgeError, match=r"member 2: tag_cnn: expected the checkpoint \(seed 8\)") as caught:
        rebuild(two_members, [other])
    assert str(other / "tag_cnn" / "8" / CHECKPOINT_FILE) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_checkpoints_are_found_in_whichever_run_they_lie(two_members, run, tmp_path):
    other = write_tiny_run(tmp_path / "other", (0,), first_weights=100)
    files = [run / kind / "8" / CHECKPOINT_FILE for kind in ("mlfl", "tag_cnn")]
    assert rebuild(two_members, [other, run]).name.startswith("torch")
    with pytest.raises(SedgeError, match="member 1: mlfl"):
        rebuild(two_members, [other, *files])


def test_checkpoints_are_found_whatever_their_files_are_called(bundle, run, tmp_path):
    files = [tmp_path / f"{kind}.safetensors" for kind in ("mlfl", "tag_cnn")]
    for file in files:
        shutil.copy(run / file.stem / "0" / CHECKPOINT_FILE, file)
    assert rebuild(bundle, files).name.startswith("torch")


@pytest.mark.parametrize("kind", ["no provenance", "no run"])
def test_reference_that_cannot_be_rebuilt_is_told(kind, bundle, tiny_bundle, run, tmp_path):
    with pytest.raises(SedgeError, match=r"expected the hash of a checkpoint|found neither"):
        rebuild(load_bundle(tiny_bundle), [run]) if kind == "no provenance" else rebuild(bundle, [tmp_path])


def test_named_runtime_that_is_not_to_be_had_is_a_failure_of_its_own(bundle, recording, tmp_path, capsys):
    words = ["--engines", str(tmp_path), "--recordings", str(recording)]
    assert cli.main(["export-check", str(bundle.folder), "--runtime", "tensorrt", *words]) == 3
    assert "tensorrt: NOT TO BE HAD: " in capsys.readouterr().out


class LiveOnly(OnnxRuntime):
    """Takes the shapes of live steps alone, as an engine without the profile for clips does."""

    def run(self, call: FusedInput) -> FusedOutput:
        if call.log_mel.shape[1] > 200:
            raise ShapeRefused("expected fewer frames")
        return super().run(call)


class Broken(OnnxRuntime):
    """Fails as a library does."""

    def run(self, call: FusedInput) -> FusedOutput:
        raise RuntimeError("device\nlost")


class OutOfMemory(OnnxRuntime):
    """Takes the stored clip, and fails at what is larger."""

    def run(self, call: FusedInput) -> FusedOutput:
        if call.log_mel.shape[1] > 200:
            raise CudaError("cudaMalloc: expected success, found cudaErrorMemoryAllocation")
        return super().run(call)


class NoNumbers(OnnxRuntime):
    """Computes nonsense."""

    def run(self, call: FusedInput) -> FusedOutput:
        output = super().run(call)
        return FusedOutput(output.scores * np.float32(np.nan), output.tags, output.logit, output.evidence)


def test_what_a_runtime_does_not_take_and_what_stops_it_are_told_apart(bundle, run, recording):
    checker = Checker(bundle, Reference("torch", rebuild(bundle, [run])), [recording], lambda _: None)
    checker.check("tensorrt", LiveOnly(bundle))
    assert not checker.failures
    assert all(row.passed for row in checker.differences)
    assert all(row.passed for row in checker.agreements)
    assert [row.context for row in checker.agreements] == ["live"]
    assert {text.split(": ")[1] for text in checker.not_taken} == {"clip", "padded clip", "clip context"}
    checker.check("cuda", Broken(bundle))
    checker.check("onnx-tensorrt", OutOfMemory(bundle))
    assert checker.failures == {
        "cuda": "RuntimeError: device lost",
        "onnx-tensorrt": "cudaMalloc: expected success, found cudaErrorMemoryAllocation",
    }


def test_pitfall_a_runtime_that_gives_no_numbers_fails_and_is_not_missing(
    bundle, recording, tmp_path, monkeypatch
):
    monkeypatch.setattr(runtimes, "OnnxRuntime", lambda bundle, *_: NoNumbers(bundle))
    report = check(bundle, ("cuda",), [recording], tmp_path)
    assert not report.passed
    assert not report.missing
    failed = [row.output for row in report.differences if not row.passed]
    assert failed == ["scores"]


def test_runtimes_that_are_not_at_hand_are_listed_with_their_reasons(bundle, recording, tmp_path):
    report = check(bundle, (), [recording], tmp_path)
    assert report.passed
    assert "cpu" in report.opened
    assert not report.missing
    reasons = {other.name: other.reason for other in report.passed_over}
    assert reasons["tensorrt"]
    assert not any(reason.startswith("runtime ") for reason in reasons.values())


def test_calls_use_every_input(bundle):
    waveform, _ = soundfile.read(DEMO_CLIP, dtype="float32", frames=4 * 16000)
    calls = {each.name: each.call for each in parity_calls(bundle, OnnxRuntime(bundle), log_mel(waveform))}
    shapes = {name: (len(call.log_mel), call.memory_logit.shape[2]) for name, call in calls.items()}
    assert shapes["clip"] == shapes["padded clip"] == (1, 0)
    assert shapes["live step 1"] == shapes["live step 2"] == (1, 475)
    assert [name for name, (batch, _) in shapes.items() if batch > 1] == [f"batch of {BATCH} with memory"]
    assert (calls["live step 1"].frame_valid == 0).any()
    assert (calls["live step 1"].memory_logit == EMPTY_LOGIT).all()
    full = [call for name, call in calls.items() if name.startswith("live step")][-1]
    assert (full.memory_logit != EMPTY_LOGIT).all()
    batch = calls[f"batch of {BATCH} with memory"]
    assert len({tuple(row) for row in batch.frame_valid}) == BATCH
    assert (batch.frame_valid - batch.frame_pooled).any()
    assert (batch.memory_logit == EMPTY_LOGIT).any()


@pytest.mark.parametrize(("precision", "allowed"), [("float32", 1e-4), ("float16", 1e-2), ("int8", 0.07)])
def test_tolerance_is_the_precision_s(precision, allowed, bundle):
    graph = bundle.manifest.graph.model_copy(update={"precision": precision})
    recorded = allowed if precision == "int8" else 1e-4
    parity = bundle.manifest.parity.model_copy(update={"tolerance": recorded})
    manifest = bundle.manifest.model_copy(update={"graph": graph, "parity": parity})
    assert tolerance_of(replace(bundle, manifest=manifest), OnnxRuntime(bundle)) == allowed


def literal_worst(found, expected):
    """The largest difference, by a loop."""
    values = [
        (abs(float(f) - float(e)) / max(1.0, abs(float(e))), index)
        for (index, f), e in zip(np.ndenumerate(found), expected.flat, strict=True)
    ]
    return max(values, key=lambda value: value[0])


@given(st.integers(0, 10_000))
def test_worst_difference_is_what_a_loop_finds(seed):
    source = np.random.default_rng(seed)
    expected = source.normal(0, 5, (2, 2, 4, 3)).astype(np.float32)
    found = expected + source.normal(0, 1e-3, expected.shape).astype(np.float32)
    value, place = worst("logit", found, expected, TINY_LABELS)
    expected_value, (batch, member, frame, label) = literal_worst(found, expected)
    assert value == pytest.approx(expected_value, rel=1e-4)
    assert place == f"batch {batch}, member {member}, frame {frame}, {TINY_LABELS[label]}"


def test_pitfall_no_number_and_another_shape_are_differences():
    scores = np.full((1, 4, 3), 0.5, np.float32)
    broken = scores.copy()
    broken[0, 2, 1] = np.nan
    assert worst("scores", broken, scores, TINY_LABELS) == (math.inf, "batch 0, frame 2, Dog")
    assert worst("scores", scores[:, :3], scores, TINY_LABELS)[0] == math.inf


DECODING = dict.fromkeys(
    TINY_LABELS, LabelDecoding(threshold_on=0.6, median_frames=5, min_on_s=0.1, min_off_s=0.06)
)


@given(st.integers(0, 10_000))
def test_events_that_differ_by_rounding_alone_are_always_excused(seed):
    source, tolerance = np.random.default_rng(seed), 0.02
    walk = np.cumsum(source.normal(0, 0.05, (300, 3)), axis=0)
    scores = (0.5 + 0.5 * np.sin(walk)).astype(np.float32)
    noise = source.uniform(-tolerance, tolerance, scores.shape).astype(np.float32)
    one, other = heard(scores, TINY_LABELS, DECODING), heard(scores + noise, TINY_LABELS, DECODING)
    found = disagreements(one, other, TINY_LABELS, DECODING, tolerance + 1e-6)
    assert all(each.excused for each in found)
    assert bool(found) == (n_same(one.events, other.events) != max(len(one.events), len(other.events)))


def test_pitfall_event_that_no_threshold_is_near_is_not_excused():
    scores = np.zeros((200, 3), np.float32)
    scores[50:100, 1] = 0.9
    missed, late = np.zeros_like(scores), np.roll(scores, 4, axis=0)
    reference = heard(scores, TINY_LABELS, DECODING)
    for other in (missed, late):
        (found,) = disagreements(reference, heard(other, TINY_LABELS, DECODING), TINY_LABELS, DECODING, 1e-2)
        assert (found.event_label, found.excused) == ("Dog", False)


@pytest.mark.skipif(not can_measure(), reason="this system does not tell a process's peak")
def test_peak_is_measured_in_a_process_of_its_own(bundle, tmp_path):
    # held here, so that a process which counts this one's memory is found out
    ballast = bytearray(b"x" * (256 * MIB))
    peak = peak_of(bundle.folder, "cpu", tmp_path)
    assert 20 * MIB < peak.loaded_bytes < peak.peak_bytes < len(ballast)
    with pytest.raises(
        SedgeError, match=r"expected exit code 0, found 3: .*expected a bundle folder"
    ) as caught:
        peak_of(tmp_path / "none", "cpu", tmp_path)
    assert "\n" not in str(caught.value)
