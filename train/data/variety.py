"""Variety at mixing: speed with pitch, tone, and bandwidth. A bank holds few recordings; no mix repeats one exactly."""

import numpy as np
import soxr
from jaxtyping import Float
from scipy import fft

_KNOTS_HZ = (60.0, 250.0, 1_000.0, 3_000.0, 8_000.0)
_TAIL = 1_024  # samples of zeros against the filter's wrapping round
_BAND_TAIL = 4_096  # the same for a low cut, which rings for longer
_BAND_ORDER = 4  # 24 dB an octave


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


def limit_band(
    waveform: Float[np.ndarray, " sample"], low_hz: float, high_hz: float, sample_rate: int
) -> Float[np.ndarray, " sample"]:
    """Filter without delay to a band, 3 dB down at both cuts and falling by 24 dB an octave outside."""
    n_fft = int(fft.next_fast_len(len(waveform) + _BAND_TAIL, real=True))
    hz = fft.rfftfreq(n_fft, 1 / sample_rate).astype(np.float32)
    hz = np.maximum(hz, np.float32(max(low_hz, 1.0) / 100))  # its 8th power stays finite
    below = (np.float32(low_hz) / hz) ** (2 * _BAND_ORDER)
    above = (hz / np.float32(high_hz)) ** (2 * _BAND_ORDER)
    gain = 1 / np.sqrt((1 + below) * (1 + above))
    filtered = fft.irfft(fft.rfft(waveform, n_fft) * gain, n_fft)
    return filtered[: len(waveform)].astype(np.float32, copy=False)


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
