"""Stage: MLFL trained with everything that the DCASE 2021 report puts into it.

Clip loss on the attention branch, focal loss on the detection branch, inter-frame distance loss between real
and synthetic clips, agreement with the mean teacher, and mixup. What has no clips, or no weight, has no term.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from edge_app.core.errors import SedgeError
from train.data.clips import ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.batches import Batch, BatchMaker
from train.fitting.checkpoint import save_model
from train.fitting.loop import LoopSettings, LossTerms, Step, fingerprint, train
from train.fitting.losses import DomainFrames, clip_loss, consistency_loss, focal_loss, ifdc_loss
from train.fitting.mixup import draw_mix, is_mixed, mix_batch
from train.fitting.randomness import step_generator
from train.fitting.teaching import perturb, ramp_up
from train.models.mlfl import MLFL, MLFLConfig, MLFLOutput, pool_tag_logit, trailing_tag_logit
from train.stages.disentangled import attended_components
from train.stages.mlfl_quality import mlfl_quality
from train.stages.mlfl_settings import ConsistencyOutput, MLFLSettings, SetName

_OWN_DRAWS = 1  # added to the seed: draws apart from those that made the batch
_WHOLE_STEP = -1  # instead of a shard: what all shards of a step have in common


@dataclass(frozen=True)
class Lesson:
    """A batch, mixed or not, with what its labels are turned into before they are mixed."""

    batch: Batch
    heard: Float[Tensor, "batch frame label"]
    """1 where the label has sounded in the frame or before."""
    is_mixed: bool = False


def trailing_tags(active: Float[Tensor, "batch frame label"]) -> Float[Tensor, "batch frame label"]:
    """1 where the label has sounded in this frame or before."""
    return torch.cummax(active, 1).values


def make_lesson(batch: Batch, settings: MLFLSettings, step_draws: Generator, draws: Generator) -> Lesson:
    """The batch, mixed if the step is one that `step_draws` chooses; partners and shares come from `draws`."""
    batch = batch.with_heard_tags()
    heard = trailing_tags(batch.active)
    if not is_mixed(settings.mixup_share, step_draws):
        return Lesson(batch, heard)
    mix = draw_mix(batch.sets, settings.mixup_beta, draws, batch.log_mel.device)
    return Lesson(mix_batch(batch, mix), mix.labels(heard), is_mixed=True)


def label_terms(output: MLFLOutput, lesson: Lesson, settings: MLFLSettings) -> LossTerms:
    """Terms of given, strong and pseudo labels, weighted."""
    batch = lesson.batch
    tag_logit = pool_tag_logit(output.logit.float(), output.evidence.float(), batch.frame_valid)
    terms = {}
    for name, of_set, weight in (
        ("clip", "weak", settings.clip_weight),
        ("clip_synthetic", "synthetic", settings.synthetic_clip_weight),
        ("clip_unlabelled", "unlabelled", settings.unlabelled_clip_weight),
    ):
        if weight and of_set in batch.sets:
            rows = batch.rows(of_set)
            terms[name] = weight * clip_loss(tag_logit[rows], batch.tags[rows])
    if settings.detection_weight and _has(batch, settings.detection_sets):
        terms["detection"] = settings.detection_weight * detection_loss(output, batch, settings)
    if settings.trailing_weight and _has(batch, settings.trailing_sets):
        terms["trailing"] = settings.trailing_weight * trailing_loss(output, lesson, settings)
    return terms


def detection_loss(output: MLFLOutput, batch: Batch, settings: MLFLSettings) -> Float[Tensor, ""]:
    """Loss of the detection branch: mean over the cells of all its sets, of which none weighs more than another."""
    logit, active, valid = (
        _take(rows, batch, settings.detection_sets)
        for rows in (output.detection_logit.float(), batch.active, batch.frame_valid)
    )
    if settings.detection == "bce":
        return 2 * focal_loss(logit, active, alpha=0.5, gamma=0.0, frame_valid=valid)
    return focal_loss(logit, active, settings.focal_alpha, settings.focal_gamma, valid)


def trailing_loss(output: MLFLOutput, lesson: Lesson, settings: MLFLSettings) -> Float[Tensor, ""]:
    """Clip loss of the tags that live detection would have after each hop."""
    hop, ahead = settings.trailing_hop, settings.trailing_ahead
    logit, evidence, heard, valid = (
        _take(rows, lesson.batch, settings.trailing_sets)
        for rows in (output.logit.float(), output.evidence.float(), lesson.heard, lesson.batch.frame_valid)
    )
    past = trailing_tag_logit(logit, evidence, valid, hop, ahead)[:, ::hop]
    n_frames = heard.shape[1]
    seen = (torch.arange(0, n_frames, hop, device=heard.device) + hop + ahead - 1).clamp(max=n_frames - 1)
    return clip_loss(past, heard[:, seen])


def domain_terms(model: MLFL, output: MLFLOutput, lesson: Lesson, settings: MLFLSettings) -> LossTerms:
    """The inter-frame distance loss, weighted; none on mixed steps, whose labels are no sets."""
    batch = lesson.batch
    if not settings.ifdc_weight or lesson.is_mixed:
        return {}
    if not (_has(batch, settings.ifdc_sets) and "synthetic" in batch.sets):
        return {}
    embedding = model.project(output.embedding).float()
    real, synthetic = (
        DomainFrames(
            *(_take(rows, batch, sets) for rows in (embedding, batch.active, batch.tags, batch.frame_valid))
        )
        for sets in (settings.ifdc_sets, ("synthetic",))
    )
    loss = ifdc_loss(real, synthetic, settings.ifdc_clip_condition)
    if settings.ifdc_in_domain:
        loss = loss + ifdc_loss(real, real, settings.ifdc_clip_condition)
        loss = loss + 0.5 * ifdc_loss(synthetic, synthetic, settings.ifdc_clip_condition)
    return {"ifdc": settings.ifdc_weight * loss}


def consistency_terms(
    student: MLFLOutput, teacher: MLFLOutput, batch: Batch, settings: MLFLSettings, share: float
) -> LossTerms:
    """Difference of the student's and the teacher's scores, weighted by how far the training is."""
    ours, theirs = (_score_logits(output, batch.frame_valid) for output in (student, teacher))
    losses = [
        consistency_loss(ours[name], theirs[name], None if name == "tag" else batch.frame_valid)
        for name in settings.consistency_outputs
    ]
    weight = settings.consistency_weight * ramp_up(share, settings.consistency_ramp)
    return {"consistency": weight * torch.stack(losses).sum()}


def _score_logits(
    output: MLFLOutput, frame_valid: Float[Tensor, "batch frame"]
) -> dict[ConsistencyOutput, Tensor]:
    return {
        "tag": pool_tag_logit(output.logit.float(), output.evidence.float(), frame_valid),
        "detection": output.detection_logit.float(),
        "frame": output.frame_logit.float(),
    }


def mlfl_loss_terms(
    model: MLFL,
    lesson: Lesson,
    settings: MLFLSettings,
    teacher: Callable[..., MLFLOutput] | None = None,
    draws: Generator | None = None,
    share: float = 1.0,
) -> LossTerms:
    """Weighted terms of the stage's loss.

    With a teacher, it and the student hear the clips with noise of their own from `draws`.
    """
    batch = lesson.batch
    if teacher is None or not settings.consistency_weight:
        output = model(batch.log_mel, batch.frame_valid)
        return {**label_terms(output, lesson, settings), **domain_terms(model, output, lesson, settings)}
    draws = draws or Generator().manual_seed(0)
    output = model(perturb(batch.log_mel, settings.perturbation_std, draws), batch.frame_valid)
    with torch.no_grad():
        judged = teacher(perturb(batch.log_mel, settings.perturbation_std, draws), batch.frame_valid)
    return {
        **label_terms(output, lesson, settings),
        **domain_terms(model, output, lesson, settings),
        **consistency_terms(output, judged, batch, settings, share),
    }


def learnable(clips: ClipSet, settings: MLFLSettings) -> MLFLSettings:
    """The settings without the sets of which no clip has events.

    Without pseudo labels real clips would pass for silent ones.
    """
    labelled = {name for name, events in zip(clips.sets, clips.events, strict=True) if events}
    kept = {
        field: tuple(name for name in getattr(settings, field) if name in labelled)
        for field in ("detection_sets", "ifdc_sets", "trailing_sets")
    }
    weight = settings.unlabelled_clip_weight if "unlabelled" in labelled else 0.0
    return settings.model_copy(update={**kept, "unlabelled_clip_weight": weight})


def disentangled(config: MLFLConfig, clips: ClipSet, settings: MLFLSettings) -> MLFLConfig:
    """The config with what each label's attention sees, counted on the weak clips (the synthetic where none are)."""
    if settings.disentangled_m == 1:
        return config
    weak = clips.indices("weak")
    tags = clips.tags()[weak if len(weak) else clips.indices("synthetic")]
    attended = attended_components(
        tags, clips.event_labels, config.channels[-1], settings.disentangled_n, settings.disentangled_m
    )
    return replace(config, attended=attended)


