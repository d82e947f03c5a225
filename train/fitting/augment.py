"""Augmentation of a batch, drawn from a generator of its own so that a resumed run repeats it.

Waveforms: gain and superposition. Spectrograms: mel warp, random filter, blur, masks, noise. All are inert where
a setting is 0. The few numbers of each clip are drawn on the processor and the same on every device; only noise is
drawn on the training device. Sources: Ebbers and Haeb-Umbach (DCASE 2020) and their published training.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor
from torch.nn.functional import conv2d, interpolate, pad
from torchaudio.functional import mask_along_axis_iid

LONGEST_EXPONENTIAL = 5.0
LARGEST_MASKED_SHARE = 0.2


class AugmentSettings(BaseModel):
    """How strongly training clips are changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain_log_std: float = Field(0.6, ge=0)
    """Standard deviation of the logarithm of the gain (natural), cut at three of them. Published: 1."""
    superpose: float = Field(0.3, ge=0, le=1)
    """Share of clips that get another one of their set added. Published: 2/3 for the FBCRNN, 1/2 for the tag-CNN."""
    superpose_frames: int = Field(500, ge=1)
    """Longest result of that, in frames: 500 cuts the other clip to the first one's 10 s. Published: 750 for the
    FBCRNN, 600 for the tag-conditioned CNN; every batch is then that long."""
    warp_log_std: float = Field(0.06, ge=0)
    """Standard deviation of the logarithm of the mel axis' stretch, cut at three of them. Published: .08."""
    warp_break: float = Field(0.5, ge=0)
    """Scale of the exponential distribution of the band, as a share of the axis, from which the warp runs back
    to the axis' end; 0 stretches the whole axis."""
    blur: float = Field(0.0, ge=0)
    """Scale of the exponential distribution of the width of a 5 x 5 Gaussian blur, over its least width of .1
    frames and bands. Published: .5."""
    time_mask_frames: int = Field(0, ge=0)
    """Longest masked stretch of frames, at most a fifth of the clip. Published: 70 for the FBCRNN, none for the
    tag-conditioned CNN."""
    mel_mask_bands: int = Field(16, ge=0)
    """Widest masked stretch of mel bands. Published: 20."""
    noise_std: float = Field(0.15, ge=0)
    """Largest standard deviation of noise added to the log-mel spectrogram (natural logarithm of power). Published: .2
    of the normalised spectrogram, whose unit is about 2 of these."""
    filter_db: float = Field(6.0, ge=0)
    """Largest gain of a random smooth filter over the mel axis, in dB: other microphones and rooms. Not published;
    a bank's recordings come from few microphones."""


@dataclass(frozen=True)
class Sounds:
    """Waveforms with their labels, before the features: what superposition changes. The signal comes first in each
    row, then zeros."""

    waveforms: Float[Tensor, "batch sample"]
    active: Float[Tensor, "batch frame label"]
    tags: Float[Tensor, "batch label"]
    n_frames: tuple[int, ...]
    """Frames of signal in each clip."""

    def frame_valid(self) -> Float[Tensor, "batch frame"]:
        """1 on signal, 0 on padding."""
        ends = torch.tensor(self.n_frames)[:, None]
        return (torch.arange(self.active.shape[1]) < ends).float().to(self.active.device)


def _uniform(count: int, low: float, high: float, generator: Generator) -> Float[Tensor, " batch"]:
    return low + (high - low) * torch.rand(count, generator=generator)


def _log_normal(count: int, std: float, generator: Generator) -> Float[Tensor, " batch"]:
    return torch.exp(std * torch.randn(count, generator=generator).clamp(-3, 3))


def _exponential(count: int, scale: float, generator: Generator) -> Float[Tensor, " batch"]:
    """Exponentially distributed numbers of a mean of `scale`, cut at five."""
    drawn = -torch.log1p(-torch.rand(count, generator=generator)) * scale
    return drawn.clamp(max=LONGEST_EXPONENTIAL)


def augment_sounds(
    sounds: Sounds, settings: AugmentSettings, groups: Sequence[slice], generator: Generator
) -> Sounds:
    """Random gain, then superposition of clips of one group (rows of one set)."""
    gain = _log_normal(len(sounds.waveforms), settings.gain_log_std, generator).to(sounds.waveforms.device)
    louder = Sounds(sounds.waveforms * gain[:, None], sounds.active, sounds.tags, sounds.n_frames)
    return superpose(louder, settings, groups, generator)


