"""Augmentation of a batch, drawn from a generator of its own so that a resumed run repeats it.

Waveforms: gain and superposition. Spectrograms: mel warp, masks, noise. All are inert where a setting is 0.
"""

import math

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Generator, Tensor


class AugmentSettings(BaseModel):
    """How strongly training clips are changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain_log_std: float = 0.6
    """Standard deviation of the logarithm of the gain (natural), cut at three of them."""
    superpose: float = 0.3
    """Share of clips that get another one added."""
    warp_log_std: float = 0.06
    """Standard deviation of the logarithm of the mel axis' stretch, cut at three of them."""
    time_mask_frames: int = 0
    """Longest masked stretch of frames."""
    mel_mask_bands: int = 16
    """Widest masked stretch of mel bands."""
    noise_std: float = 0.15
    """Largest standard deviation of noise added to the log-mel spectrogram."""
    filter_db: float = 6.0
    """Largest gain of a random smooth filter over the mel axis, in dB: other microphones and rooms."""


def _uniform(count: int, low: float, high: float, generator: Generator) -> Float[Tensor, " batch"]:
    return low + (high - low) * torch.rand(count, generator=generator)


def _log_normal(count: int, std: float, generator: Generator) -> Float[Tensor, " batch"]:
    return torch.exp(std * torch.randn(count, generator=generator).clamp(-3, 3))


def superpose(
    waveforms: Float[Tensor, "batch sample"],
    active: Float[Tensor, "batch frame label"],
    share: float,
    generator: Generator,
) -> tuple[Float[Tensor, "batch sample"], Float[Tensor, "batch frame label"]]:
    """Add to some clips another one of the batch, moved by up to half its length; labels are united."""
    count, n_samples = waveforms.shape
    hop_length = n_samples // active.shape[1]
    partner = (torch.arange(count) + torch.randint(1, max(2, count), (count,), generator=generator)) % count
    chosen = torch.rand(count, generator=generator) < share
    furthest = active.shape[1] // 2
    shifts = torch.randint(-furthest, furthest + 1, (count,), generator=generator)
    mixed, united = waveforms.clone(), active.clone()
    for clip in torch.flatten(torch.nonzero(chosen)).tolist():
        shift, other = int(shifts[clip]), int(partner[clip])
        mixed[clip] += _shifted(waveforms[other], shift * hop_length)
        united[clip] = torch.maximum(active[clip], _shifted(active[other], shift))
    return mixed, united


def _shifted(rows: Float[Tensor, "row *rest"], shift: int) -> Float[Tensor, "row *rest"]:
    """Rows moved later by `shift` (earlier where negative), zeros where none come from."""
    moved = torch.zeros_like(rows)
    if shift >= 0:
        moved[shift:] = rows[: len(rows) - shift]
    else:
        moved[:shift] = rows[-shift:]
    return moved


def augment_waveforms(
    waveforms: Float[Tensor, "batch sample"],
    active: Float[Tensor, "batch frame label"],
    settings: AugmentSettings,
    generator: Generator,
) -> tuple[Float[Tensor, "batch sample"], Float[Tensor, "batch frame label"]]:
    """Random gain, then superposition."""
    gain = _log_normal(len(waveforms), settings.gain_log_std, generator)
    return superpose(waveforms * gain[:, None], active, settings.superpose, generator)


def augment_log_mel(
    log_mel: Float[Tensor, "batch frame mel"], settings: AugmentSettings, generator: Generator
) -> Float[Tensor, "batch frame mel"]:
    """Mel warp, random filter, masks (at each clip's mean) and noise."""
    warped = mel_warp(log_mel, _log_normal(len(log_mel), settings.warp_log_std, generator))
    filtered = warped + random_filter(len(log_mel), log_mel.shape[2], settings.filter_db, generator)[:, None]
    fill = filtered.mean((1, 2), keepdim=True)
    frames = stretch_mask(len(log_mel), log_mel.shape[1], settings.time_mask_frames, generator)[:, :, None]
    bands = stretch_mask(len(log_mel), log_mel.shape[2], settings.mel_mask_bands, generator)[:, None]
    masked = torch.where(frames | bands, fill, filtered)
    std = _uniform(len(log_mel), 0, settings.noise_std, generator)[:, None, None]
    return masked + std * torch.randn(masked.shape, generator=generator)


def mel_warp(
    log_mel: Float[Tensor, "batch frame mel"], stretch: Float[Tensor, " batch"]
) -> Float[Tensor, "batch frame mel"]:
    """Stretch the mel axis of each clip about its low end, by linear interpolation between bands."""
    n_mels = log_mel.shape[2]
    position = (torch.arange(n_mels) * stretch[:, None]).clamp(max=n_mels - 1)
    low = position.floor().long().clamp(max=n_mels - 2)
    part = (position - low)[:, None]
    low = low[:, None].expand(-1, log_mel.shape[1], -1)
    return torch.gather(log_mel, 2, low) * (1 - part) + torch.gather(log_mel, 2, low + 1) * part


def random_filter(count: int, n_mels: int, db: float, generator: Generator) -> Float[Tensor, "batch mel"]:
    """A smooth random gain over the mel axis, in units of the natural logarithm of power."""
    knots = _uniform(count * 5, -db, db, generator).reshape(count, 1, 5) * math.log(10) / 10
    return torch.nn.functional.interpolate(knots, n_mels, mode="linear", align_corners=True)[:, 0]


def stretch_mask(count: int, length: int, longest: int, generator: Generator) -> Tensor:
    """One random stretch of up to `longest` per row, True inside: shape (count, length)."""
    width = torch.randint(0, longest + 1, (count,), generator=generator)
    start = (torch.rand(count, generator=generator) * (length - width + 1)).long()
    place = torch.arange(length)
    return (place >= start[:, None]) & (place < (start + width)[:, None])
