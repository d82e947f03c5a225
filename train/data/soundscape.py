"""Soundscapes: a background with events at known times, mixed from a bank.

Everything random in a clip comes from (seed, clip index), so any clip can be made again alone and the
work can be shared among processes in any way.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_app.core.events import Event
from train.data.bank import SAMPLE_RATE, Recording, SoundBank
from train.data.desed import CLIP_S
from train.data.extents import audible_runs, frame_rms, from_db, merge_labels, rms
from train.data.rooms import Room, draw_room, impulse_response, reverberate
from train.data.variety import limit_band, vary

Domain = Literal["synthetic", "real"]
AUDIBLE_DB = -3.0
"""An event counts where its level, room and band included, is above the background's by more than this."""
PEAK = 0.95


class MixSettings(BaseModel):
    """How soundscapes are mixed; ranges are (low, high), drawn uniformly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=1, ge=0)
    clip_s: float = Field(default=CLIP_S, gt=0)
    event_weights: tuple[float, ...] = (0.06, 0.33, 0.3, 0.2, 0.11)
    """Weight of a clip with 0, 1, 2, ... events drawn."""
    distractor_weights: tuple[float, ...] = (0.65, 0.25, 0.1)
    """Weight of a clip with 0, 1, 2, ... distractors."""
    snr_db: tuple[float, float] = (6.0, 30.0)
    """RMS of an event's recording over the RMS of the background; a room and a band come after it."""
    level_dbfs: tuple[float, float] = (-45.0, -15.0)
    """RMS level of the whole clip, lower where its peak would pass 0.95."""
    early_start: float = Field(default=0.03, ge=0, le=1)
    """Share of events that begin before the clip does."""
    kept_share: float = Field(default=0.6, gt=0, le=1)
    """An event cut at an edge keeps at least this share of its recording."""
    crossfade_s: float = Field(default=0.25, ge=0)
    """Overlap of a background's end with its start where it is repeated."""
    speed_change: float = Field(default=0.1, ge=0, lt=1)
    """Speed (and pitch) of an event within 1 plus or minus this; 0 for as recorded."""
    tone_db: float = Field(default=6.0, ge=0)
    """Gain of an event or a background at five frequencies, within plus or minus this; 0 for as recorded."""
    rt60_s: tuple[float, float] | None = None
    """Reverberation time of a clip's room around 1 kHz; None for no room: sounds as they were recorded."""
    direct_db: tuple[float, float] = (-3.0, 12.0)
    """Energy of an event's direct path over what the room reflects: how near it is to the microphone."""
    low_cut_hz: tuple[float, float] | None = None
    """A clip's lower band limit, 3 dB down there; None for none."""
    high_cut_hz: tuple[float, float] | None = None
    """A clip's upper band limit, 3 dB down there; None for none."""

    @model_validator(mode="after")
    def _check(self) -> "MixSettings":
        above_0 = [given for given in (self.rt60_s, self.low_cut_hz, self.high_cut_hz) if given]
        for low, high in (self.snr_db, self.level_dbfs, self.direct_db, *above_0):
            if low > high:
                raise ValueError(f"expected a range (low, high), found ({low}, {high})")
        if any(low <= 0 for low, _ in above_0):
            raise ValueError(f"expected times and frequencies above 0, found {above_0}")
        for weights in (self.event_weights, self.distractor_weights):
            if not weights or min(weights) < 0 or sum(weights) <= 0:
                raise ValueError(f"expected weights of 0 or more, not all 0, found {weights}")
        return self

    @property
    def n_samples(self) -> int:
        """Samples in a clip."""
        return round(self.clip_s * SAMPLE_RATE)


REAL_LIKE = MixSettings(
    event_weights=(0.04, 0.4, 0.3, 0.18, 0.08),
    distractor_weights=(0.45, 0.35, 0.2),
    snr_db=(0.0, 20.0),
    early_start=0.15,
    rt60_s=(0.2, 0.8),
    low_cut_hz=(50.0, 300.0),
    high_cut_hz=(3_000.0, 7_500.0),
)
"""Clips as people record them at home: in rooms, by small microphones, events fainter and under way at the start."""


def domain_settings(domain: Domain) -> MixSettings:
    """How the clips of an acoustic domain are mixed."""
    return REAL_LIKE if domain == "real" else MixSettings()


@dataclass(frozen=True)
class Soundscape:
    """A mixed clip at 16 kHz, its events on the 20 ms grid, and the names of the recordings in it."""

    waveform: Float[np.ndarray, " sample"]
    events: list[Event]
    recordings: list[str]


