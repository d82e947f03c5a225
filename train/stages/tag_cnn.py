"""Stage: the tag-conditioned CNN, trained with strong and pseudo-strong labels and the tags of an MLFL model.

At inference the tags come from MLFL on sounds it never heard, and it is surer of those it was trained on. So
some clips get their true tags instead, noise is added to the logits of all, and some see tags that grow
with the past, as live detection has them. Or all are conditioned as the published training was.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor, nn

from train.data.clips import ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.batches import TRAINING_SETS, Batch, BatchMaker
from train.fitting.checkpoint import save_model
from train.fitting.loop import LoopSettings, LossTerms, Quality, Step, fingerprint, train
from train.fitting.losses import frame_loss
from train.fitting.randomness import step_generator
from train.measuring.scoring import Gate, frame_f1, mlfl_scores, tag_cnn_scores, tag_scores
from train.models.mlfl import MLFL, pool_tag_logit, trailing_tag_logit
from train.models.tag_cnn import TagCNN, TagCNNConfig
from train.stages.mlfl import trailing_tags
from train.stages.tag import load_mlfl


class SetWeights(BaseModel):
    """Weight of each set's clips in the loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    synthetic: float = Field(1.0, ge=0)
    """Clips whose labels are exact."""
    weak: float = Field(1.0, ge=0)
    """Clips whose times are MLFL's, within the tags that were given. Published: as the synthetic ones."""
    unlabelled: float = Field(1.0, ge=0)
    """Clips whose tags and times are MLFL's. Published: as the synthetic ones."""


class TagCNNSettings(BaseModel):
    """Where the tags of training clips come from, and what is measured to choose a checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tags: Literal["mlfl", "labels"] = "mlfl"
    """`mlfl`: by the shares below, so that tags in training are as soft and as wrong as they will be; `labels`: 0
    or 1, the union of the clip's (pseudo-)strong events, as the published model was trained."""
    trailing_share: float = Field(0.5, ge=0, le=1)
    """Share of clips whose tags are pooled over the past alone, as live."""
    trailing_hop: int = Field(25, ge=1)
    """Frames between two updates of those tags: the default hop of live detection."""
    trailing_ahead: int = Field(7, ge=0)
    """Frames ahead of the hop that those tags have seen, as live."""
    truth_share: float = Field(0.3, ge=0, le=1)
    """Share of clips with true tags (softened by `truth_logit` and the noise) instead of MLFL's."""
    truth_logit: float = Field(3.0, gt=0)
    """Logit of a true tag before the noise, negated where the label is absent: a score of .95."""
    logit_noise: float = Field(1.0, ge=0)
    """Standard deviation of the noise on the logits of tags."""
    weights: SetWeights = SetWeights()
    """Weight of each set's clips in the loss."""
    quality_tags: Literal["mlfl", "true"] = "mlfl"
    """Tags under which the kept checkpoint is the best one. The published choice has the true ones, which nobody
    has at inference; both figures are logged."""
    quality_gate: Gate = "soft"
    """Gate of the output where checkpoints are measured; the published model multiplies by the tags."""


def condition_tags(
    mlfl: MLFL, batch: Batch, settings: TagCNNSettings, generator: Generator
) -> Float[Tensor, "batch frame label"]:
    """Tags at each frame for one batch, by `settings`. Draws come from the processor, alike for every device."""
    count, n_frames, n_labels = batch.active.shape
    if settings.tags == "labels":
        return (batch.active.amax(1, keepdim=True) > 0).float().expand(-1, n_frames, -1)
    device = batch.active.device
    live = torch.rand(count, 1, 1, generator=generator).to(device) < settings.trailing_share
    true = torch.rand(count, 1, 1, generator=generator).to(device) < settings.truth_share
    noise = settings.logit_noise * torch.randn(count, 1, n_labels, generator=generator).to(device)
    chosen = torch.where(true, _true_logit(batch, live, settings), _mlfl_logit(mlfl, batch, live, settings))
    return tag_scores(chosen + noise)


def tag_cnn_loss_terms(
    model: Callable[..., Tensor], batch: Batch, tags: Tensor, settings: TagCNNSettings
) -> LossTerms:
    """The loss of each set's clips; with equal weights their sum is the mean over all clips of the batch."""
    logit = model(batch.log_mel, tags, batch.frame_valid).float()
    terms = {}
    for name in TRAINING_SETS:
        rows = batch.rows(name)
        if rows.start == rows.stop:
            continue
        share = (rows.stop - rows.start) / len(batch.sets)
        of_set = frame_loss(logit[rows], batch.active[rows], batch.frame_valid[rows])
        terms[f"frame_{name}"] = share * getattr(settings.weights, name) * of_set
    return terms


