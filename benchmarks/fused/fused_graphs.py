"""The graphs that `sedge bench-fused` times: ensembles of full or small width, in each precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from edge_app.core.bundle import Bundle, BundleManifest, file_sha256
from edge_app.core.errors import SedgeError
from edge_app.core.runtime import FusedInput
from export.bundle import run_members
from export.checking.calls import whole_clip
from export.fuse import FusedEnsemble
from export.onnx import fused_graph, write_graph
from export.precision import to_float16, to_int8
from train.models.mlfl import MLFL, MLFLConfig
from train.models.tag_cnn import TagCNN, TagCNNConfig

Preset = Literal["full", "small"]
Precision = Literal["float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Pair = tuple[MLFL, TagCNN]
TYPICAL_MEAN, TYPICAL_VARIANCE = -10.0, 10.0
"""Of log-mel values, for untrained models to normalise by."""


@dataclass(frozen=True)
class FusedGraph:
    """A graph to time, as a bundle that a runtime opens."""

    title: str
    precision: str
    bundle: Bundle

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self.bundle.graph_path.stat().st_size


def untrained_pairs(n_members: int, n_labels: int, preset: Preset) -> list[Pair]:
    """Untrained members, each with weights of its own: what members share would be computed once."""
    return [_untrained_pair(n_labels, preset, seed) for seed in range(n_members)]


def _untrained_pair(n_labels: int, preset: Preset, seed: int) -> Pair:
    torch.manual_seed(seed)
    is_small = preset == "small"
    mlfl = MLFL(MLFLConfig.small(n_labels) if is_small else MLFLConfig(n_labels))
    tag_cnn = TagCNN(TagCNNConfig.small(n_labels) if is_small else TagCNNConfig(n_labels))
    assert mlfl.input_norm.running_mean is not None
    assert mlfl.input_norm.running_var is not None
    mlfl.input_norm.running_mean.fill_(TYPICAL_MEAN)
    mlfl.input_norm.running_var.fill_(TYPICAL_VARIANCE)
    torch.nn.init.normal_(
        mlfl.attention.weight, 0, 0.1
    )  # zero at the start of training, and so the same in all
    mean, variance = (torch.full((tag_cnn.config.n_mels,), each) for each in (TYPICAL_MEAN, TYPICAL_VARIANCE))
    tag_cnn.input_norm.set_statistics(mean, variance)
    return mlfl.eval(), tag_cnn.eval()


def trained_pairs(runs: Sequence[Path], n_members: int, event_labels: tuple[str, ...]) -> list[Pair]:
    """The first members of runs. Raises SedgeError where there are fewer, or their labels are not the bundle's."""
    members = [member for run in runs for member in run_members(run)]
    places = ", ".join(map(str, runs))
    if len(members) < n_members:
        raise SedgeError(f"{places}: expected at least {n_members} pairs of models, found {len(members)}")
    for member in members[:n_members]:
        if member.event_labels != event_labels:
            raise SedgeError(
                f"{places}: event_labels: expected those of the bundle, {list(event_labels)}, "
                f"found {list(member.event_labels)}"
            )
    return [(member.mlfl, member.tag_cnn) for member in members[:n_members]]


def ensemble(pairs: Sequence[Pair]) -> FusedEnsemble:
    """The mean of members, gated as shipped bundles may be."""
    return FusedEnsemble(pairs, [1 / len(pairs)] * len(pairs), "soft").eval()


def bundle_graphs(
    bundle: Bundle, precisions: Sequence[Precision], folder: Path, log_mel: NDArray[np.float32]
) -> list[FusedGraph]:
    """A bundle's graph as it is and, where that is float32, in the others; int8 by the ranges on `log_mel`."""
    as_is = FusedGraph("the bundle's", bundle.manifest.graph.precision, bundle)
    if as_is.precision != "float32":
        return [as_is]
    others = [precision for precision in precisions if precision != "float32"]
    model = onnx.load(bundle.graph_path)
    return [as_is, *(_graph(model, each, bundle.manifest, as_is.title, folder, log_mel) for each in others)]


def ensemble_graphs(
    fused: FusedEnsemble,
    manifest: BundleManifest,
    precisions: Sequence[Precision],
    folder: Path,
    log_mel: NDArray[np.float32],
) -> list[FusedGraph]:
    """The graphs of an ensemble, everything but the models as in a bundle's manifest."""
    settings = manifest.model_copy(update={"members": fused.weights})
    model, title = fused_graph(fused), f"K = {len(fused.members)}"
    return [_graph(model, each, settings, title, folder, log_mel) for each in precisions]


def _graph(
    model: onnx.ModelProto,
    precision: Precision,
    manifest: BundleManifest,
    title: str,
    folder: Path,
    log_mel: NDArray[np.float32],
) -> FusedGraph:
    place = folder / f"{title.replace(' ', '')}-{precision}"
    place.mkdir(parents=True)
    write_graph(_converted(model, precision, manifest, log_mel), place / manifest.graph.file)
    update = {"sha256": file_sha256(place / manifest.graph.file), "precision": precision}
    graph = manifest.graph.model_copy(update=update)
    return FusedGraph(title, precision, Bundle(place, manifest.model_copy(update={"graph": graph})))


def _converted(
    model: onnx.ModelProto, precision: Precision, manifest: BundleManifest, log_mel: NDArray[np.float32]
) -> onnx.ModelProto:
    copied = onnx.ModelProto()  # what converts a graph may write into it
    copied.CopyFrom(model)
    if precision == "float16":
        return to_float16(copied)
    return to_int8(copied, [clip_call(manifest, log_mel)]) if precision == "int8" else copied


def clip_call(manifest: BundleManifest, log_mel: NDArray[np.float32]) -> FusedInput:
    """The first window of log-mel (frame, mel), all of it real and pooled, without memory."""
    return whole_clip(manifest, log_mel[None, : manifest.tag_window_frames])


def step_call(manifest: BundleManifest, log_mel: NDArray[np.float32], hop_frames: int) -> FusedInput:
    """A steady live step: a hop with its context and the memory of the rest of the window."""
    n_frames = hop_frames + 2 * manifest.receptive_field_frames.tag_cnn
    n_members, past = len(manifest.members), manifest.tag_window_frames - hop_frames
    ones = np.ones((1, n_frames), np.float32)
    memory = np.zeros((1, n_members, past, len(manifest.event_labels)), np.float32)
    return FusedInput(log_mel[None, :n_frames], ones, ones, memory, memory)
