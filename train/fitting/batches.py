"""Batches of log-mel spectrograms, made on the training device from the waveform array."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from edge_app.core.errors import SedgeError
from train.data.clips import FULL_SCALE, ClipSet
from train.fitting.augment import AugmentSettings, Sounds, augment_log_mel, augment_sounds
from train.fitting.device import choose_device
from train.fitting.features import LogMel
from train.fitting.loop_settings import LoopSettings
from train.fitting.randomness import step_generator

TRAINING_SETS = ("synthetic", "weak", "unlabelled")
"""Sets that batches draw from, in the order of a batch's rows."""


@dataclass(frozen=True)
class Batch:
    """What one training step sees; rows of one set are adjacent."""

    log_mel: Float[Tensor, "batch frame mel"]
    active: Float[Tensor, "batch frame label"]
    """1 where the label sounds in the frame, by the strong or pseudo-strong labels."""
    tags: Float[Tensor, "batch label"]
    """1 where the label is said to sound in the clip; of clips that were superposed and cut, perhaps outside it."""
    frame_valid: Float[Tensor, "batch frame"]
    sets: tuple[str, ...]
    """Set of each row."""

    def with_heard_tags(self) -> "Batch":
        """The batch with tags of what sounds inside its clips, but for the given tags of weak ones."""
        weak = torch.tensor([name == "weak" for name in self.sets], device=self.tags.device)
        return replace(self, tags=torch.where(weak[:, None], self.tags, self.active.amax(1)))

    def rows(self, *names: str) -> slice:
        """Rows of these sets, which must be adjacent; an empty slice where there are none."""
        found = [row for row, name in enumerate(self.sets) if name in names]
        if not found:
            return slice(0, 0)
        assert found == list(range(found[0], found[-1] + 1)), f"{names} are not adjacent in {self.sets}"
        return slice(found[0], found[-1] + 1)


@dataclass(frozen=True)
class FeatureBatch:
    """Features of some clips as they are."""

    indices: Int[np.ndarray, " batch"]
    log_mel: Float[Tensor, "batch frame mel"]
    frame_valid: Float[Tensor, "batch frame"]