def development_quality(clips: ClipSet, mlfl: MLFL, settings: TagCNNSettings) -> Quality | None:
    """Measures macro frame F1 (best threshold of each label) on development clips under MLFL's and true tags.

    None where there are no such clips. The first figure is the one that chooses.
    """
    indices = clips.indices("development")
    if not len(indices):
        return None
    true_tags = clips.tags()[indices].astype(np.float32)

    @cache
    def tags_of_mlfl() -> Float32[np.ndarray, "clip label"]:
        return mlfl_scores(mlfl, clips, indices, _device_of(mlfl)).tags

    def quality(model: nn.Module) -> dict[str, float]:
        given = {"mlfl": tags_of_mlfl(), "true": true_tags}
        order = sorted(given, key=lambda name: name != settings.quality_tags)
        return {f"frame_f1_{name}_tags": measured(model, given[name]) for name in order}

    def measured(model: nn.Module, tags: Float32[np.ndarray, "clip label"]) -> float:
        tag_cnn, gate = cast(TagCNN, model), settings.quality_gate
        return frame_f1(
            clips, indices, tag_cnn_scores(tag_cnn, clips, indices, tags, "soft", gate, _device_of(model))
        )

    return quality


def step_losses(
    model: TagCNN,
    mlfl: MLFL,
    clips: ClipSet,
    settings: TagCNNSettings,
    augment: AugmentSettings,
    loop: LoopSettings,
) -> Callable[[Step], LossTerms]:
    """The loss of any step; the model's input is normalised with the statistics of `clips` from here on."""
    mlfl.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = BatchMaker(clips, augment, loop)
    model.input_norm.set_statistics(*batches.mel_statistics())
    forward = torch.compile(model) if loop.compile else model

    def loss_terms(step: Step) -> LossTerms:
        batch = batches.batch(step.number, step.shard).with_heard_tags()
        draws = step_generator(loop.seed + 1, step.number, step.shard)
        mlfl.to(batch.log_mel.device)
        with torch.no_grad():
            tags = condition_tags(mlfl, batch, settings, draws)
        return tag_cnn_loss_terms(forward, batch, tags, settings)

    return loss_terms


def train_tag_cnn(
    clips: ClipSet,
    mlfl_checkpoint: Path,
    folder: Path,
    config: TagCNNConfig,
    settings: TagCNNSettings,
    augment: AugmentSettings,
    loop: LoopSettings,
) -> Path:
    """Train, and write `folder`/model.safetensors; returns its path.

    Raises SedgeError where MLFL was trained on other labels than those of `clips`.
    """
    mlfl, mlfl_about = load_mlfl(mlfl_checkpoint, clips)
    torch.manual_seed(loop.seed)
    model = TagCNN(config)
    losses = step_losses(model, mlfl, clips, settings, augment, loop)
    parts = {"config": config, "settings": settings, "augment": augment, "loop": loop.identity()}
    run = fingerprint(**parts, clips=clips.source, mlfl=mlfl_about)
    trained = train(model, losses, loop, folder, run, quality=development_quality(clips, mlfl, settings))
    path = folder / "model.safetensors"
    about = {"seed": loop.seed, "steps": loop.steps, "clips": clips.source, "mlfl": mlfl_about}
    save_model(path, "tag_cnn", trained.average, clips.event_labels, about)
    return path


def _mlfl_logit(
    mlfl: MLFL, batch: Batch, live: Tensor, settings: TagCNNSettings
) -> Float[Tensor, "batch frame label"]:
    """Logits of MLFL's tags of the augmented clip; of `live` clips as they grow with the past."""
    output = mlfl(batch.log_mel, batch.frame_valid)
    logit, evidence, valid = output.logit.float(), output.evidence.float(), batch.frame_valid
    past = trailing_tag_logit(logit, evidence, valid, settings.trailing_hop, settings.trailing_ahead)
    return torch.where(live, past, pool_tag_logit(logit, evidence, valid)[:, None])


def _true_logit(batch: Batch, live: Tensor, settings: TagCNNSettings) -> Float[Tensor, "batch frame label"]:
    """Logits of the clips' own tags; of `live` clips those that have sounded so far."""
    hop, n_frames = settings.trailing_hop, batch.active.shape[1]
    frames = torch.arange(n_frames, device=batch.active.device)
    seen = ((frames // hop + 1) * hop + settings.trailing_ahead - 1).clamp(max=n_frames - 1)
    tags = torch.where(live, trailing_tags(batch.active)[:, seen], batch.tags[:, None])
    return (2 * tags - 1) * settings.truth_logit


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
