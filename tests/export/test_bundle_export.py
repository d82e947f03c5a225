"""From checkpoints to a bundle that a device loads, and what is refused on the way."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.core.bundle import Bundle, file_sha256, load_bundle
from edge_app.core.errors import SedgeError
from edge_app.core.parity import check_parity
from edge_app.core.runtime import INPUT_NAMES
from edge_app.core.runtime_onnx import OnnxRuntime
from export import bundle as bundle_module
from export.bundle import Member, export_bundle, load_member, run_members
from export.commands.export_bundle import main as export_command
from export.fuse import Gate
from tests.models import DEMO_CLIP, TINY_LABELS, tiny_member, write_tiny_run
from train.fitting.checkpoint import load_model, save_model


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_tiny_run(tmp_path_factory.mktemp("run"), (3, 8))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> Bundle:
    """Two pairs with uneven weights, through the command."""
    out = tmp_path_factory.mktemp("bundles") / "two members"
    arguments = ["--out", str(out), "--weights", "0.75,0.25", "--gate", "none", "--name", "pair"]
    assert export_command([str(run), *arguments]) == 0
    return load_bundle(out)


def test_bundle_holds_its_four_files(exported) -> None:
    names = {path.name for path in exported.folder.iterdir()}
    assert names == {"bundle.json", "fused.onnx", "parity.npz", "ATTRIBUTION.md"}
    assert [path.name for path in exported.folder.parent.iterdir()] == ["two members"]


def test_manifest_says_what_was_exported(exported, run) -> None:
    manifest = exported.manifest
    assert manifest.name == "pair"
    assert manifest.event_labels == TINY_LABELS
    assert manifest.members == (0.75, 0.25)
    assert manifest.gate == "none"
    assert (manifest.receptive_field_frames.mlfl, manifest.receptive_field_frames.tag_cnn) == (5, 12)
    assert manifest.tag_window_frames == 500
    assert (manifest.hop_frames.default, manifest.hop_frames.allowed) == (25, (5, 10, 25, 50))
    assert set(manifest.decoding) == set(TINY_LABELS)
    members = manifest.provenance["members"]
    assert [member["mlfl"]["seed"] for member in members] == [3, 8]
    for seed, member in zip((3, 8), members, strict=True):
        for kind in ("mlfl", "tag_cnn"):
            assert member[kind]["sha256"] == file_sha256(run / kind / str(seed) / "model.safetensors")


def test_parity_holds_on_a_real_clip_that_uses_every_input(exported) -> None:
    result = check_parity(exported, OnnxRuntime(exported))
    assert result.passed
    assert result.tolerance == 1e-4
    with np.load(exported.parity_path, allow_pickle=False) as arrays:
        assert set(arrays) == {*INPUT_NAMES, "scores", "tags"}
        assert arrays["log_mel"].shape == (1, 160, 128)
        assert arrays["memory_logit"].shape == (1, 2, 50, 3)
        assert set(np.unique(arrays["frame_valid"])) == {0, 1}


def test_bundle_of_one_member_passes_too(tiny_bundle) -> None:
    bundle = load_bundle(tiny_bundle)
    assert bundle.manifest.members == (1.0,)
    assert check_parity(bundle, OnnxRuntime(bundle)).passed


def members_of(*labels: tuple[str, ...]) -> list[Member]:
    return [Member(*tiny_member(3, seed), of_member, {}) for seed, of_member in enumerate(labels)]


def export(members: list[Member], out: Path, gate: Gate = "soft", clip: Path = DEMO_CLIP) -> Path:
    weights = [1 / len(members)] * len(members)
    return export_bundle(members, weights, gate, out, "tiny", clip, "none")


def test_a_pair_with_different_labels_is_refused(tmp_path) -> None:
    run = write_tiny_run(tmp_path, (1,))
    tag_cnn = tiny_member(len(TINY_LABELS), 1)[1]
    save_model(
        run / "tag_cnn" / "1" / "model.safetensors", "tag_cnn", tag_cnn, ("Dog", "Cat", "Speech"), {"seed": 1}
    )
    paths = [run / kind / "1" / "model.safetensors" for kind in ("mlfl", "tag_cnn")]
    with pytest.raises(
        SedgeError, match=r"event_labels: expected those of .*'Cat', 'Dog'.*found \['Dog', 'Cat'"
    ):
        load_member(*paths)


def test_members_with_different_labels_are_refused(tmp_path) -> None:
    with pytest.raises(
        SedgeError, match=r"member 2: event_labels: expected those of the first, .*found .*'Kettle'"
    ):
        export(members_of(TINY_LABELS, ("Cat", "Dog", "Kettle")), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_pair_is_refused(tmp_path) -> None:
    write_tiny_run(tmp_path, (1, 2))
    (tmp_path / "mlfl" / "1" / "model.safetensors").unlink()
    with pytest.raises(SedgeError, match=r"mlfl/1/model\.safetensors: expected a checkpoint"):
        run_members(tmp_path)
    (tmp_path / "tag_cnn" / "1" / "model.safetensors").unlink()
    assert len(run_members(tmp_path)) == 1
    (tmp_path / "tag_cnn" / "2" / "model.safetensors").unlink()
    with pytest.raises(SedgeError, match="found no such pair"):
        run_members(tmp_path)


def test_a_pair_that_was_not_trained_together_is_refused(tmp_path) -> None:
    run = write_tiny_run(tmp_path, (1,))
    paths = [run / kind / "1" / "model.safetensors" for kind in ("mlfl", "tag_cnn")]
    _, mlfl_about = load_model(paths[0], "mlfl")
    tag_cnn = tiny_member(len(TINY_LABELS), 1)[1]
    save_model(paths[1], "tag_cnn", tag_cnn, TINY_LABELS, {"mlfl": mlfl_about})
    load_member(*paths)
    save_model(paths[1], "tag_cnn", tag_cnn, TINY_LABELS, {"mlfl": {**mlfl_about, "clips": "others"}})
    with pytest.raises(SedgeError, match=r"expected the MLFL that it was trained with .*another clips"):
        load_member(*paths)


def test_pairs_come_in_the_order_of_their_seeds(tmp_path) -> None:
    run = write_tiny_run(tmp_path, (10, 2))
    assert [member.provenance["mlfl"]["seed"] for member in run_members(run)] == [2, 10]


def test_a_folder_of_something_else_is_left_alone(tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SedgeError, match="expected an empty folder or an older bundle, found other files"):
        export(members_of(TINY_LABELS), tmp_path)
    with pytest.raises(SedgeError, match="expected a folder, found a file"):
        export(members_of(TINY_LABELS), tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def older_bundle(folder: Path) -> Path:
    folder.mkdir()
    (folder / "bundle.json").write_text(json.dumps({"name": "older"}))
    return folder


def test_an_export_that_fails_leaves_the_older_bundle(tmp_path, monkeypatch) -> None:
    out = older_bundle(tmp_path / "out")

    def fail(*_: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(bundle_module, "export_onnx", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        export(members_of(TINY_LABELS), out)
    assert_older_alone(out)


def assert_older_alone(out: Path) -> None:
    assert json.loads((out / "bundle.json").read_text()) == {"name": "older"}
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.fixture
def graph_of_tiny_bundle(tiny_bundle, monkeypatch) -> None:
    """In place of an export that takes seconds: the graph of the one member of `members_of(TINY_LABELS)`, gated."""
    graph = (tiny_bundle / "fused.onnx").read_bytes()
    monkeypatch.setattr(bundle_module, "export_onnx", lambda _, path: path.write_bytes(graph))


@pytest.mark.usefixtures("graph_of_tiny_bundle")
def test_a_graph_that_does_not_give_torchs_scores_is_not_kept(tmp_path) -> None:
    out = older_bundle(tmp_path / "out")
    with pytest.raises(
        SedgeError, match=r"expected the recorded scores within 0\.0001, found a difference of"
    ):
        export(members_of(TINY_LABELS), out, gate="none")
    assert_older_alone(out)


@pytest.mark.usefixtures("graph_of_tiny_bundle")
def test_an_older_bundle_is_replaced_and_what_a_killed_export_left_goes(tmp_path) -> None:
    out = older_bundle(tmp_path / "out")
    (out / "leftover.txt").touch()
    (tmp_path / ".out.partial-abc" / "bundle").mkdir(parents=True)
    export(members_of(TINY_LABELS), out)
    assert load_bundle(out).manifest.name == "tiny"
    assert not (out / "leftover.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_clip_too_short_to_check_by_is_refused(tmp_path) -> None:
    soundfile.write(tmp_path / "click.wav", np.zeros(1000), 16000)
    with pytest.raises(
        SedgeError, match=r"click\.wav: expected a recording of seconds .*, found 1000 samples"
    ):
        export(members_of(TINY_LABELS), tmp_path / "out", clip=tmp_path / "click.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["click.wav"]
