"""Stage: the tag-conditioned CNN, trained with strong labels and the tags of an MLFL model.

At inference the tags come from MLFL on sounds it never heard, and it is surer of those it was trained on. So
some clips get their true tags instead, noise is added to the logits of all, and some see tags that grow
with the past, as live detection has them.
"""

from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Generator, Tensor

from edge_app.core.bundle import file_sha256
from edge_app.core.errors import SedgeError
from train.augment import AugmentSettings
from train.batches import Batch, BatchMaker
from train.checkpoint import load_model, save_model
from train.data.clips import ClipSet
from train.loop import LoopSettings, LossTerms, fingerprint, step_generator, train
from train.losses import frame_loss
from train.models.mlfl import MLFL, pool_tag_logit, trailing_tag_logit
from train.models.tag_cnn import TAG_LOGIT_LIMIT, TagCNN, TagCNNConfig
from train.stages.mlfl import trailing_tags


class TagCNNSettings(BaseModel):
    """Where the tags of training clips come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trailing_share: float = 0.5
    """Share of clips whose tags are pooled over the past alone, as live."""
    trailing_hop: int = 25
    trailing_ahead: int = 7
    truth_share: float = 0.3
    """Share of clips with true tags (softened by `truth_logit` and the noise) instead of MLFL's."""
    truth_logit: float = 3.0
    logit_noise: float = 1.0
    """Standard deviation of the noise on the logits of tags."""


def condition_tags(
    mlfl: MLFL, batch: Batch, settings: TagCNNSettings, generator: Generator
) -> Float[Tensor, "batch frame label"]:
    """Tags at each frame for one batch, by the shares of `settings`."""
    count, n_frames, n_labels = batch.active.shape
    output = mlfl(batch.log_mel, batch.frame_valid)
    logit, evidence = output.logit.float(), output.evidence.float()
    hop, ahead = settings.trailing_hop, settings.trailing_ahead
    whole = pool_tag_logit(logit, evidence, batch.frame_valid)[:, None].expand(-1, n_frames, -1)
    past = trailing_tag_logit(logit, evidence, batch.frame_valid, hop, ahead)
    seen = ((torch.arange(n_frames) // hop + 1) * hop + ahead - 1).clamp(max=n_frames - 1)
    true_whole = batch.tags[:, None].expand(-1, n_frames, -1)
    true_past = trailing_tags(batch.active)[:, seen]
    live = torch.rand(count, 1, 1, generator=generator) < settings.trailing_share
    true = torch.rand(count, 1, 1, generator=generator) < settings.truth_share
    truth = (2 * torch.where(live, true_past, true_whole) - 1) * settings.truth_logit
    chosen = torch.where(true, truth, torch.where(live, past, whole))
    noise = settings.logit_noise * torch.randn(count, 1, n_labels, generator=generator)
    return torch.sigmoid((chosen + noise).clamp(-TAG_LOGIT_LIMIT, TAG_LOGIT_LIMIT))


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
    tagger, mlfl_about = load_model(mlfl_checkpoint, "mlfl")
    mlfl_about = {"sha256": file_sha256(mlfl_checkpoint), **mlfl_about}
    mlfl = cast(MLFL, tagger.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    if tuple(mlfl_about["event_labels"]) != clips.event_labels:
        raise SedgeError(
            f"{mlfl_checkpoint}: event_labels: expected those of the clips, {list(clips.event_labels)}, "
            f"found {mlfl_about['event_labels']}"
        )
    torch.manual_seed(loop.seed)
    model = TagCNN(config)
    batches = BatchMaker(clips, augment, loop.batch_size, loop.seed)
    model.input_norm.set_statistics(*batches.mel_statistics())
    run = fingerprint(
        config=config, settings=settings, augment=augment, loop=loop, clips=clips.source, mlfl=mlfl_about
    )

    forward = torch.compile(model) if loop.compile else model

    def loss_terms(step: int) -> LossTerms:
        batch = batches.batch(step)
        with torch.no_grad():
            tags = condition_tags(mlfl, batch, settings, step_generator(loop.seed + 1, step))
        logit = forward(batch.log_mel, tags, batch.frame_valid).float()
        return {"frame": frame_loss(logit, batch.active, batch.frame_valid)}

    average = train(model, loss_terms, loop, folder, run)
    path = folder / "model.safetensors"
    about = {"seed": loop.seed, "steps": loop.steps, "clips": clips.source, "mlfl": mlfl_about}
    save_model(path, "tag_cnn", average, clips.event_labels, about)
    return path