def step_losses(
    model: MLFL, clips: ClipSet, settings: MLFLSettings, augment: AugmentSettings, loop: LoopSettings
) -> Callable[[Step], LossTerms]:
    """The loss of any step."""
    batches, used = BatchMaker(clips, augment, loop), learnable(clips, settings)
    as_run: Callable[[nn.Module], Any] = cache(torch.compile) if loop.compile else lambda network: network

    def loss_terms(step: Step) -> LossTerms:
        step_draws, draws = (
            step_generator(loop.seed + _OWN_DRAWS, step.number, part) for part in (_WHOLE_STEP, step.shard)
        )
        lesson = make_lesson(batches.batch(step.number, step.shard), used, step_draws, draws)
        terms = mlfl_loss_terms(as_run(model), lesson, used, as_run(step.average), draws, step.share)
        if not terms:
            raise SedgeError("mlfl: expected a loss, found none: its weights are 0, or it has no clips")
        return terms

    return loss_terms


def train_mlfl(
    clips: ClipSet,
    folder: Path,
    config: MLFLConfig,
    settings: MLFLSettings,
    augment: AugmentSettings,
    loop: LoopSettings,
) -> Path:
    """Train, and write `folder`/model.safetensors (the teacher) and student.safetensors; returns the teacher's path.

    Raises SedgeError where a label would see nothing of a disentangled embedding, or there is nothing to learn.
    """
    torch.manual_seed(loop.seed)
    config = disentangled(config, clips, settings)
    model = MLFL(config)
    parts = {"config": config, "settings": settings, "augment": augment}
    run = fingerprint(**parts, loop=loop.identity(), clips=clips.source)
    losses = step_losses(model, clips, settings, augment, loop)
    # the temperature divides the attention's logit by the width of the embedding, and its gradient with it; its bias
    # cancels in the softmax, and what rounding leaves of its gradient would make it walk at random
    fast, frozen = [model.attention.weight], [model.attention.bias]
    trained = train(model, losses, loop, folder, run, fast, mlfl_quality(clips), frozen)
    about = {"seed": loop.seed, "steps": loop.steps, "clips": clips.source, "n_clips": len(clips.filenames)}
    about["settings"] = settings.model_dump(mode="json")
    save_model(folder / "student.safetensors", "mlfl", trained.student, clips.event_labels, about)
    path = folder / "model.safetensors"
    save_model(path, "mlfl", trained.average, clips.event_labels, about)
    return path


def _has(batch: Batch, sets: tuple[SetName, ...]) -> bool:
    return any(name in batch.sets for name in sets)


def _take(rows: Float[Tensor, "batch *rest"], batch: Batch, sets: tuple[SetName, ...]) -> Tensor:
    """Rows of the clips of these sets."""
    return torch.cat([rows[batch.rows(name)] for name in sets])