@dataclass(frozen=True)
class _Acoustics:
    """What a clip is heard through: its room, or none, and its band in Hz, or all."""

    room: Room | None
    band_hz: tuple[float, float] | None

    def limit(self, waveform: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
        return limit_band(waveform, *self.band_hz, SAMPLE_RATE) if self.band_hz else waveform


def clip_rng(seed: int, index: int) -> np.random.Generator:
    """The random numbers of one clip."""
    return np.random.default_rng([seed, index])


def mix_clip(bank: SoundBank, settings: MixSettings, rng: np.random.Generator) -> Soundscape:
    """One clip: a background at unit level, distractors and events over it in a room, a band and a level for all.

    An event lasts where its sound, reverberation included, can be heard over the background in the clip's band.
    """
    acoustics = _draw_acoustics(settings, rng)
    backdrop = bank.draw("background", rng)
    mix = _background(backdrop, settings, rng)
    floor_rms = from_db(AUDIBLE_DB) * (rms(acoustics.limit(mix)) if acoustics.band_hz else 1.0)
    used = [backdrop]
    if bank.has("distractor"):
        for _ in range(_draw_count(settings.distractor_weights, rng)):
            used.append(bank.draw("distractor", rng))
            mix += _event_layer(used[-1], settings, acoustics, floor_rms, rng)[0]
    spans: dict[str, list[Int[np.ndarray, "run 2"]]] = defaultdict(list)
    for _ in range(_draw_count(settings.event_weights, rng)):
        recording = bank.draw_event(rng)
        layer, extents = _event_layer(recording, settings, acoustics, floor_rms, rng)
        mix += layer
        used.append(recording)
        spans[str(recording.event_label)].append(extents)
    level = float(rng.uniform(*settings.level_dbfs))
    waveform = set_level(acoustics.limit(mix), level)
    return Soundscape(waveform, merge_labels(spans), [recording.name for recording in used])


def _draw_acoustics(settings: MixSettings, rng: np.random.Generator) -> _Acoustics:
    room = draw_room(settings.rt60_s, rng) if settings.rt60_s else None
    low_hz = float(rng.uniform(*settings.low_cut_hz)) if settings.low_cut_hz else 0.0
    high_hz = float(rng.uniform(*settings.high_cut_hz)) if settings.high_cut_hz else np.inf
    is_limited = settings.low_cut_hz is not None or settings.high_cut_hz is not None
    return _Acoustics(room, (low_hz, high_hz) if is_limited else None)


def _draw_count(weights: tuple[float, ...], rng: np.random.Generator) -> int:
    return int(rng.choice(len(weights), p=np.array(weights) / sum(weights)))


def _background(
    recording: Recording, settings: MixSettings, rng: np.random.Generator
) -> Float[np.ndarray, " sample"]:
    waveform = vary(recording.waveform(), 0.0, settings.tone_db, SAMPLE_RATE, rng)
    waveform = fill(waveform, settings.n_samples, round(settings.crossfade_s * SAMPLE_RATE), rng)
    return waveform / max(rms(waveform), 1e-12)


def _event_layer(
    recording: Recording,
    settings: MixSettings,
    acoustics: _Acoustics,
    floor_rms: float,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, " sample"], Int[np.ndarray, "run 2"]]:
    """A recording over a background of unit RMS: its samples in the clip, and its extents in frames."""
    waveform = vary(recording.waveform(), settings.speed_change, settings.tone_db, SAMPLE_RATE, rng)
    waveform = scale_to_snr(waveform, 1.0, float(rng.uniform(*settings.snr_db)))
    n_dry = len(waveform)
    if acoustics.room:
        direct_db = float(rng.uniform(*settings.direct_db))
        waveform = reverberate(waveform, impulse_response(acoustics.room, direct_db, SAMPLE_RATE, rng))
    start = draw_start(n_dry, settings, rng)
    heard = acoustics.limit(waveform)
    peak = float(frame_rms(heard).max(initial=0.0))
    extents = audible_runs(place(heard, start, settings.n_samples), peak_rms=peak, floor_rms=floor_rms)
    return place(waveform, start, settings.n_samples), extents


def fill(
    waveform: Float[np.ndarray, " sample"], n_samples: int, n_fade: int, rng: np.random.Generator
) -> Float[np.ndarray, " sample"]:
    """`n_samples` of a background: a random cut of a long one; a short one repeated, its ends cross-faded."""
    if len(waveform) >= n_samples:
        start = int(rng.integers(len(waveform) - n_samples + 1))
        return waveform[start : start + n_samples].copy()
    n_fade = min(n_fade, len(waveform) // 2)
    angle = (np.arange(n_fade, dtype=np.float32) + 0.5) / max(n_fade, 1) * np.float32(np.pi / 2)
    cycle = waveform[: len(waveform) - n_fade].copy()
    cycle[:n_fade] = waveform[:n_fade] * np.sin(angle) + waveform[len(waveform) - n_fade :] * np.cos(angle)
    start = int(rng.integers(len(cycle)))
    return np.resize(np.roll(cycle, -start), n_samples)


def scale_to_snr(
    waveform: Float[np.ndarray, " sample"], background_rms: float, snr_db: float
) -> Float[np.ndarray, " sample"]:
    """The waveform with its RMS, pauses included, `snr_db` above the background's."""
    return waveform * np.float32(background_rms * from_db(snr_db) / max(rms(waveform), 1e-12))


def draw_start(n_event: int, settings: MixSettings, rng: np.random.Generator) -> int:
    """First sample of an event in the clip; under 0 where it begins before, and it may run over the end."""
    kept = min(round(settings.kept_share * n_event), settings.n_samples)
    early = bool(rng.random() < settings.early_start)
    return int(rng.integers(kept - n_event, 1)) if early else int(rng.integers(settings.n_samples - kept + 1))


def place(waveform: Float[np.ndarray, " sample"], start: int, n_samples: int) -> Float[np.ndarray, " sample"]:
    """A clip of zeros with the waveform from `start` on, cut at the clip's edges."""
    layer = np.zeros(n_samples, np.float32)
    inside = waveform[max(0, -start) : max(0, n_samples - start)]
    layer[max(0, start) : max(0, start) + len(inside)] = inside
    return layer


def set_level(mix: Float[np.ndarray, " sample"], level_dbfs: float) -> Float[np.ndarray, " sample"]:
    """The mix at an RMS level in dBFS, or lower where a peak would pass 0.95."""
    gain = from_db(level_dbfs) / max(rms(mix), 1e-12)
    gain = min(gain, PEAK / max(float(np.abs(mix).max(initial=0.0)), 1e-12))
    return (mix * np.float32(gain)).astype(np.float32)
