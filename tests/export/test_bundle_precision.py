"""`sedge export-bundle --precision`: bundles in fewer bits, with what that costs."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.core.bundle import load_bundle
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.core.parity import check_parity
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.formats.desed_tsv import write_events
from export.commands.export_bundle import main as export_command
from tests.models import DEMO_CLIP, TINY_LABELS

COMPARED = {"psds1", "psds2", "event_f1_macro", "event_f1_micro"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Three clips of a real recording with made-up annotations, in the layout of a validation set."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "audio").mkdir()
    waveform, rate = soundfile.read(DEMO_CLIP, dtype="float32")
    names = [f"a_{number}.flac" for number in range(3)]
    for number, name in enumerate(names):
        soundfile.write(folder / "audio" / name, waveform[number * 4 * rate :][: 4 * rate], rate)
    reference = {
        name: [Event(0.5 * number, 0.5 * number + 1.5, TINY_LABELS[number])]
        for number, name in enumerate(names)
    }
    write_events(folder / "ground_truth.tsv", reference)
    rows = [f"{name}\t4.0" for name in names]
    (folder / "durations.tsv").write_text("\n".join(["filename\tduration", *rows]) + "\n")
    return folder


def convert(source: Path, out: Path, *arguments: object) -> None:
    assert export_command([str(part) for part in (source, "--out", out, *arguments)]) == 0


def test_float16_bundle_is_converted_and_measured(tiny_bundle, clips, tmp_path, capsys) -> None:
    convert(tiny_bundle, tmp_path / "half", "--precision", "fp16", "--validation", clips)
    plain, half = load_bundle(tiny_bundle), load_bundle(tmp_path / "half")
    assert half.manifest.graph.precision == "float16"
    assert half.manifest.parity.tolerance == 1e-2
    assert check_parity(half, OnnxRuntime(half)).passed
    kept = {"name", "event_labels", "members", "gate", "decoding", "receptive_field_frames", "provenance"}
    assert half.manifest.model_dump(include=kept) == plain.manifest.model_dump(include=kept)
    assert set(half.manifest.metrics["precision"]["float16"]) == COMPARED
    assert "float16" in capsys.readouterr().out


def test_int8_bundle_holds_and_prints_the_figures_of_both(tiny_bundle, clips, tmp_path, capsys) -> None:
    arguments = ["--precision", "int8", "--calibration", clips, "--validation", clips]
    convert(tiny_bundle, tmp_path / "small", *arguments)
    small = load_bundle(tmp_path / "small")
    assert small.manifest.graph.precision == "int8"
    measured = small.manifest.metrics["precision"]
    assert (measured["set"], measured["clips"], measured["calibration_clips"]) == (clips.name, 3, 3)
    assert set(measured["float32"]) == set(measured["int8"]) == COMPARED
    shown = capsys.readouterr().out
    for figure in ("psds1", "psds2", "event_f1_macro"):
        assert figure in shown
        assert f"{measured['int8'][figure]:.4f}" in shown
    # its own scores are recorded, which are near torch's
    assert check_parity(small, OnnxRuntime(small)).max_difference < 1e-3
    with (
        np.load(tmp_path / "small" / "parity.npz") as ours,
        np.load(tiny_bundle / "parity.npz") as torch_scores,
    ):
        assert 0 < abs(ours["scores"] - torch_scores["scores"]).max() < 0.1


def test_float32_bundle_is_copied_with_its_graph_tidied(tiny_bundle, tmp_path) -> None:
    convert(tiny_bundle, tmp_path / "copy")
    copy = load_bundle(tmp_path / "copy")
    assert copy.manifest.metrics == {}
    assert check_parity(copy, OnnxRuntime(copy)).max_difference < 1e-5


def test_a_bundle_takes_no_other_members(tiny_bundle, tmp_path) -> None:
    for arguments in (["--members", "1"], ["--weights", "1"], ["--gate", "none"]):
        with pytest.raises(SedgeError, match="a bundle is converted as it is"):
            convert(tiny_bundle, tmp_path / "out", *arguments)


def test_a_conversion_that_fails_leaves_the_older_bundle(tiny_bundle, clips, tmp_path) -> None:
    older = tmp_path / "out"
    older.mkdir()
    (older / "bundle.json").write_text(json.dumps({"name": "older"}))
    (clips.parent / "empty").mkdir(exist_ok=True)
    arguments = ["--precision", "int8", "--calibration", clips.parent / "empty", "--validation", clips]
    with pytest.raises(SedgeError, match="expected recordings"):
        convert(tiny_bundle, older, *arguments)
    assert json.loads((older / "bundle.json").read_text()) == {"name": "older"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
