"""Stage: MLFL trained with strong labels: clip loss on the attention branch, focal loss on the detection branch.

Mean teacher, pseudo labels and the domain loss join here as further terms of the same sum.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from train.augment import AugmentSettings
from train.batches import Batch, BatchMaker
from train.checkpoint import save_model
from train.data.clips import ClipSet
from train.loop import LoopSettings, LossTerms, fingerprint, train
from train.losses import clip_loss, focal_loss
from train.models.mlfl import MLFL, MLFLConfig, MLFLOutput, pool_tag_logit, trailing_tag_logit


class MLFLSettings(BaseModel):
    """Loss weights and constants of the stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    clip_weight: float = 1.0
    detection_weight: float = 1.0
    trailing_weight: float = 1.0
    """Weight of the clip loss on tags pooled over the past alone, at every hop: live detection has no others."""
    trailing_hop: int = 25
    trailing_ahead: int = 7
    """Frames ahead of the hop that live tags have seen."""


def trailing_tags(active: Float[Tensor, "batch frame label"]) -> Float[Tensor, "batch frame label"]:
    """1 where the label has sounded in this frame or before."""
    return torch.cummax(active, 1).values


def trailing_loss(output: MLFLOutput, batch: Batch, settings: MLFLSettings) -> Float[Tensor, ""]:
    """Clip loss of the tags that live detection would have after each hop."""
    hop, ahead = settings.trailing_hop, settings.trailing_ahead
    logit, evidence = output.logit.float(), output.evidence.float()
    past = trailing_tag_logit(logit, evidence, batch.frame_valid, hop, ahead)[:, ::hop]
    n_frames = batch.active.shape[1]
    seen = (torch.arange(0, n_frames, hop) + hop + ahead - 1).clamp(max=n_frames - 1)
    return clip_loss(past, trailing_tags(batch.active)[:, seen])


def mlfl_loss_terms(model: Callable[..., MLFLOutput], batch: Batch, settings: MLFLSettings) -> LossTerms:
    """Weighted terms of the stage's loss."""
    output = model(batch.log_mel, batch.frame_valid)
    tag_logit = pool_tag_logit(output.logit.float(), output.evidence.float(), batch.frame_valid)
    detection = focal_loss(
        output.detection_logit.float(), batch.active, settings.focal_alpha, settings.focal_gamma
    )
    return {
        "clip": settings.clip_weight * clip_loss(tag_logit, batch.tags),
        "detection": settings.detection_weight * detection,
        "trailing": settings.trailing_weight * trailing_loss(output, batch, settings),
    }


def train_mlfl(
    clips: ClipSet,
    folder: Path,
    config: MLFLConfig,
    settings: MLFLSettings,
    augment: AugmentSettings,
    loop: LoopSettings,
) -> Path:
    """Train, and write `folder`/model.safetensors; returns its path."""
    torch.manual_seed(loop.seed)
    model = MLFL(config)
    batches = BatchMaker(clips, augment, loop.batch_size, loop.seed)
    run = fingerprint(config=config, settings=settings, augment=augment, loop=loop, clips=clips.source)

    forward = torch.compile(model) if loop.compile else model

    def loss_terms(step: int) -> LossTerms:
        return mlfl_loss_terms(forward, batches.batch(step), settings)

    # the temperature divides the attention's logit by the width of the embedding, and its gradient with it
    average = train(model, loss_terms, loop, folder, run, fast=list(model.attention.parameters()))
    path = folder / "model.safetensors"
    about = {"seed": loop.seed, "steps": loop.steps, "clips": clips.source, "n_clips": len(clips.filenames)}
    save_model(path, "mlfl", average, clips.event_labels, about)
    return path
