"""Bundles: what is right loads, and everything else is refused in one line that says what is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_app.core.bundle import Bundle, BundleManifest, file_sha256, load_bundle, write_manifest
from edge_app.core.errors import EXIT_NO_DEVICE_OR_MODEL, BundleError
from edge_app.core.parity import check_parity
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.runtime_onnx import OnnxRuntime


@pytest.fixture
def folder(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of the test's own to damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def change(folder: Path, alter: Callable[[dict], object]) -> None:
    """Alter the manifest's fields in place."""
    path = folder / "bundle.json"
    fields = json.loads(path.read_text())
    alter(fields)
    path.write_text(json.dumps(fields))


def error_of(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    assert caught.value.exit_code == EXIT_NO_DEVICE_OR_MODEL
    message = str(caught.value)
    assert str(folder) in message
    assert "expected " in message
    assert "\n" not in message
    return message


def test_a_bundle_comes_back_as_it_was_written(folder) -> None:
    bundle = load_bundle(folder)
    write_manifest(folder, bundle.manifest)
    assert load_bundle(folder) == bundle
    assert bundle.graph_path.is_file()
    assert bundle.parity_path.is_file()
    assert [path.name for path in folder.glob(".*")] == []


def test_labels_and_weights_are_data(folder) -> None:
    manifest = load_bundle(folder).manifest
    labels = ("Kettle", "Rain on a roof")
    decoding = dict.fromkeys(labels, manifest.decoding[manifest.event_labels[0]])
    changed = {"event_labels": labels, "decoding": decoding, "members": (0.4, 0.2, 0.2, 0.2)}
    write_manifest(folder, BundleManifest(**{**dict(manifest), **changed}))
    loaded = load_bundle(folder).manifest
    assert loaded.event_labels == labels
    assert loaded.members == (0.4, 0.2, 0.2, 0.2)


@pytest.mark.parametrize("version", [2, 0, "1", True, None, 1.5])
def test_an_unknown_schema_is_refused_before_anything_else(folder, version) -> None:
    change(folder, lambda fields: fields.update(schema_version=version, from_the_future=1, graph="elsewhere"))
    assert "schema_version: expected 1, found " in error_of(folder)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda fields: fields.pop("schema_version"), "schema_version: expected 1, found nothing"),
        (lambda fields: fields.pop("gate"), "gate: expected a value"),
        (lambda fields: fields.update(gate="hard"), "gate: expected 'none' or 'soft', found \"hard\""),
        (lambda fields: fields.update(colour="red"), 'colour: expected no such field, found "red"'),
        (lambda fields: fields.update(members=[0.5, 0.4]), "members: expected weights that sum to 1"),
        (lambda fields: fields.update(members=[]), "members: expected weights that sum to 1"),
        (lambda fields: fields.update(members=[1.5, -0.5]), "members.1: expected greater than"),
        (lambda fields: fields.update(members=[float("nan")]), "members.0: expected a finite number"),
        (lambda fields: fields.update(event_labels=["A", "A"]), "event_labels: "),
        (lambda fields: fields.update(event_labels=["A\tB"]), "event_labels: "),
        (lambda fields: fields.update(event_labels=[]), "event_labels: "),
        (lambda fields: fields["decoding"].popitem(), "decoding: expected "),
        (lambda fields: fields["decoding"].update(Another={}), "decoding: expected "),
        (lambda fields: next(iter(fields["decoding"].values())).update(median_frames=4), "an odd number"),
        (lambda fields: next(iter(fields["decoding"].values())).update(threshold_on=1.5), ".threshold_on: "),
        (lambda fields: fields["log_mel"].update(preemphasis=0.97), "log_mel: expected exactly "),
        (lambda fields: fields["log_mel"].pop("n_mels"), "log_mel: expected exactly "),
        (lambda fields: fields["log_mel"].update(hop_length=160), "log_mel: expected frames of 0.02 s"),
        (lambda fields: fields["hop_frames"].update(default=7), "hop_frames: default: expected one of "),
        (lambda fields: fields["hop_frames"]["allowed"].append(0), "hop_frames.allowed."),
        (lambda fields: fields["hop_frames"]["allowed"].append(501), "hop_frames.allowed: expected at most"),
        (lambda fields: fields["receptive_field_frames"].update(mlfl=99), "receptive_field_frames: mlfl: "),
        (lambda fields: fields["graph"].update(sha256="abc"), "graph.sha256: expected match pattern"),
        (lambda fields: fields["parity"].update(tolerance=0), "parity.tolerance: expected greater than 0"),
    ],
)
def test_a_field_that_is_wrong_is_named(folder, alter, message) -> None:
    change(folder, alter)
    assert message in error_of(folder)


