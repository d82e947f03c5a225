"""Random rooms: what a sound goes through on its way from its source to a microphone some metres away.

A room's impulse response is a direct path, a few early reflections and a tail of noise that decays
exponentially, faster at high frequencies than at low ones, as air and furniture have it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float
from scipy import fft

from train.data.extents import from_db

REFLECTION_S = (0.002, 0.04)
"""When early reflections arrive after the direct path."""
TAIL_START_S = 0.01
"""When the tail sets in."""
N_REFLECTIONS = (4, 9)
"""Early reflections of a response: from, to (exclusive)."""
LOW_DECAY = (1.0, 1.4)
"""Reverberation time under 500 Hz over the one around 1 kHz."""
HIGH_DECAY = (0.4, 0.9)
"""Reverberation time over 2 kHz over the one around 1 kHz."""
_CROSSOVERS_HZ = (500.0, 2_000.0)
_CROSSOVER_ORDER = 4
_SIXTY_DB = 3 * np.log(10)  # amplitude falls by exp(-this) in a reverberation time


@dataclass(frozen=True)
class Room:
    """Time in seconds in which sound falls by 60 dB in a room: under 500 Hz, from there to 2 kHz, and over it."""

    low_rt60_s: float
    rt60_s: float
    high_rt60_s: float


def draw_room(rt60_s: tuple[float, float], rng: np.random.Generator) -> Room:
    """A room whose reverberation time around 1 kHz lies in the range (low, high), in seconds."""
    middle = float(rng.uniform(*rt60_s))
    return Room(middle * float(rng.uniform(*LOW_DECAY)), middle, middle * float(rng.uniform(*HIGH_DECAY)))


def impulse_response(
    room: Room, direct_db: float, sample_rate: int, rng: np.random.Generator
) -> Float[np.ndarray, " sample"]:
    """A response at one place of a room: 1 at sample 0 for the direct path, then everything reflected.

    The direct path's energy is `direct_db` over the energy of all the rest, which ends after a reverberation time.
    """
    reflected = _tail(room, sample_rate, rng)
    energy = float(np.sum(np.square(reflected, dtype=np.float64)))
    n_early = int(rng.integers(*N_REFLECTIONS))
    delays_s = rng.uniform(*REFLECTION_S, n_early)
    # the reflections together have as much energy as the tail, and fall as it does
    strengths = np.exp(-_SIXTY_DB * delays_s / room.rt60_s) * rng.choice((-1.0, 1.0), n_early)
    strengths *= np.sqrt(energy / np.sum(np.square(strengths)))
    np.add.at(reflected, np.rint(delays_s * sample_rate).astype(int), strengths.astype(np.float32))
    response = reflected * np.float32(from_db(-direct_db) / np.sqrt(np.sum(np.square(reflected))))
    response[0] = 1.0
    return response


def _tail(room: Room, sample_rate: int, rng: np.random.Generator) -> Float[np.ndarray, " sample"]:
    """White noise in three bands, each with its own exponential decay, silent until the tail sets in."""
    n_samples = round(max(room.rt60_s, 2 * REFLECTION_S[1]) * sample_rate)
    n_fft = int(fft.next_fast_len(n_samples, real=True))
    spectrum = fft.rfft(rng.standard_normal(n_samples, np.float32), n_fft)
    seconds = np.arange(n_samples, dtype=np.float32) / np.float32(sample_rate)
    tail = np.zeros(n_samples, np.float32)
    decays = (room.low_rt60_s, room.rt60_s, room.high_rt60_s)
    for band, rt60_s in zip(_bands(spectrum, n_fft, sample_rate), decays, strict=True):
        tail += fft.irfft(band, n_fft)[:n_samples] * np.exp(seconds * np.float32(-_SIXTY_DB / rt60_s))
    tail[: round(TAIL_START_S * sample_rate)] = 0.0
    return tail


def _bands(
    spectrum: Complex[np.ndarray, " bin"], n_fft: int, sample_rate: int
) -> list[Complex[np.ndarray, " bin"]]:
    """The spectrum in three parts that add up to it, with smooth edges."""
    hz = fft.rfftfreq(n_fft, 1 / sample_rate).astype(np.float32)
    low, high = (1 / (1 + (hz / crossover) ** _CROSSOVER_ORDER) for crossover in _CROSSOVERS_HZ)
    return [spectrum * low, spectrum * (high - low), spectrum * (1 - high)]


def reverberate(
    waveform: Float[np.ndarray, " sample"], response: Float[np.ndarray, " sample"]
) -> Float[np.ndarray, " sample"]:
    """The waveform in a room, longer by the response's tail; its energy stays what it was."""
    n_samples = len(waveform) + len(response) - 1
    n_fft = int(fft.next_fast_len(n_samples, real=True))
    wet = fft.irfft(fft.rfft(waveform, n_fft) * fft.rfft(response, n_fft), n_fft)[:n_samples]
    before, after = (np.sum(np.square(x, dtype=np.float64)) for x in (waveform, wet))
    return (wet * np.float32(np.sqrt(before / max(after, 1e-24)))).astype(np.float32)