def superpose(
    sounds: Sounds, settings: AugmentSettings, groups: Sequence[slice], generator: Generator
) -> Sounds:
    """Add to some clips another one of their group, at least half of it over the first; labels are united.

    The result has room for `superpose_frames` (at least the clips' own length): the sum of the signals, from
    the earlier of the two onsets if there is room for it, else from the first clip's.
    """
    count, width = sounds.active.shape[:2]
    partner = _partners(groups, count, generator).tolist()
    is_chosen = (torch.rand(count, generator=generator) < settings.superpose).tolist()
    places = torch.rand(count, generator=generator).tolist()
    room = max(0, settings.superpose_frames - width) if settings.superpose else 0
    waveforms = pad(sounds.waveforms, (0, room * (sounds.waveforms.shape[1] // width))).clone()
    active, tags = pad(sounds.active, (0, 0, 0, room)).clone(), sounds.tags.clone()
    n_frames = list(sounds.n_frames)
    placed = Sounds(waveforms, active, tags, ())
    for clip, other in enumerate(partner):
        if is_chosen[clip] and other != clip:
            shift = _draw_shift(sounds.n_frames[clip], sounds.n_frames[other], places[clip])
            lead = min(max(0, -shift), room)
            _add(placed, sounds, clip, other, lead, lead + shift)
            end = max(lead + sounds.n_frames[clip], lead + shift + sounds.n_frames[other])
            n_frames[clip] = min(end, width + room)
    return Sounds(waveforms, active, tags, tuple(n_frames))


def _draw_shift(length: int, other: int, place: float) -> int:
    """Frames from the first clip's start to the other's, so that half of the other lies over the first if it can."""
    earliest, latest = -(other // 2), max(0, length - (other + 1) // 2)
    return earliest + int(place * (latest - earliest + 1))


def _partners(groups: Sequence[slice], count: int, generator: Generator) -> Tensor:
    """Another clip of the same group for each; the clip itself where it is alone."""
    partner = torch.arange(count)
    for group in groups:
        size = group.stop - group.start
        steps = torch.randint(1, max(2, size), (size,), generator=generator)
        partner[group] = group.start + (torch.arange(size) + steps) % size
    return partner


def _add(placed: Sounds, sounds: Sounds, clip: int, other: int, lead: int, start: int) -> None:
    """Move `clip` to frame `lead` of its room, and put `other` over it from frame `start` on."""
    hop_length = sounds.waveforms.shape[1] // sounds.active.shape[1]
    for rows, original, step, how in (
        (placed.waveforms, sounds.waveforms, hop_length, torch.add),
        (placed.active, sounds.active, 1, torch.maximum),
    ):
        if lead:
            rows[clip] = 0
            rows[clip, lead * step : lead * step + original.shape[1]] = original[clip]
        _merge(rows[clip], original[other], start * step, how)
    # tags that no event shows (of weak clips) are united as they are
    placed.tags[clip] = torch.maximum(placed.tags[clip], sounds.tags[other])


def _merge(rows: Tensor, added: Tensor, start: int, how: Callable[[Tensor, Tensor], Tensor]) -> None:
    """rows[start:] = how(rows[start:], added), cut at both ends of `rows`."""
    first, end = max(0, start), min(len(rows), start + len(added))
    rows[first:end] = how(rows[first:end], added[first - start : end - start])


def augment_log_mel(
    log_mel: Float[Tensor, "batch frame mel"],
    frame_valid: Float[Tensor, "batch frame"],
    settings: AugmentSettings,
    generator: Generator,
) -> Float[Tensor, "batch frame mel"]:
    """Mel warp, random filter, blur, masks and noise."""
    count, _, n_mels = log_mel.shape
    device = log_mel.device
    if settings.warp_log_std:
        stretch = _log_normal(count, settings.warp_log_std, generator)
        log_mel = mel_warp(log_mel, stretch.to(device), _warp_break(count, settings, generator).to(device))
    log_mel = log_mel + random_filter(count, n_mels, settings.filter_db, generator).to(device)[:, None]
    if settings.blur:
        log_mel = blur(log_mel, (0.1 + _exponential(count, settings.blur, generator)).to(device))
    std = _uniform(count, 0, settings.noise_std, generator).to(device)[:, None, None]
    with _seeded(int(torch.randint(2**62, (), generator=generator)), device):
        masked = mask(log_mel, frame_valid, settings.time_mask_frames, settings.mel_mask_bands)
        return masked + std * torch.randn(masked.shape, device=device) if settings.noise_std else masked


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's own random numbers start from `seed` inside, and go on outside as if nothing had been: torchaudio
    takes no generator."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _warp_break(count: int, settings: AugmentSettings, generator: Generator) -> Float[Tensor, " batch"]:
    if not settings.warp_break:
        return torch.full((count,), LONGEST_EXPONENTIAL)
    return _exponential(count, settings.warp_break, generator)


def mel_warp(
    log_mel: Float[Tensor, "batch frame mel"],
    stretch: Float[Tensor, " batch"],
    turn: Float[Tensor, " batch"],
) -> Float[Tensor, "batch frame mel"]:
    """Warp the mel axis of each clip by linear interpolation between bands (vocal tract length perturbation,
    Jaitly and Hinton 2013, on the mel axis): `stretch` up to the band `turn` (a share of the axis), from there
    straight to the axis' end. Where `turn` is 1 or more the whole axis is stretched."""
    top = log_mel.shape[2] - 1
    band = torch.arange(top + 1, device=log_mel.device, dtype=stretch.dtype)
    knee = (turn * top / stretch.clamp(min=1))[:, None]  # where the warp turns, on the axis of the result
    height = knee * stretch[:, None]
    beyond = height + (band - knee) * (top - height) / (top - knee).clamp(min=1e-6)
    whole = (turn >= 1)[:, None]
    position = torch.where(whole | (band <= knee), band * stretch[:, None], beyond).clamp(0, top)
    low = position.floor().long().clamp(max=top - 1)
    part = (position - low)[:, None]
    low = low[:, None].expand(-1, log_mel.shape[1], -1)
    return torch.gather(log_mel, 2, low) * (1 - part) + torch.gather(log_mel, 2, low + 1) * part


def random_filter(count: int, n_mels: int, db: float, generator: Generator) -> Float[Tensor, "batch mel"]:
    """A smooth random gain over the mel axis, in units of the natural logarithm of power."""
    knots = _uniform(count * 5, -db, db, generator).reshape(count, 1, 5) * math.log(10) / 10
    return interpolate(knots, n_mels, mode="linear", align_corners=True)[:, 0]


def blur(
    log_mel: Float[Tensor, "batch frame mel"], width: Float[Tensor, " batch"]
) -> Float[Tensor, "batch frame mel"]:
    """Gaussian blur of 5 frames by 5 bands with a standard deviation of its own for each clip."""
    place = torch.arange(-2, 3, device=log_mel.device, dtype=log_mel.dtype)
    line = torch.exp(-0.5 * (place / width[:, None]) ** 2)
    line = line / line.sum(1, keepdim=True)
    kernels = line[:, :, None] * line[:, None, :]
    # edges are repeated: zeros of the logarithm would be loud
    padded = pad(log_mel[:, None], (2, 2, 2, 2), mode="replicate").transpose(0, 1)
    return conv2d(padded, kernels[:, None], groups=len(log_mel))[0]


def mask(
    log_mel: Float[Tensor, "batch frame mel"],
    frame_valid: Float[Tensor, "batch frame"],
    frames: int,
    bands: int,
) -> Float[Tensor, "batch frame mel"]:
    """One random stretch of up to `frames` frames and one of up to `bands` bands of each clip at the clip's mean in
    that band; neither is longer than a fifth of its axis. Published: at the training set's mean."""
    valid = frame_valid[:, :, None]
    mean = (log_mel * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp(min=1)
    rows = (log_mel - mean)[:, None]
    for longest, axis in ((frames, 2), (bands, 3)):
        if longest:
            rows = mask_along_axis_iid(rows, longest, 0.0, axis, LARGEST_MASKED_SHARE)
    return rows[:, 0] + mean
