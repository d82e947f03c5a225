"""Batches of augmented log-mel spectrograms, made on the training device from the waveform array."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from train.augment import AugmentSettings, augment_log_mel, augment_waveforms
from train.data.clips import FULL_SCALE, ClipSet
from train.features import LogMel
from train.loop import step_generator


@dataclass(frozen=True)
class Batch:
    """What one training step sees."""

    log_mel: Float[Tensor, "batch frame mel"]
    active: Float[Tensor, "batch frame label"]
    """1 where the label sounds in the frame."""
    frame_valid: Float[Tensor, "batch frame"]

    @property
    def tags(self) -> Float[Tensor, "batch label"]:
        """1 where the label sounds anywhere in the clip."""
        return self.active.amax(1)


class BatchMaker:
    """Draws the batch of any step; every clip comes once an epoch, in an order of the epoch's own."""

    def __init__(self, clips: ClipSet, settings: AugmentSettings, batch_size: int, seed: int) -> None:
        self._clips = clips
        self._active = torch.from_numpy(clips.strong_labels())
        self._valid = torch.from_numpy(clips.frame_valid())
        self._features = LogMel()
        self._settings = settings
        self._batch_size = min(batch_size, len(clips.filenames))
        self._seed = seed

    def clips_of(self, step: int) -> Int[Tensor, " batch"]:
        """Which clips make the batch of `step`."""
        steps_per_epoch = len(self._clips.filenames) // self._batch_size
        epoch, place = divmod(step, steps_per_epoch)
        order = torch.randperm(len(self._clips.filenames), generator=step_generator(self._seed, -1 - epoch))
        return order[place * self._batch_size : (place + 1) * self._batch_size]

    @torch.no_grad()
    def batch(self, step: int) -> Batch:
        """The augmented batch of `step`."""
        generator = step_generator(self._seed, step)
        chosen = self.clips_of(step)
        samples = np.asarray(self._clips.waveforms[chosen.numpy()], np.float32) / FULL_SCALE
        active = self._active[chosen].float()
        waveforms, active = augment_waveforms(torch.from_numpy(samples), active, self._settings, generator)
        valid = self._valid[chosen].float()
        log_mel = augment_log_mel(self._features(waveforms), self._settings, generator)
        return Batch(log_mel, active * valid[:, :, None], valid)

    @torch.no_grad()
    def mel_statistics(self, n_clips: int = 500) -> tuple[Float[Tensor, " mel"], Float[Tensor, " mel"]]:
        """Mean and variance of each mel band over the valid frames of up to `n_clips` clips."""
        total = torch.zeros(2, self._features.config.n_mels, dtype=torch.float64)
        count = 0
        for clip in torch.linspace(0, len(self._clips.filenames) - 1, n_clips).long().unique().tolist():
            samples = torch.from_numpy(self._clips.waveforms[clip].astype(np.float32) / FULL_SCALE)
            frames = self._features(samples[None])[0][self._valid[clip]].double()
            total += torch.stack([frames.sum(0), frames.square().sum(0)])
            count += len(frames)
        mean, square = total / count
        return mean.float(), (square - mean.square()).float()
