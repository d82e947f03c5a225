"""What trained models say of whole clips: float32, batch after batch, no augmentation.

Scores of a member (MLFL and the tag-conditioned CNN that takes its tags) are those of the exported graph on
the same clip.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor, nn

from edge_app.core.errors import SedgeError
from train.data.clips import HOP_LENGTH, ClipSet
from train.fitting.batches import FeatureBatch, feature_batches
from train.models.baseline_crnn import BaselineCRNN
from train.models.mlfl import MLFL, MLFLOutput, pool_tag_logit, trailing_tag_logit
from train.models.tag_cnn import TAG_LOGIT_LIMIT, TagCNN

TagsAs = Literal["soft", "binary"]
Gate = Literal["none", "soft", "binary"]
_SCORE_BINS = 1000
SCORING_BATCH = 32
"""Clips at once: full-width models take under 4 GB with it."""

Indices = Int[np.ndarray, " clip"]
ClipRows = Float32[np.ndarray, "clip frame label"]


@dataclass(frozen=True)
class Trailing:
    """Tags pooled over the past alone, as live detection has them."""

    hop: int = 25
    """Frames between two updates of the tags."""
    ahead: int = 7
    """Frames ahead of the hop that its tags have seen."""


@dataclass(frozen=True)
class MLFLScores:
    """What MLFL says of clips, without a gate; frame scores are 0 in padding."""

    tags: Float32[np.ndarray, "clip label"]
    """Clamped as where they condition the tag-conditioned CNN."""
    scores: ClipRows
    """Specialised decision surface: the sigmoid of the attention logit."""
    detection: ClipRows
    """Detection branch."""
    trailing: ClipRows | None = None
    """Tags at each frame, pooled over the past alone, where asked for."""


def mlfl_scores(
    model: MLFL,
    clips: ClipSet,
    indices: Indices,
    device: str | torch.device = "cpu",
    trailing: Trailing | None = None,
    batch_size: int = SCORING_BATCH,
) -> MLFLScores:
    """Tags and frame scores of the clips at `indices`, in their order."""
    rows = (len(indices), clips.n_frames, len(clips.event_labels))
    tags = np.zeros((rows[0], rows[2]), np.float32)
    scores, detection = np.zeros(rows, np.float32), np.zeros(rows, np.float32)
    past = np.zeros(rows, np.float32) if trailing else None
    with _inference(model, device):
        for place, batch in _batches(clips, indices, batch_size, device):
            output: MLFLOutput = model(batch.log_mel, batch.frame_valid)
            pooled = pool_tag_logit(output.logit, output.evidence, batch.frame_valid)
            tags[place] = _array(tag_scores(pooled))
            scores[place] = _frames(torch.sigmoid(output.frame_logit), batch)
            detection[place] = _frames(torch.sigmoid(output.detection_logit), batch)
            if trailing and past is not None:
                past[place] = _frames(_trailing_tags(output, batch, trailing), batch)
    return MLFLScores(tags, scores, detection, past)


def tag_cnn_scores(
    model: TagCNN,
    clips: ClipSet,
    indices: Indices,
    tags: Float[np.ndarray, "clip label"] | ClipRows,
    tags_as: TagsAs = "soft",
    gate: Gate = "none",
    device: str | torch.device = "cpu",
    tag_threshold: float = 0.5,
    batch_size: int = SCORING_BATCH,
) -> ClipRows:
    """Frame scores of the clips at `indices`, given the tags (0 ... 1) of each clip or of each of its frames.

    `tags_as` binary conditions on whether tags reach `tag_threshold`. The gate multiplies scores with the tags
    as given (soft) or with 0 and 1 (binary). Raises SedgeError where there are not as many tags as clips.
    """
    if len(tags) != len(indices):
        raise SedgeError(f"tags: expected those of {len(indices)} clips, found {len(tags)}")
    scores = np.zeros((len(indices), clips.n_frames, len(clips.event_labels)), np.float32)
    with _inference(model, device):
        for place, batch in _batches(clips, indices, batch_size, device):
            given = torch.as_tensor(np.asarray(tags[place], np.float32), device=batch.log_mel.device)
            soft = given if given.ndim == 3 else given[:, None].expand(-1, batch.log_mel.shape[1], -1)
            hard = (soft >= tag_threshold).float()
            rows = torch.sigmoid(
                model(batch.log_mel, hard if tags_as == "binary" else soft, batch.frame_valid)
            )
            scores[place] = _frames(gated(rows, soft, hard, gate), batch)
    return scores


def baseline_scores(
    model: BaselineCRNN,
    clips: ClipSet,
    indices: Indices,
    device: str | torch.device = "cpu",
    batch_size: int = SCORING_BATCH,
) -> tuple[ClipRows, Float32[np.ndarray, "clip label"]]:
    """Frame scores and tags of the clips at `indices`."""
    n_labels = len(clips.event_labels)
    scores = np.zeros((len(indices), clips.n_frames, n_labels), np.float32)
    tags = np.zeros((len(indices), n_labels), np.float32)
    with _inference(model, device):
        for place, batch in _batches(clips, indices, batch_size, device):
            output = model(batch.log_mel, batch.frame_valid)
            scores[place], tags[place] = _frames(output.scores, batch), _array(output.tags)
    return scores, tags


def by_file(
    clips: ClipSet, indices: Indices, rows: ClipRows
) -> dict[str, Float32[np.ndarray, "frame label"]]:
    """Rows of clips under their names, each cut to its clip's real frames.

    Raises SedgeError where two of the clips have one name, as clips of different sets may.
    """
    names = [clips.filenames[clip] for clip in indices]
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise SedgeError(f"frame scores: expected one clip of each name, found several of {repeated[:3]}")
    lengths = clips.n_samples[indices] // HOP_LENGTH
    return {name: of_clip[:n_frames] for name, of_clip, n_frames in zip(names, rows, lengths, strict=True)}


def tag_scores(tag_logit: Float[Tensor, "*clip label"]) -> Float[Tensor, "*clip label"]:
    """Tags as they condition the tag-conditioned CNN: the sigmoid of the clamped logit."""
    return torch.sigmoid(tag_logit.clamp(-TAG_LOGIT_LIMIT, TAG_LOGIT_LIMIT))


def gated(
    scores: Float[Tensor, "clip frame label"],
    soft: Float[Tensor, "clip frame label"],
    hard: Float[Tensor, "clip frame label"],
    gate: Gate,
) -> Float[Tensor, "clip frame label"]:
    """Frame scores, multiplied by tags where there is a gate."""
    if gate == "none":
        return scores
    return scores * (soft if gate == "soft" else hard)


def frame_f1(clips: ClipSet, indices: Indices, rows: ClipRows) -> float:
    """Macro F1 over the real frames of the clips at `indices` against their strong labels, best thresholds.

    Thresholds lie on a grid of a thousandth: sorting millions of scores would keep a GPU waiting.
    """
    valid = clips.frame_valid()[indices]
    active = clips.strong_labels()[indices][valid]
    bins = np.round(rows[valid] * _SCORE_BINS).astype(np.int64)
    of_label = [_best_f1(bins[:, label], truth) for label, truth in enumerate(active.T) if truth.any()]
    return float(np.mean(of_label)) if of_label else 0.0


def _best_f1(bins: Int[np.ndarray, " frame"], truth: Bool[np.ndarray, " frame"]) -> float:
    """Highest F1 of the frames whose bin is at or above any one."""
    given, hits = (np.bincount(of, minlength=_SCORE_BINS + 1)[::-1].cumsum() for of in (bins, bins[truth]))
    return float((2 * hits / (given + truth.sum())).max())


def _trailing_tags(
    output: MLFLOutput, batch: FeatureBatch, trailing: Trailing
) -> Float[Tensor, "clip frame label"]:
    logit = trailing_tag_logit(output.logit, output.evidence, batch.frame_valid, trailing.hop, trailing.ahead)
    return tag_scores(logit)


@contextmanager
def _inference(model: nn.Module, device: str | torch.device) -> Iterator[None]:
    """The model on the device, in evaluation mode, in full float32; its mode is put back after."""
    was_training, place = model.training, torch.device(device)
    # channels last is the layout that the processor's convolutions are fastest in
    model.to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.eval()
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    try:
        with torch.inference_mode(), torch.autocast(place.type, enabled=False), exact:
            yield
    finally:
        model.train(was_training)


def _batches(
    clips: ClipSet, indices: Indices, batch_size: int, device: str | torch.device
) -> Iterator[tuple[slice, FeatureBatch]]:
    """Batches with the place that their rows take."""
    start = 0
    for batch in feature_batches(clips, indices, batch_size, torch.device(device)):
        end = start + len(batch.indices)
        yield slice(start, end), batch
        start = end


def _frames(rows: Tensor, batch: FeatureBatch) -> Float32[np.ndarray, "clip frame label"]:
    return _array(rows * batch.frame_valid[:, :, None])


def _array(rows: Tensor) -> Float32[np.ndarray, "clip *rest"]:
    array: Float32[np.ndarray, clip * rest] = rows.float().cpu().numpy()
    return array
