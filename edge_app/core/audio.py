"""Recordings to mono samples at the model's rate, in blocks, so that any length fits in memory.

libsndfile reads what it knows, FFmpeg the rest (`media`). Whether all of a file is there is checked: a detection
on half a recording must not pass for one on the whole.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from edge_app.core.errors import AudioError
from edge_app.core.file_ends import UNKNOWN_BYTES
from edge_app.core.file_handle import open_handle
from edge_app.core.media import MediaReader
from edge_app.core.sound_file import NotSoundFileError, SoundFileReader

__all__ = ["LOUDEST", "SAMPLE_RATES_HZ", "UNKNOWN_BYTES", "MonoResampler", "Recording", "read_blocks"]

SAMPLE_RATES_HZ = (1_000, 768_000)
"""Lowest and highest sample rate taken: sound cards and archives stay within it."""
LOUDEST = 1e9
"""Full scale is 1; beyond this the power spectrum overflows, and no real recording comes near."""


class MonoResampler:
    """Changes the sample rate of a mono signal that arrives in blocks of any size.

    The output does not depend on how the signal is cut; N samples give N * rate_out / rate_in, within one.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._stream = None
        if rate_in != rate_out:
            self._stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples, shape (sample,); give those at the new rate that are now complete, shape (sample,)."""
        return self._take(samples, last=False)

    def flush(self) -> NDArray[np.float32]:
        """End the signal: give the remaining samples, shape (sample,)."""
        return self._take(np.empty(0, np.float32), last=True)

    def _take(self, samples: NDArray[np.float32], last: bool) -> NDArray[np.float32]:
        if self._stream is None:
            return samples
        resampled: NDArray[np.float32] = self._stream.resample_chunk(np.ascontiguousarray(samples), last=last)
        return resampled


class Recording:
    """A sound or media file of any rate and channel count that libsndfile or FFmpeg reads.

    Of a file with several sound streams the default one, else the first. Raises AudioError where the file cannot
    be opened as audio.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as reader:
            self.sample_rate = reader.sample_rate
            """Samples a second of each channel, in the file."""
            self.n_channels = reader.n_channels
            self.declared_s = reader.declared_s
            """Seconds that the file says it has; None where it does not say."""
        low, high = SAMPLE_RATES_HZ
        if not low <= self.sample_rate <= high:
            raise AudioError(
                f"{path}: expected a sample rate of {low} to {high} Hz, found {self.sample_rate}"
            )

    def blocks(self, block_s: float = 1.0) -> Iterator[NDArray[np.float32]]:
        """The mean of the channels in blocks of `block_s` seconds, shape (sample,), at the file's own rate.

        Raises AudioError where the file is truncated or damaged, has no samples, or has samples that are not
        finite: what was given before it is right.
        """
        length = max(1, round(block_s * self.sample_rate))
        with _opened(self.path) as reader:
            yield from _regrouped(self._mono(reader.pieces(length)), length)
            reader.check_end()

    def _mono(self, pieces: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        done = 0
        for piece in pieces:
            self._check(piece, done)
            done += len(piece)
            yield piece[:, 0] if piece.shape[1] == 1 else piece.mean(axis=1)

    def _check(self, piece: NDArray[np.float32], done: int) -> None:
        # One comparison finds numbers that are too large and those that are none.
        wrong = ~(np.abs(piece) < LOUDEST)
        if wrong.any():
            sample, channel = np.argwhere(wrong)[0]
            raise AudioError(
                f"{self.path}: expected finite samples, "
                f"found {piece[sample, channel]} at {(done + sample) / self.sample_rate:.3f} s"
            )


def read_blocks(path: Path, sample_rate: int = 16_000) -> Iterator[NDArray[np.float32]]:
    """A recording as mono samples at `sample_rate` Hz, in blocks of shape (sample,).

    Raises AudioError where the file is missing, not audio, truncated or damaged.
    """
    recording = Recording(path)
    resampler = MonoResampler(recording.sample_rate, sample_rate)
    for block in recording.blocks():
        yield resampler.push(block)
    yield resampler.flush()


@contextmanager
def _opened(path: Path) -> Iterator[SoundFileReader | MediaReader]:
    """What reads a file. Raises AudioError where nothing does."""
    with open_handle(path) as handle:
        reader: SoundFileReader | MediaReader
        try:
            reader = SoundFileReader(path, handle)
        except NotSoundFileError as error:
            reader = MediaReader(path, handle, refused=str(error))
        with closing(reader):
            yield reader


def _regrouped(pieces: Iterable[NDArray[np.float32]], length: int) -> Iterator[NDArray[np.float32]]:
    """Pieces (sample,) as blocks of `length` samples, the last one what is left."""
    waiting: list[NDArray[np.float32]] = []
    missing = length
    for piece in pieces:
        waiting.append(piece)
        missing -= len(piece)
        if missing > 0:
            continue
        joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
        whole = len(joined) - len(joined) % length
        yield from (joined[start : start + length] for start in range(0, whole, length))
        waiting = [joined[whole:]] if whole < len(joined) else []
        missing = length - (len(joined) - whole)
    if missing < length:
        yield np.concatenate(waiting)
