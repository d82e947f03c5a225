"""The recordings that throughput is measured on: the bundled soundscape, looped, as one file or cut into many."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.recording import looped, soundscape
from edge_app.core.errors import SedgeError

RECORDER_HZ = 44_100
"""Sample rate that most recorders write."""


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
