"""A short training, run by `torchrun` in the tests: python -m tests.train.shared_training FOLDER SHARDS."""

import sys
from pathlib import Path

import numpy as np
import torch

from edge_app.core.events import Event
from train.data.clips import ClipSet
from train.fitting import distributed
from train.fitting.augment import AugmentSettings
from train.fitting.batches import BatchMaker
from train.fitting.loop import LossTerms, Step, train
from train.fitting.loop_settings import BatchSettings, LoopSettings
from train.fitting.losses import clip_loss, focal_loss
from train.fitting.schedule import ScheduleSettings
from train.models.mlfl import MLFL, MLFLConfig, pool_tag_logit

LABELS = ("Cat", "Dog")


def clip_set() -> ClipSet:
    """Twelve synthetic clips of 50 frames."""
    waveforms = np.random.default_rng(0).integers(-3000, 3000, (12, 16_000)).astype(np.int16)
    names = tuple(f"{number}.flac" for number in range(12))
    events = tuple((Event(0.1, 0.5, LABELS[number % 2]),) for number in range(12))
    return ClipSet(
        waveforms, names, ("synthetic",) * 12, events, (None,) * 12, LABELS, np.full(12, 16_000), "made here"
    )


def shared_training(folder: Path, shards: int) -> None:
    """Train a tiny MLFL for six steps, in all processes that there are."""
    distributed.start()
    torch.manual_seed(0)
    model = MLFL(MLFLConfig(2, channels=(8, 8, 8)))
    loop = LoopSettings(
        steps=6, batch=BatchSettings(synthetic=4), schedule=ScheduleSettings(warmup_steps=2), checkpoint_steps=3,
        shards=shards, threads=1, precision="float32", device="cpu",
    )  # fmt: skip
    batches = BatchMaker(clip_set(), AugmentSettings(superpose_frames=1), loop)

    def loss_terms(step: Step) -> LossTerms:
        batch = batches.batch(step.number, step.shard)
        output = model(batch.log_mel, batch.frame_valid)
        tag_logit = pool_tag_logit(output.logit, output.evidence, batch.frame_valid)
        return {
            "clip": clip_loss(tag_logit, batch.tags),
            "detection": focal_loss(output.detection_logit, batch.active),
        }

    train(model, loss_terms, loop, folder, "run")
    distributed.stop()


if __name__ == "__main__":
    shared_training(Path(sys.argv[1]), int(sys.argv[2]))
