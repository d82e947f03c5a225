"""Checkpoints to a bundle: the folder that a device runs."""

import glob
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from edge_app import __version__
from edge_app.core.audio import read_blocks
from edge_app.core.bundle import (
    BundleManifest,
    Graph,
    HopFrames,
    Parity,
    file_sha256,
    load_bundle,
    write_manifest,
)
from edge_app.core.decode import LabelDecoding
from edge_app.core.errors import SedgeError
from edge_app.core.logmel import LogMelConfig, log_mel
from edge_app.core.parity import TOLERANCES, ParityResult, check_parity
from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES, FusedInput, FusedOutput
from edge_app.core.runtime_onnx import OnnxRuntime
from export.fuse import FusedEnsemble, Gate
from export.onnx import export_onnx
from export.receptive_field import receptive_field
from train.fitting.checkpoint import load_model
from train.models.mlfl import MLFL
from train.models.tag_cnn import TagCNN

HOP_FRAMES = HopFrames(default=25, allowed=(5, 10, 25, 50))
TAG_WINDOW_FRAMES = 500
PARITY_S = 4.0
CHECKPOINT_FILE = "model.safetensors"
GRAPH_FILE, PARITY_FILE, ATTRIBUTION_FILE = "fused.onnx", "parity.npz", "ATTRIBUTION.md"


@dataclass(frozen=True)
class Member:
    """One trained pair and where it comes from."""

    mlfl: MLFL
    tag_cnn: TagCNN
    event_labels: tuple[str, ...]
    provenance: dict[str, Any]


def load_member(mlfl_path: Path, tag_cnn_path: Path) -> Member:
    """A pair of checkpoints; SedgeError where their labels differ or the second was trained with another MLFL."""
    mlfl, mlfl_about = load_model(mlfl_path, "mlfl")
    tag_cnn, tag_about = load_model(tag_cnn_path, "tag_cnn")
    labels = tuple(tag_about["event_labels"])
    if labels != tuple(mlfl_about["event_labels"]):
        raise SedgeError(
            f"{tag_cnn_path}: event_labels: expected those of {mlfl_path}, {mlfl_about['event_labels']}, "
            f"found {list(labels)}"
        )
    provenance = {
        "mlfl": {"sha256": file_sha256(mlfl_path), **mlfl_about},
        "tag_cnn": {"sha256": file_sha256(tag_cnn_path), **tag_about},
    }
    differing = [
        key for key, value in tag_about.get("mlfl", {}).items() if provenance["mlfl"].get(key) != value
    ]
    if differing:
        raise SedgeError(
            f"{tag_cnn_path}: expected the MLFL that it was trained with in {mlfl_path}, "
            f"found one of another {', '.join(differing)}"
        )
    return Member(cast(MLFL, mlfl), cast(TagCNN, tag_cnn), labels, provenance)


def run_members(run: Path) -> list[Member]:
    """The pairs of a run: each finished `tag_cnn/<seed>` with `mlfl/<seed>`, in the order of their seeds.

    Raises SedgeError where there is none, or an MLFL is missing.
    """
    return [load_member(*pair) for pair in run_pairs(run).values()]


def run_pairs(run: Path) -> dict[str, tuple[Path, Path]]:
    """Checkpoints of each finished pair of a run by its seed, in that order; SedgeError where there is none."""
    pairs = {
        folder.name: (run / "mlfl" / folder.name / CHECKPOINT_FILE, folder / CHECKPOINT_FILE)
        for folder in sorted((run / "tag_cnn").glob("*"), key=lambda folder: (len(folder.name), folder.name))
    }
    found = {seed: pair for seed, pair in pairs.items() if pair[1].is_file()}
    if not found:
        raise SedgeError(
            f"{run}: expected mlfl/<seed>/ and tag_cnn/<seed>/{CHECKPOINT_FILE}, found no such pair"
        )
    return found


def export_bundle(
    members: Sequence[Member],
    weights: Sequence[float],
    gate: Gate,
    out: Path,
    name: str,
    parity_clip: Path,
    attribution: str,
) -> Path:
    """Write the bundle of `members` to the folder `out`, whole or not at all; an older bundle there is replaced.

    Decoding starts at thresholds of 0.5; `sedge tune-decoding` sets it from a validation set. Raises SedgeError
    where the members' labels differ, the graph does not give torch's scores, or `out` holds something else.
    """
    _check_labels(members)
    fused = FusedEnsemble([(member.mlfl, member.tag_cnn) for member in members], weights, gate).eval()
    with staged_bundle(out) as folder:
        write_parity(fused, parity_clip, folder / PARITY_FILE)
        export_onnx(fused, folder / GRAPH_FILE)
        (folder / ATTRIBUTION_FILE).write_text(attribution, encoding="utf-8")
        write_manifest(folder, _manifest(members, weights, gate, name, folder))
    return out


@contextmanager
def staged_bundle(out: Path) -> Iterator[Path]:
    """A folder to write a bundle into that takes the place of `out` once it is whole.

    Raises SedgeError where `out` holds something else than a bundle, or the new one does not give its own scores.
    """
    check_place(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=_staging_prefix(out)) as staging:
        folder = Path(staging) / "bundle"
        folder.mkdir()
        yield folder
        check_scores(folder)
        _replace_folder(folder, out)
    # what killed exports left; not before, as it may hold the only whole bundle
    for left in out.parent.glob(f"{glob.escape(_staging_prefix(out))}*"):
        shutil.rmtree(left, ignore_errors=True)