@pytest.mark.parametrize("section", ["graph", "parity"])
@pytest.mark.parametrize(
    "path",
    ["../fused.onnx", "/etc/hostname", "", ".", "a/../../b", "..\\fused.onnx", "C:\\x", "C:x", "\\x", "a\0"],
)
def test_a_path_that_leaves_the_folder_is_refused(folder, section, path) -> None:
    shutil.copy(folder / "fused.onnx", folder.parent / "fused.onnx")
    change(folder, lambda fields: fields[section].update(file=path))
    assert f"{section}.file: expected " in error_of(folder)


def test_a_link_that_leaves_the_folder_is_refused(folder) -> None:
    outside = folder.parent / "outside.onnx"
    (folder / "fused.onnx").rename(outside)
    (folder / "fused.onnx").symlink_to(outside)
    assert "graph.file: expected a path inside the bundle, found a link out of it" in error_of(folder)
    (folder / "fused.onnx").unlink()
    (folder / "fused.onnx").symlink_to(folder / "fused.onnx")
    assert "graph.file: expected" in error_of(folder)


def test_a_bundle_behind_a_link_loads(folder) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert load_bundle(link).graph_path == link / "fused.onnx"


@pytest.mark.parametrize(("section", "file"), [("graph", "fused.onnx"), ("parity", "parity.npz")])
def test_a_changed_or_missing_file_is_refused(folder, section, file) -> None:
    path = folder / file
    recorded = file_sha256(path)
    with path.open("ab") as handle:
        handle.write(b"\0")
    assert error_of(folder) == f"{path}: {section}.sha256: expected {recorded}, found {file_sha256(path)}"
    path.unlink()
    assert f"{section}.file: expected {path}, found no such file" in error_of(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema_version": '])
def test_a_manifest_that_is_no_manifest_is_refused(folder, content) -> None:
    (folder / "bundle.json").write_bytes(content)
    assert "bundle.json: " in error_of(folder)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path) -> None:
    (tmp_path / "file").touch()
    assert "found nothing" in error_of(tmp_path / "nowhere")
    assert "found a file" in error_of(tmp_path / "file")
    assert "expected the manifest of a bundle" in error_of(tmp_path)


def test_a_graph_that_does_not_load_is_refused(folder) -> None:
    (folder / "fused.onnx").write_bytes(b"no graph")
    change(folder, lambda fields: fields["graph"].update(sha256=file_sha256(folder / "fused.onnx")))
    with pytest.raises(BundleError, match=r"fused\.onnx: expected a graph"):
        OnnxRuntime(load_bundle(folder))


class OffsetRuntime(OnnxRuntime):
    """Another runtime, whose scores are off by a fixed amount."""

    def __init__(self, bundle: Bundle, offset: float) -> None:
        super().__init__(bundle)
        self._offset = np.float32(offset)

    def run(self, call: FusedInput) -> FusedOutput:
        output = super().run(call)
        return FusedOutput(output.scores + self._offset, output.tags, output.logit, output.evidence)


def test_parity_is_the_largest_difference(tiny_bundle) -> None:
    bundle = load_bundle(tiny_bundle)
    exact = check_parity(bundle, OnnxRuntime(bundle))
    assert exact.passed
    assert exact.max_difference <= exact.tolerance == bundle.manifest.parity.tolerance
    off = check_parity(bundle, OffsetRuntime(bundle, 0.1))
    assert not off.passed
    assert check_parity(bundle, OffsetRuntime(bundle, 0.1), tolerance=0.2).passed
    assert off.max_difference == pytest.approx(0.1, abs=1e-3)
    assert not check_parity(bundle, OffsetRuntime(bundle, np.nan)).passed


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda arrays: arrays.pop("scores"), "expected the array scores"),
        (lambda arrays: arrays.update(tags=np.array([{"code": 1}])), "expected an archive of arrays"),
        (lambda arrays: arrays.update(tags=arrays["tags"].astype(np.float64)), "tags: expected float32"),
        (lambda arrays: arrays.update(scores=arrays["scores"][:, 1:]), "scores: expected shape"),
    ],
)
def test_a_damaged_parity_file_is_refused(folder, alter, message) -> None:
    with np.load(folder / "parity.npz") as archive:
        arrays = dict(archive)
    alter(arrays)
    np.savez(folder / "parity.npz", **arrays)
    change(folder, lambda fields: fields["parity"].update(sha256=file_sha256(folder / "parity.npz")))
    bundle = load_bundle(folder)
    with pytest.raises(BundleError, match=message):
        check_parity(bundle, OnnxRuntime(bundle))
