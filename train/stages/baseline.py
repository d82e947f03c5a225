"""Stage: the baseline of DCASE 2021 task 4, trained by its published recipe on the same clips.

A mean teacher (Tarvainen and Valpola 2017): the student learns the times of synthetic clips and the tags of weak
ones, and on all clips to say what the average of its own weights says of the same input.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from train.data.clips import ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.batches import Batch, BatchMaker
from train.fitting.checkpoint import save_model
from train.fitting.loop import LoopSettings, LossTerms, Quality, Step, fingerprint, train
from train.fitting.mixup import Mix, draw_mix, is_mixed, mix_batch
from train.fitting.randomness import step_generator
from train.fitting.teaching import ramp_up
from train.measuring.scoring import baseline_scores, frame_f1
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig, BaselineOutput
from train.pseudo.tagging import best_macro_tag_f1

MIXED_SETS = ("synthetic", "weak")


class BaselineSettings(BaseModel):
    """The published recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strong_weight: float = Field(1.0, ge=0)
    """Weight of the frame loss on synthetic clips."""
    weak_weight: float = Field(1.0, ge=0)
    """Weight of the clip loss on weak clips."""
    consistency_weight: float = Field(2.0, ge=0)
    """Highest weight of the squared difference between student and teacher; 0 trains without a teacher."""
    ramp_share: float = Field(0.25, ge=0, le=1)
    """Share of the training until that weight is reached: 50 of 200 epochs."""
    mixup_share: float = Field(0.5, ge=0, le=1)
    """Share of steps whose weak and synthetic clips are mixed, each within its set."""
    mixup_beta: float = Field(0.2, gt=0)
    """Both parameters of the Beta distribution that one clip's share in a mix is drawn from."""


def baseline_loss_terms(
    student: Callable[..., BaselineOutput],
    teacher: Callable[..., BaselineOutput],
    batch: Batch,
    settings: BaselineSettings,
    share: float,
) -> LossTerms:
    """Weighted terms of the stage's loss, once a `share` (0 ... 1) of the training is done."""
    output = student(batch.log_mel, batch.frame_valid)
    terms = _supervised(output, batch, settings)
    if not settings.consistency_weight:
        return terms
    weight = settings.consistency_weight * ramp_up(share, settings.ramp_share)
    with torch.no_grad():
        target = teacher(batch.log_mel, batch.frame_valid)
    frames = (output.scores.float() - target.scores.float()).square()
    terms["frame_consistency"] = weight * _mean_over_frames(frames, batch.frame_valid)
    terms["clip_consistency"] = weight * (output.tags.float() - target.tags.float()).square().mean()
    return terms


def mixed(batch: Batch, settings: BaselineSettings, seed: int, step: Step) -> Batch:
    """The batch, in a share of steps with its weak and synthetic clips mixed; unlabelled ones are never."""
    # all shards of a step are mixed or none is
    if not is_mixed(settings.mixup_share, step_generator(seed, step.number)):
        return batch
    generator = step_generator(seed, step.number, 1 + step.shard)
    mix = draw_mix(batch.sets, settings.mixup_beta, generator, batch.log_mel.device)
    mixes = torch.tensor([name in MIXED_SETS for name in batch.sets], device=mix.partner.device)
    own = torch.arange(len(batch.sets), device=mix.partner.device)
    partner, share = torch.where(mixes, mix.partner, own), torch.where(mixes, mix.share, 1.0)
    return mix_batch(batch, Mix(partner, share))


def development_quality(clips: ClipSet) -> Quality | None:
    """Measures the sum of macro F1 of tags and of frames (best thresholds), which chooses, and both of them.

    Tags are those of held-out weak clips, or of development clips where there are none of those; frames those of
    development clips. None where there are neither.
    """
    strong = clips.indices("development")
    weak = clips.indices("weak_development")
    weak = weak if len(weak) else strong
    if not len(weak):
        return None
    both, truth = np.concatenate([weak, strong]), clips.tags()[weak]

    def quality(model: nn.Module) -> dict[str, float]:
        crnn, device = cast(BaselineCRNN, model), next(model.parameters()).device
        scores, tags = baseline_scores(crnn, clips, both, device)
        tag_f1 = best_macro_tag_f1(tags[: len(weak)], truth)
        found = frame_f1(clips, strong, scores[len(weak) :]) if len(strong) else 0.0
        return {"tag_and_frame_f1": tag_f1 + found, "tag_f1": tag_f1, "frame_f1": found}

    return quality


def step_losses(
    model: BaselineCRNN,
    clips: ClipSet,
    settings: BaselineSettings,
    augment: AugmentSettings,
    loop: LoopSettings,
) -> Callable[[Step], LossTerms]:
    """The loss of any step."""
    batches = BatchMaker(clips, augment, loop)
    as_run: Callable[[nn.Module], Any] = cache(torch.compile) if loop.compile else lambda network: network

    def loss_terms(step: Step) -> LossTerms:
        batch = mixed(batches.batch(step.number, step.shard), settings, loop.seed + 1, step)
        return baseline_loss_terms(as_run(model), as_run(step.average), batch, settings, step.share)

    return loss_terms


def train_baseline(
    clips: ClipSet,
    folder: Path,
    config: BaselineCRNNConfig,
    settings: BaselineSettings,
    augment: AugmentSettings,
    loop: LoopSettings,
) -> Path:
    """Train, and write model.safetensors (the teacher) and student.safetensors into `folder`; returns the former.

    As published, `augment` changes nothing; what it changes, student and teacher see alike.
    """
    torch.manual_seed(loop.seed)
    model = BaselineCRNN(config)
    losses = step_losses(model, clips, settings, augment, loop)
    parts = {"config": config, "settings": settings, "augment": augment, "loop": loop.identity()}
    run = fingerprint(**parts, clips=clips.source)
    trained = train(model, losses, loop, folder, run, quality=development_quality(clips))
    about = {"seed": loop.seed, "steps": loop.steps, "clips": clips.source}
    path = folder / "model.safetensors"
    for name, kept in (("student.safetensors", trained.student), (path.name, trained.average)):
        save_model(folder / name, "baseline_crnn", kept, clips.event_labels, about)
    return path


def _supervised(output: BaselineOutput, batch: Batch, settings: BaselineSettings) -> LossTerms:
    terms = {}
    strong, weak = batch.rows("synthetic"), batch.rows("weak")
    if strong.stop > strong.start:
        cells = score_loss(output.scores[strong], batch.active[strong])
        terms["strong"] = settings.strong_weight * _mean_over_frames(cells, batch.frame_valid[strong])
    # without weak clips nothing else would teach tags
    tagged = weak if weak.stop > weak.start else strong
    if tagged.stop > tagged.start:
        terms["weak"] = settings.weak_weight * score_loss(output.tags[tagged], batch.tags[tagged]).mean()
    return terms


def score_loss(
    scores: Float[Tensor, "batch *frame label"], labels: Float[Tensor, "batch *frame label"]
) -> Float[Tensor, "batch *frame label"]:
    """Binary cross-entropy of each score (after the sigmoid), finite at 0 and 1, in float32."""
    with torch.autocast(scores.device.type, enabled=False):
        return binary_cross_entropy(scores.float(), labels, reduction="none")


def _mean_over_frames(
    cells: Float[Tensor, "batch frame label"], frame_valid: Float[Tensor, "batch frame"]
) -> Float[Tensor, ""]:
    """Mean over labels and over all valid frames of the batch."""
    return (cells.mean(2) * frame_valid).sum() / frame_valid.sum().clamp(min=1)
