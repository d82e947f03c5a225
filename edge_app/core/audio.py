"""Recordings to mono samples at the model's rate, in blocks, so that any length fits in memory.

The decoder library quietly cuts a file that ends early to what is there, so whether all of it is there is
checked here: a detection on half a recording must not pass for one on the whole.
"""

import io
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from edge_app.core.errors import AudioError

SAMPLE_RATES_HZ = (1_000, 768_000)
"""Lowest and highest sample rate taken: sound cards and archives stay within it."""
LOUDEST = 1e9
"""Full scale is 1; beyond this the power spectrum overflows, and no real recording comes near."""
UNKNOWN_BYTES = 0x7FFF_0000
"""A size from here on in a header was written by a program that could not know it yet."""
_UNKNOWN_FRAMES = 2**62
_CUT_CHUNK = re.compile(r"^\s*(?:data|SSND|riff|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_DECLARED_FRAMES = re.compile(r"^\s*Frames\s*: (\d+)", re.MULTILINE)
_stderr_lock = threading.Lock()


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
    """A sound file of any rate and channel count that libsndfile reads.

    Raises AudioError where the file cannot be opened as audio.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as (sound, _):
            self.sample_rate: int = sound.samplerate
            """Samples a second of each channel, in the file."""
            self.n_channels: int = sound.channels
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
        length, done = max(1, round(block_s * self.sample_rate)), 0
        with _opened(self.path) as (sound, handle):
            ends = _Ends(self.path, sound, handle)
            while len(block := self._read(sound, length, done, ends)):
                self._check(block, done)
                done += len(block)
                yield block[:, 0] if self.n_channels == 1 else block.mean(axis=1)
            ends.check(done)

    def _read(self, sound: "_SoundFile", length: int, done: int, ends: "_Ends") -> NDArray[np.float32]:
        try:
            with _quiet(ends.is_mp3):
                block: NDArray[np.float32] = sound.read(length, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ends.error(done, _reason(ends.failure or error)) from error
        if ends.failure:
            raise ends.error(done, _reason(ends.failure)) from ends.failure
        return block

    def _check(self, block: NDArray[np.float32], done: int) -> None:
        # One comparison finds numbers that are too large and those that are none.
        wrong = ~(np.abs(block) < LOUDEST)
        if wrong.any():
            sample, channel = np.argwhere(wrong)[0]
            raise AudioError(
                f"{self.path}: expected finite samples, "
                f"found {block[sample, channel]} at {(done + sample) / self.sample_rate:.3f} s"
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


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """Read from beginning to end only: seeking fails where the length is not known."""

    def seekable(self) -> bool:
        return False


class _Handle(io.BufferedReader):
    """Remembers what the system refused: to the decoder library a failed read is the end of the file."""

    failure: OSError | None = None

    def readinto(self, buffer: Any, /) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            return 0


class _Ends:
    """Whether a recording is there to its end, by what its format tells."""

    def __init__(self, path: Path, sound: _SoundFile, handle: _Handle) -> None:
        self._path, self._sound, self._handle = path, sound, handle
        self.is_mp3 = sound.format == "MP3"
        self._mp3_frame = _mp3_first_frame(path) if self.is_mp3 else b""
        self._ogg_ended = sound.format != "OGG" or _ogg_ended(path)
        self._declared = self._declared_frames()

    @property
    def failure(self) -> OSError | None:
        """What kept the system from reading on."""
        return self._handle.failure

    def check(self, done: int) -> None:
        """Raise AudioError where fewer samples were read than the file should hold, or none."""
        if self._declared is not None and done < self._declared:
            raise self.error(done, "the file is truncated")
        if not self._ogg_ended:
            raise self.error(done, "the file is truncated: its last page is missing")
        if self._declared is None and self.is_mp3 and self._mp3_goes_on():
            raise self.error(done, "more follows: an MP3 of varying bit rate that does not tell its length")
        if not done:
            raise AudioError(f"{self._path}: expected sound, found no samples")

    def error(self, done: int, reason: str) -> AudioError:
        """The error of a file that gave `done` samples."""
        rate = self._sound.samplerate
        expected = "sound to the end" if self._declared is None else f"{self._declared / rate:.3f} s of sound"
        return AudioError(f"{self._path}: expected {expected}, found {done / rate:.3f} s ({reason})")

    def _declared_frames(self) -> int | None:
        """Samples a channel that the file says it has; None where it does not say."""
        frames: int = self._sound.frames
        untold = self.is_mp3 and not _mp3_tells_length(self._mp3_frame)
        if frames > _UNKNOWN_FRAMES or untold or not self._ogg_ended:
            return None
        log = self._sound.extra_info  # the decoder's own notes on the header, before it cut the sizes
        if cut := _CUT_CHUNK.search(log):
            declared, there = int(cut[1]), int(cut[2])
            if there and declared < UNKNOWN_BYTES:
                frames = max(frames, frames * declared // there)
        elif told := _DECLARED_FRAMES.search(log):
            frames = max(frames, int(told[1]))
        return frames

    def _mp3_goes_on(self) -> bool:
        """Whether frames follow the point where the decoder stopped: it guesses a length that is not told."""
        following = self._handle.read(8192)
        return following.count(self._mp3_frame[:2]) > 2


@contextmanager
def _opened(path: Path) -> Iterator[tuple[_SoundFile, _Handle]]:
    """A sound file and the file under it. Raises AudioError where it is not one."""
    try:
        if path.is_dir():
            raise AudioError(f"{path}: expected a recording, found a folder")
        if path.exists() and not path.is_file():
            raise AudioError(f"{path}: expected a recording, found neither a file nor a folder")
        handle = _Handle(path.open("rb", buffering=0))
    except FileNotFoundError as error:
        raise AudioError(f"{path}: expected a recording, found no such file") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: expected a readable file, found: {_reason(error)}") from error
    with handle:
        try:
            if not (head := handle.read(4)):
                raise AudioError(f"{path}: expected a recording, found an empty file")
            handle.seek(0)
            with _quiet(head[:3] == b"ID3" or head[:1] == b"\xff"):
                sound = _SoundFile(handle)
        except (soundfile.LibsndfileError, TypeError, OSError) as error:
            raise AudioError(
                f"{path}: expected audio (WAV, FLAC, OGG, MP3), found: {_reason(handle.failure or error)}"
            ) from error
        with sound:
            yield sound, handle


@contextmanager
def _quiet(needed: bool) -> Iterator[None]:
    """Keep what the MP3 decoder writes to the standard error stream, past Python, from the user's terminal."""
    if not needed:
        yield
        return
    with _stderr_lock:
        try:
            kept = os.dup(2)
        except OSError:  # no such stream, as in a service
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def _reason(error: Exception) -> str:
    """What the system or the decoder says, on one line, without the path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = getattr(error, "error_string", None) or str(error)
    if said.startswith("File does not exist"):  # the MP3 decoder's word for a file without a single frame
        return "no MP3 frame"
    return " ".join(said.removeprefix("Error : ").split()).rstrip(".")


def _mp3_first_frame(path: Path) -> bytes:
    """The first bytes of an MP3 after its tags."""
    with path.open("rb") as handle:
        head, start = handle.read(10), 0
        if head[:3] == b"ID3" and len(head) == 10:
            start = 10 + sum(
                (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
            )
        handle.seek(start)
        following = handle.read(4096)
    return following[max(0, following.find(b"\xff")) :]


def _mp3_tells_length(first_frame: bytes) -> bool:
    return any(mark in first_frame[:256] for mark in (b"Xing", b"Info", b"VBRI"))


def _ogg_ended(path: Path) -> bool:
    """Whether the last page of an Ogg file is whole and marked as the last."""
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - 2 * 65_307))  # a page has at most 65,307 bytes
        tail = handle.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 4:
        return False
    n_segments = page[26]
    lengths = page[27 : 27 + n_segments]
    return len(lengths) == n_segments and len(page) >= 27 + n_segments + sum(lengths)
