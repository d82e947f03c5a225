"""The features, defined once: frames of 20 ms, 128 mel bands, natural logarithm.

Frame i stands for the samples 320 i ... 320 (i + 1). Its window is centred on that cell and reaches
320 samples to either side, with zeros outside the signal; N samples give N // 320 frames.

Frames are computed in blocks of a fixed number of rows, the last one padded, each frame always at
the same row of its block. The last bits of a matrix product depend on its shape, so this is
what makes a stream cut anywhere equal the whole signal bit for bit.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

ROWS_PER_BLOCK = 16


@dataclass(frozen=True)
class LogMelConfig:
    """Settings of the log-mel spectrogram; the defaults are the ones every model is trained on."""

    sample_rate: int = 16_000
    """Sample rate in Hz."""
    hop_length: int = 320
    """Samples a frame stands for."""
    window_length: int = 960
    """Samples under the periodic Blackman window, centred on the frame's cell."""
    n_fft: int = 1024
    """Points of the Fourier transform; the window is padded with zeros at its end."""
    n_mels: int = 128
    """Mel bands."""
    f_min: float = 50.0
    """Lower edge of the lowest band, in Hz."""
    f_max: float = 8_000.0
    """Upper edge of the highest band, in Hz."""
    log_offset: float = 1e-12
    """Added to the power before the logarithm."""

    def __post_init__(self) -> None:
        if (self.window_length - self.hop_length) % 2:
            raise ValueError("window_length - hop_length must be even: the window is centred on the cell")

    @property
    def margin(self) -> int:
        """Samples that a frame's window reaches beyond its cell, on either side."""
        return (self.window_length - self.hop_length) // 2

    @property
    def frame_s(self) -> float:
        """Seconds a frame stands for."""
        return self.hop_length / self.sample_rate

    def frames_in(self, n_samples: int) -> int:
        """Whole frames in a signal of `n_samples` samples."""
        return n_samples // self.hop_length


def blackman_window(length: int) -> NDArray[np.float64]:
    """Periodic Blackman window, shape (sample,)."""
    phase = 2 * np.pi * np.arange(length) / length
    return 0.42 - 0.5 * np.cos(phase) + 0.08 * np.cos(2 * phase)


def mel_edges(config: LogMelConfig) -> NDArray[np.float64]:
    """Edges c_0 ... c_(n_mels + 1) of the bands in fractional FFT bins, equally spaced in HTK mel."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (config.f_min, config.f_max))
    hz = 700 * (10 ** (np.linspace(low, high, config.n_mels + 2) / 2595) - 1)
    return hz * config.n_fft / config.sample_rate


@cache
def mel_filters(config: LogMelConfig) -> NDArray[np.float64]:
    """Triangular filters on power, shape (bin, mel), each of unit sum.

    Filter m rises from min(c_(m-1), c_m - 1) to c_m and falls to max(c_(m+1), c_m + 1): no band is
    narrower than a bin to either side, so none is empty at low frequencies.
    """
    edges = mel_edges(config)
    top = edges[1:-1]
    left = np.minimum(edges[:-2], top - 1)
    right = np.maximum(edges[2:], top + 1)
    bins = np.arange(config.n_fft // 2 + 1)[:, None]
    rising = (bins - left) / (top - left)
    falling = (right - bins) / (right - top)
    filters = np.maximum(0, np.minimum(rising, falling))
    normalised: NDArray[np.float64] = filters / filters.sum(axis=0)
    normalised.setflags(write=False)
    return normalised


@cache
def _constants(config: LogMelConfig, dtype: np.dtype) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    return blackman_window(config.window_length).astype(dtype), mel_filters(config).astype(dtype)


def _block_log_mel(windows: NDArray, config: LogMelConfig) -> NDArray:  # type: ignore[type-arg]
    """Log-mel of exactly ROWS_PER_BLOCK windows, shape (ROWS_PER_BLOCK, sample) -> (ROWS_PER_BLOCK, mel)."""
    window, filters = _constants(config, windows.dtype)
    spectrum = np.fft.rfft(windows * window, n=config.n_fft, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    log_power: NDArray = np.log(power @ filters + windows.dtype.type(config.log_offset))  # type: ignore[type-arg]
    return log_power


class StreamingLogMel:
    """Log-mel frames of one signal that arrives in blocks of any size.

    A frame comes out once the samples under its window have arrived, that is `margin` samples (20 ms)
    after the end of its cell, or at `flush`, which takes what follows the signal as zeros.
    """

    def __init__(self, config: LogMelConfig | None = None, dtype: type[np.floating] = np.float32) -> None:
        self.config = config or LogMelConfig()
        self._dtype = np.dtype(dtype)
        # from `margin` before the next frame's cell on
        self._pending = np.zeros(self.config.margin, self._dtype)
        self._next_frame = 0
        self._n_samples = 0

    def push(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """Take samples, shape (sample,); give the frames that are now complete, shape (frame, mel)."""
        self._n_samples += len(samples)
        self._pending = np.concatenate([self._pending, samples.astype(self._dtype, copy=False)])
        complete = (len(self._pending) - self.config.window_length) // self.config.hop_length + 1
        return self._emit(max(0, complete))

    def flush(self) -> NDArray[np.float32]:
        """Give the frames whose windows reach beyond the end of the signal, shape (frame, mel)."""
        remaining = self.config.frames_in(self._n_samples) - self._next_frame
        padding = self.config.window_length + self.config.hop_length
        self._pending = np.concatenate([self._pending, np.zeros(padding, self._dtype)])
        return self._emit(remaining)

    def _emit(self, count: int) -> NDArray[np.float32]:
        config = self.config
        frames = np.empty((count, config.n_mels), self._dtype)
        done = 0
        while done < count:
            row = (self._next_frame + done) % ROWS_PER_BLOCK
            rows = min(ROWS_PER_BLOCK - row, count - done)
            frames[done : done + rows] = self._block(done, rows, row)
            done += rows
        self._pending = self._pending[count * config.hop_length :]
        self._next_frame += count
        return frames

    def _block(self, first: int, rows: int, row: int) -> NDArray[np.floating]:
        """Frames `first` ... `first + rows` of the pending samples, computed at row `row` of a whole block."""
        config = self.config
        start = first * config.hop_length
        samples = self._pending[start : start + (rows - 1) * config.hop_length + config.window_length]
        windows = np.zeros((ROWS_PER_BLOCK, config.window_length), self._dtype)
        view = np.lib.stride_tricks.sliding_window_view(samples, config.window_length)
        windows[row : row + rows] = view[:: config.hop_length]
        return _block_log_mel(windows, config)[row : row + rows]


def log_mel(waveform: NDArray[np.floating], config: LogMelConfig | None = None) -> NDArray[np.float32]:
    """Log-mel spectrogram of a whole signal, shape (sample,) -> (frame, mel), in the dtype of the waveform."""
    stream = StreamingLogMel(config, dtype=waveform.dtype.type)
    return np.concatenate([stream.push(waveform), stream.flush()])
