"""Where a recording begins in what a microphone has heard of it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import DeviceError

ALIGNED_S = 20.0
"""Sound that is looked for."""
LEAST_LIKENESS = 0.5


def first_sample_of(
    recording: NDArray[np.float32], heard: Sequence[tuple[int, NDArray[np.float32]]], sample_rate: int
) -> int:
    """Index in what was heard, blocks with the index of their first sample, at which the recording begins.

    By the peak of the cross-correlation with its first seconds, at one sample rate in Hz. Raises DeviceError where
    the best place is unlike it.
    """
    end = max((first + len(samples) for first, samples in heard), default=0)
    signal = np.zeros(end, np.float32)
    for first, samples in heard:
        signal[first : first + len(samples)] = samples
    part = recording[: round(ALIGNED_S * sample_rate)]
    if end < len(part):
        raise DeviceError(
            f"the microphone: expected {len(part) / sample_rate:g} s of sound or more, "
            f"found {end / sample_rate:.1f} s"
        )
    size = 1 << (end + len(part)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(signal, size) * np.conj(np.fft.rfft(part, size)), size)
    begin = int(np.argmax(likeness[: end - len(part) + 1]))
    _check_likeness(part, signal[begin : begin + len(part)])
    return begin


def _check_likeness(part: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    scale = float(np.linalg.norm(part) * np.linalg.norm(found))
    likeness = float(part @ found) / scale if scale else 0.0
    if likeness < LEAST_LIKENESS:
        raise DeviceError(
            "the microphone: expected it to hear what is played, "
            f"found a likeness of {likeness:.2f} at best, not {LEAST_LIKENESS:g}: "
            "is the sink's monitor the device?"
        )
