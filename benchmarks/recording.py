"""The sound that benchmarks run on: the bundled soundscape, over and over, as long as is needed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from edge_app.commands.demo import RECORDING
from edge_app.core.audio import read_blocks
from edge_app.core.errors import SedgeError
from edge_app.core.logmel import LogMelConfig

SAMPLE_RATE = LogMelConfig().sample_rate
BLOCK_S = 60
RECORDER_HZ = 44_100
"""Sample rate that most recorders write."""


def soundscape(sample_rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """The bundled soundscape at a sample rate in Hz, shape (sample,). Raises AudioError where it is damaged."""
    return np.concatenate(list(read_blocks(RECORDING, sample_rate)))


def looped(signal: NDArray[np.float32], first: int, end: int) -> NDArray[np.float32]:
    """Rows [first, end) of a signal that starts again at its end, shape (end - first, ...)."""
    return np.take(signal, np.arange(first, end), axis=0, mode="wrap")


def write_long_recording(path: Path, duration_s: float) -> None:
    """Write the soundscape, looped, as 16 kHz mono FLAC, block by block. Raises SedgeError where there is no space."""
    try:
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16", format="FLAC") as sound:
            for block in _blocks(round(duration_s * SAMPLE_RATE)):
                sound.write(block)
    except (OSError, soundfile.LibsndfileError) as error:
        raise SedgeError(f"{path}: expected space for {duration_s:.0f} s of sound, found: {error}") from error


def _blocks(n_samples: int) -> Iterator[NDArray[np.float32]]:
    signal = soundscape()
    for first in range(0, n_samples, BLOCK_S * SAMPLE_RATE):
        yield looped(signal, first, min(n_samples, first + BLOCK_S * SAMPLE_RATE))


def write_files(folder: Path, count: int, file_s: float, sample_rate: int) -> dict[str, Path]:
    """Write `count` mono FLAC files of `file_s` seconds, each where the one before ends; paths by name.

    Raises SedgeError where there is no space.
    """
    paths = {f"{number:06d}.flac": folder / f"{number:06d}.flac" for number in range(count)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, samples in zip(paths.values(), _pieces(file_s, sample_rate), strict=False):
            soundfile.write(path, samples, sample_rate, "PCM_16", format="FLAC")
    except (OSError, soundfile.LibsndfileError) as error:
        raise SedgeError(
            f"{folder}: expected space for {count * file_s:.0f} s of sound, found: {error}"
        ) from error
    return paths


def _pieces(piece_s: float, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """The soundscape over and over, in pieces of shape (sample,); without an end."""
    signal, length, first = soundscape(sample_rate), round(piece_s * sample_rate), 0
    while True:
        yield looped(signal, first, first + length)
        first = (first + length) % len(signal)