class BatchMaker:
    """Draws the batch of any step; every clip of a set comes once in each pass over the set, in the pass's own order.

    On a GPU all waveforms lie in its memory, as int16, and no data loader stands between.
    """

    def __init__(self, clips: ClipSet, augment: AugmentSettings, loop: LoopSettings) -> None:
        self._clips, self._augment, self._loop = clips, augment, loop
        self._device = choose_device(loop.device)
        self._counts = {name: getattr(loop.batch, name) for name in TRAINING_SETS}
        self._members = {name: clips.indices(name) for name in TRAINING_SETS if self._counts[name]}
        _check_batch(loop, {name: len(indices) for name, indices in self._members.items()})
        self._features = LogMel().to(self._device)
        active, tags = torch.from_numpy(clips.strong_labels()), torch.from_numpy(clips.tags())
        self._active, self._tags = active.to(self._device), tags.to(self._device)
        self._n_frames = clips.frame_valid().sum(1)
        self._orders: dict[tuple[str, int], Tensor] = {}

    def clips_of(self, step: int, shard: int = 0) -> list[tuple[str, Int[np.ndarray, " row"]]]:
        """Sets and clips that make one shard of the batch of `step`, in order."""
        return [
            (name, self._draw(name, step)[self._part(name, shard)])
            for name in TRAINING_SETS
            if name in self._members
        ]

    @torch.no_grad()
    def batch(self, step: int, shard: int = 0) -> Batch:
        """The augmented shard of the batch of `step`, on the training device."""
        generator = step_generator(self._loop.seed, step, shard)
        drawn = self.clips_of(step, shard)
        sets = tuple(name for name, rows in drawn for _ in rows)
        groups = _groups([len(rows) for _, rows in drawn])
        sounds = self._sounds(np.concatenate([rows for _, rows in drawn]))
        sounds = augment_sounds(sounds, self._augment, groups, generator)
        valid = sounds.frame_valid()
        # the network may compute in bfloat16, but not the features: their logarithm would be off by a hundredth
        with torch.autocast(self._device.type, enabled=False):
            log_mel = self._features(sounds.waveforms)
            log_mel = augment_log_mel(log_mel, valid, self._augment, generator)
        return Batch(log_mel, sounds.active * valid[:, :, None], sounds.tags, valid, sets)

    @torch.no_grad()
    def mel_statistics(self, n_clips: int = 500) -> tuple[Float[Tensor, " mel"], Float[Tensor, " mel"]]:
        """Mean and variance of each mel band over the valid frames of up to `n_clips` of the clips drawn from."""
        drawn_from = np.concatenate(list(self._members.values()))
        places = np.unique(np.linspace(0, len(drawn_from) - 1, n_clips).astype(np.int64))
        total = torch.zeros(2, self._features.config.n_mels, dtype=torch.float64, device=self._device)
        count = 0.0
        for part in feature_batches(self._clips, drawn_from[places], 32, self._device):
            frames = part.log_mel[part.frame_valid > 0].double()
            total += torch.stack([frames.sum(0), frames.square().sum(0)])
            count += len(frames)
        mean, square = total / count
        return mean.float(), (square - mean.square()).float()

    def _sounds(self, chosen: Int[np.ndarray, " batch"]) -> Sounds:
        rows = torch.from_numpy(chosen).to(self._device)
        waveforms = self._waveforms(chosen).float() / FULL_SCALE
        n_frames = tuple(int(count) for count in self._n_frames[chosen])
        return Sounds(waveforms, self._active[rows].float(), self._tags[rows].float(), n_frames)

    def _waveforms(self, chosen: Int[np.ndarray, " batch"]) -> Tensor:
        if self._device.type == "cpu":
            return torch.from_numpy(self._clips.waveforms[chosen])
        return self._resident[torch.from_numpy(chosen).to(self._device)]

    @cached_property
    def _resident(self) -> Tensor:
        return torch.from_numpy(np.array(self._clips.waveforms)).to(self._device)

    def _draw(self, name: str, step: int) -> Int[np.ndarray, " row"]:
        """The clips of a set in the batch of `step`: a stretch of its passes, laid end to end."""
        members, count = self._members[name], self._counts[name]
        places = np.arange(step * count, (step + 1) * count)
        return np.array(
            [members[self._order(name, place // len(members))[place % len(members)]] for place in places]
        )

    def _order(self, name: str, number: int) -> Tensor:
        """Order of the clips in one pass over a set."""
        key = (name, number)
        if key not in self._orders:
            self._orders = {kept: order for kept, order in self._orders.items() if kept[0] != name}
            generator = step_generator(self._loop.seed, -1 - number, TRAINING_SETS.index(name))
            self._orders[key] = torch.randperm(len(self._members[name]), generator=generator)
        return self._orders[key]

    def _part(self, name: str, shard: int) -> slice:
        share = self._counts[name] // self._loop.shards
        return slice(shard * share, (shard + 1) * share)


def feature_batches(
    clips: ClipSet, indices: Int[np.ndarray, " clip"], batch_size: int, device: torch.device
) -> Iterator[FeatureBatch]:
    """Features of the clips as they are, `batch_size` at a time, in order."""
    features, valid = LogMel().to(device), clips.frame_valid()
    for start in range(0, len(indices), batch_size):
        chosen = np.asarray(indices[start : start + batch_size])
        samples = torch.from_numpy(clips.waveforms[chosen]).to(device).float() / FULL_SCALE
        yield FeatureBatch(chosen, features(samples), torch.from_numpy(valid[chosen]).to(device).float())


def _groups(sizes: Sequence[int]) -> list[slice]:
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _check_batch(loop: LoopSettings, available: dict[str, int]) -> None:
    """SedgeError where the batch asks for clips that are not there, or cannot be cut into shards."""
    if not available:
        raise SedgeError("batch: expected clips of at least one set, found none")
    for name, n_clips in available.items():
        count = getattr(loop.batch, name)
        if not n_clips:
            raise SedgeError(f"batch: {name}: expected 0 as the set has no clips, found {count}")
        if count % loop.shards:
            raise SedgeError(f"batch: {name}: expected a multiple of the {loop.shards} shards, found {count}")
