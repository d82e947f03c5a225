"""A float32 bundle in another precision, and what that costs on annotated clips."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edge_app import __version__
from edge_app.core.bundle import Bundle, Parity, Precision, file_sha256, load_bundle, write_manifest
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.logmel import log_mel
from edge_app.core.parity import TOLERANCES
from edge_app.core.runtime import INPUT_NAMES, FusedInput
from edge_app.core.runtime_onnx import OnnxRuntime
from export.bundle import (
    ATTRIBUTION_FILE,
    GRAPH_FILE,
    PARITY_FILE,
    read_beginning,
    record_parity,
    staged_bundle,
)
from export.checking.calls import whole_clip
from export.onnx import write_graph
from export.precision import to_float16, to_int8
from export.receptive_field import receptive_field
from export.simplify import simplified
from train.measuring.evaluate import check_labels_known, event_f1, psds
from train.measuring.figures import figures_of
from train.measuring.tune import decode_all, smooth_all
from train.measuring.validation_set import ValidationSet, score_clips

CALIBRATION_CLIPS = 64
"""Ranges of activations hardly move with more."""
INT8_TOLERANCE = 2e-2
"""Integers are exact, but what is rounded to them comes from float32 sums, whose order differs between machines."""
COMPARED = ("psds1", "psds2", "event_f1_macro", "event_f1_micro")


@dataclass(frozen=True)
class Target:
    """What a bundle is converted to."""

    precision: Precision
    calibration: Sequence[Path] = ()
    """Recordings that the ranges of int8 activations are taken from."""
    validation: tuple[str, ValidationSet] | None = None
    """Name and clips of the set that both precisions are measured on; int8 needs it."""


def convert_bundle(bundle: Bundle, target: Target, out: Path) -> Bundle:
    """Write `bundle` in another precision to the folder `out`, whole or not at all.

    Decoding stays as it is; the figures of both precisions on the validation clips go into `metrics`. Raises
    SedgeError for a bundle that is not in float32, and for int8 without clips to calibrate on and to measure on.
    """
    _check(bundle, target)
    with staged_bundle(out) as folder:
        model = _converted(bundle, target)
        write_graph(model, folder / GRAPH_FILE)
        shutil.copyfile(bundle.parity_path, folder / PARITY_FILE)
        if (bundle.folder / ATTRIBUTION_FILE).is_file():
            shutil.copyfile(bundle.folder / ATTRIBUTION_FILE, folder / ATTRIBUTION_FILE)
        _write_manifest(bundle, target.precision, model, folder)
        if target.precision == "int8":
            _write_own_parity(folder)
        if target.validation is not None:
            _write_metrics(bundle, target, folder)
    return load_bundle(out)


def _check(bundle: Bundle, target: Target) -> None:
    if bundle.manifest.graph.precision != "float32":
        raise SedgeError(
            f"{bundle.folder}: graph.precision: expected float32 to convert from, "
            f"found {bundle.manifest.graph.precision}"
        )
    if target.precision == "int8" and (not target.calibration or target.validation is None):
        raise SedgeError(
            "int8: expected clips to calibrate on and annotated clips to measure the loss on "
            "(--calibration and --validation), found none"
        )
    if target.validation is not None:
        check_labels_known(target.validation[0], target.validation[1].reference, bundle.manifest.event_labels)


def _converted(bundle: Bundle, target: Target) -> onnx.ModelProto:
    model = simplified(onnx.load(bundle.graph_path))
    if target.precision == "float16":
        return to_float16(model)
    if target.precision == "int8":
        return to_int8(model, _calls(bundle, target.calibration))
    return model


def _calls(bundle: Bundle, recordings: Sequence[Path]) -> Iterator[FusedInput]:
    """The first window of recordings spread over those given."""
    manifest = bundle.manifest
    count = min(len(recordings), CALIBRATION_CLIPS)
    window = manifest.tag_window_frames * manifest.log_mel.hop_length
    for recording in (recordings[number * len(recordings) // count] for number in range(count)):
        frames = log_mel(read_beginning(recording, window), manifest.log_mel)[None]
        if frames.shape[1]:
            yield whole_clip(manifest, frames)


def _write_manifest(bundle: Bundle, precision: Precision, model: onnx.ModelProto, folder: Path) -> None:
    manifest = bundle.manifest
    graph = {"file": GRAPH_FILE, "sha256": file_sha256(folder / GRAPH_FILE), "precision": precision}
    tolerance = TOLERANCES.get(precision, INT8_TOLERANCE)
    parity = Parity(file=PARITY_FILE, sha256=file_sha256(folder / PARITY_FILE), tolerance=tolerance)
    fields = {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "sedge_version": __version__,
        "graph": manifest.graph.model_copy(update=graph),
        "parity": parity,
        "receptive_field_frames": receptive_field(model),
    }
    write_manifest(folder, manifest.model_copy(update=fields))


def _write_own_parity(folder: Path) -> None:
    """Make the graph's own outputs the expected ones: integers are some percent from torch, by intent and measured."""
    bundle = load_bundle(folder)
    with np.load(bundle.parity_path, allow_pickle=False) as arrays:
        inputs = {name: arrays[name] for name in INPUT_NAMES}
    call = FusedInput(**inputs)
    record_parity(call, OnnxRuntime(bundle).run(call), bundle.parity_path)
    parity = bundle.manifest.parity.model_copy(update={"sha256": file_sha256(bundle.parity_path)})
    write_manifest(folder, bundle.manifest.model_copy(update={"parity": parity}))


def _write_metrics(bundle: Bundle, target: Target, folder: Path) -> None:
    assert target.validation is not None
    name, clips = target.validation
    found = load_bundle(folder)
    measured = {
        "set": name,
        "clips": len(clips.reference),
        "calibration_clips": min(len(target.calibration), CALIBRATION_CLIPS),
        "float32": measured_figures(bundle, clips),
        target.precision: measured_figures(found, clips),
    }
    metrics = {**found.manifest.metrics, "precision": measured}
    write_manifest(folder, found.manifest.model_copy(update={"metrics": metrics}))


def measured_figures(bundle: Bundle, clips: ValidationSet) -> Mapping[str, Any]:
    """PSDS and event-F1 of whole clips with the bundle's own decoding, on one thread of the CPU."""
    labels, decoding = bundle.manifest.event_labels, bundle.manifest.decoding
    scores = score_clips(Detector(bundle, OnnxRuntime(bundle), "clip"), clips)
    f1 = event_f1(clips.reference, decode_all(scores, labels, decoding), labels)
    area = psds(smooth_all(scores, labels, decoding), clips.reference, clips.durations, labels)
    figures = figures_of(f1, area, labels)
    return {name: figures[name] for name in COMPARED}