def check_scores(folder: Path) -> ParityResult:
    """How far a bundle's graph on the CPU is from the scores recorded in it; SedgeError where that is too far."""
    bundle = load_bundle(folder)
    result = check_parity(bundle, OnnxRuntime(bundle))
    if not result.passed:
        raise SedgeError(
            f"{bundle.manifest.name}: expected the recorded scores within {result.tolerance:g}, "
            f"found a difference of {result.max_difference:g}"
        )
    return result


def _staging_prefix(out: Path) -> str:
    return f".{out.name}.partial-"


def _check_labels(members: Sequence[Member]) -> None:
    first = members[0].event_labels
    for number, member in enumerate(members, start=1):
        if member.event_labels != first:
            raise SedgeError(
                f"member {number}: event_labels: expected those of the first, {list(first)}, "
                f"found {list(member.event_labels)}"
            )


def check_place(out: Path) -> None:
    """Raise SedgeError where `out` holds something that a bundle must not replace."""
    if out.is_dir() and not (out / "bundle.json").exists() and any(out.iterdir()):
        raise SedgeError(f"{out}: expected an empty folder or an older bundle, found other files")
    if out.exists() and not out.is_dir():
        raise SedgeError(f"{out}: expected a folder, found a file")


def _manifest(
    members: Sequence[Member], weights: Sequence[float], gate: Gate, name: str, folder: Path
) -> BundleManifest:
    first = members[0]
    graph = Graph(
        file=GRAPH_FILE,
        sha256=file_sha256(folder / GRAPH_FILE),
        precision="float32",
        inputs=INPUT_NAMES,
        outputs=OUTPUT_NAMES,
    )
    return BundleManifest(
        name=name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        sedge_version=__version__,
        event_labels=first.event_labels,
        log_mel=LogMelConfig(),
        hop_frames=HOP_FRAMES,
        tag_window_frames=TAG_WINDOW_FRAMES,
        receptive_field_frames=receptive_field(onnx.load(folder / GRAPH_FILE)),
        members=tuple(weights),
        gate=gate,
        graph=graph,
        decoding={label: LabelDecoding() for label in first.event_labels},
        metrics={},
        provenance={"members": [member.provenance for member in members]},
        parity=Parity(
            file=PARITY_FILE, sha256=file_sha256(folder / PARITY_FILE), tolerance=TOLERANCES["float32"]
        ),
    )


def read_beginning(recording: Path, n_samples: int) -> NDArray[np.float32]:
    """The first samples of a recording at the model's rate, all of them where it is shorter; AudioError as usual."""
    blocks: list[NDArray[np.float32]] = []
    for block in read_blocks(recording, LogMelConfig().sample_rate):
        blocks.append(block)
        if sum(map(len, blocks)) >= n_samples:
            break
    return np.concatenate(blocks)[:n_samples]


def parity_input(fused: FusedEnsemble, clip: Path) -> FusedInput:
    """A call that uses every input: the clip's later frames, padded, with its earlier ones in the memory."""
    waveform = read_beginning(clip, int(PARITY_S * LogMelConfig().sample_rate))
    frames = torch.from_numpy(log_mel(waveform))[None]
    past, valid = frames.shape[1] // 4, torch.ones(1, frames.shape[1])
    if not past:
        raise SedgeError(
            f"{clip}: expected a recording of seconds to check runtimes by, found {len(waveform)} samples"
        )
    empty = torch.zeros(1, len(fused.members), 0, fused.n_labels)
    with torch.no_grad():
        _, _, logit, evidence = fused(frames, valid, valid, empty, empty)
    new = torch.nn.functional.pad(frames[:, past:], (0, 0, 0, 10))
    valid = torch.nn.functional.pad(valid[:, past:], (0, 10))
    tensors = (new, valid, valid, logit[:, :, :past], evidence[:, :, :past])
    return FusedInput(*(tensor.contiguous().numpy() for tensor in tensors))


def write_parity(fused: FusedEnsemble, clip: Path, path: Path) -> None:
    """Write a real clip's input and the scores and tags that torch gives on it."""
    call = parity_input(fused, clip)
    with torch.no_grad():
        outputs = fused(*(torch.from_numpy(getattr(call, name)) for name in INPUT_NAMES))
    record_parity(call, FusedOutput(*(output.numpy() for output in outputs)), path)


def record_parity(call: FusedInput, output: FusedOutput, path: Path) -> None:
    """Write a call with the scores and tags that a runtime must give on it."""
    inputs = {name: getattr(call, name) for name in INPUT_NAMES}
    np.savez_compressed(path, **inputs, scores=output.scores, tags=output.tags)


def _replace_folder(new: Path, out: Path) -> None:
    """Put `new` where `out` is; the old one goes once the new one is there."""
    old = new.with_name("old")
    if out.exists():
        out.replace(old)
    new.replace(out)
    shutil.rmtree(old, ignore_errors=True)
