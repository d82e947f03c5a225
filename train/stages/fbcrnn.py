"""Stage: FBCRNN trained with clip tags alone; the times of strong labels are not used."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from edge_app.core.errors import SedgeError
from train.data.clips import ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.batches import Batch, BatchMaker
from train.fitting.checkpoint import save_model
from train.fitting.loop import fingerprint, train
from train.fitting.loop_settings import LoopSettings
from train.fitting.losses import max_branch_loss
from train.fitting.training import LossTerms, Step
from train.models.fbcrnn import FBCRNN, FBCRNNConfig
from train.pseudo.tagging import best_macro_tag_f1
from train.pseudo.windowed import mean_tag_scores


class FBCRNNSettings(BaseModel):
    """What the loss is taken of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: Literal["max", "last"] = "max"
    """Scores that have to equal the clip's tags: the larger branch's in every frame, as published, or only each
    branch's last one, which has heard the whole clip (an ablation)."""


def fbcrnn_loss_terms(model: nn.Module, batch: Batch, settings: FBCRNNSettings) -> LossTerms:
    """The stage's loss: of the batch's labels only its tags count."""
    output = model(batch.log_mel, batch.frame_valid)
    forward, backward = output.forward_logit.float(), output.backward_logit.float()
    return {"tag": max_branch_loss(forward, backward, batch.tags, batch.frame_valid, settings.loss)}


def tagging_quality(clips: ClipSet) -> Callable[[nn.Module], dict[str, float]]:
    """Measures a model by its macro F1 of tags, at each label's best threshold, on the held-out clips."""
    held_out = clips.indices("development", "weak_development")
    truth = clips.tags()[held_out]

    def quality(model: nn.Module) -> dict[str, float]:
        scores = mean_tag_scores([cast(FBCRNN, model)], clips, held_out)
        return {"tag_f1": best_macro_tag_f1(scores, truth)}

    return quality


def step_losses(
    model: FBCRNN, clips: ClipSet, settings: FBCRNNSettings, augment: AugmentSettings, loop: LoopSettings
) -> Callable[[Step], LossTerms]:
    """The loss of any step; the model's input is normalised with the statistics of `clips` from here on."""
    batches = BatchMaker(clips, augment, loop)
    model.input_norm.set_statistics(*batches.mel_statistics())

    def loss_terms(step: Step) -> LossTerms:
        return fbcrnn_loss_terms(model, batches.batch(step.number, step.shard), settings)

    return loss_terms


def train_fbcrnn(
    clips: ClipSet,
    folder: Path,
    config: FBCRNNConfig,
    settings: FBCRNNSettings,
    augment: AugmentSettings,
    loop: LoopSettings,
) -> Path:
    """Train, and write `folder`/model.safetensors; returns its path.

    Where `loop.validation_steps` is set, the weights with the best `tagging_quality` are kept. `loop.compile` is
    not used: the compiler skips recurrent layers. Raises SedgeError where the batch has unlabelled clips but
    none of them has (pseudo) events: their tags would all be taken as absent.
    """
    _check_unlabelled(clips, loop)
    torch.manual_seed(loop.seed)
    model = FBCRNN(config)
    run = fingerprint(
        config=config, settings=settings, augment=augment, loop=loop.identity(), clips=clips.source
    )

    losses = step_losses(model, clips, settings, augment, loop)
    trained = train(model, losses, loop, folder, run, quality=tagging_quality(clips))
    path = folder / "model.safetensors"
    about = {"seed": loop.seed, "steps": loop.steps, "clips": clips.source, "n_clips": len(clips.filenames)}
    save_model(path, "fbcrnn", trained.average, clips.event_labels, about)
    return path


def _check_unlabelled(clips: ClipSet, loop: LoopSettings) -> None:
    rows = clips.indices("unlabelled")
    if loop.batch.unlabelled and len(rows) and not any(clips.events[row] for row in rows):
        raise SedgeError(
            "batch: unlabelled: expected 0 until unlabelled clips have pseudo labels, "
            f"found {loop.batch.unlabelled}"
        )
