"""Variety at mixing: speed with pitch, and tone. A bank holds few recordings; no mix repeats one exactly."""

import numpy as np
import soxr
from jaxtyping import Float

_KNOTS_HZ = (60.0, 250.0, 1_000.0, 3_000.0, 8_000.0)
_TAIL = 1_024  # samples of zeros against the filter's wrapping round


def change_speed(waveform: Float[np.ndarray, " sample"], speed: float) -> Float[np.ndarray, " sample"]:
    """Play the waveform `speed` times as fast; pitch follows."""
    return soxr.resample(waveform, speed, 1.0).astype(np.float32, copy=False)


def equalise(
    waveform: Float[np.ndarray, " sample"], gains_db: Float[np.ndarray, " knot"], sample_rate: int
) -> Float[np.ndarray, " sample"]:
    """Filter without delay by gains in dB at 60, 250, 1000, 3000 and 8000 Hz, smooth between them."""
    n_fft = len(waveform) + _TAIL
    hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    octaves = np.log2(np.maximum(hz, _KNOTS_HZ[0]))
    gain = 10 ** (np.interp(octaves, np.log2(_KNOTS_HZ), gains_db) / 20)
    filtered = np.fft.irfft(np.fft.rfft(waveform, n_fft) * gain, n_fft)
    return filtered[: len(waveform)].astype(np.float32)


def vary(
    waveform: Float[np.ndarray, " sample"],
    speed_change: float,
    tone_db: float,
    sample_rate: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " sample"]:
    """A random speed within 1 ± `speed_change` and a random tone within ± `tone_db`; 0 leaves either alone."""
    if speed_change:
        waveform = change_speed(waveform, float(rng.uniform(1 - speed_change, 1 + speed_change)))
    if tone_db:
        waveform = equalise(waveform, rng.uniform(-tone_db, tone_db, len(_KNOTS_HZ)), sample_rate)
    return waveform
