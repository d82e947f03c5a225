"""What libsndfile reads (WAV, FLAC, OGG, MP3 and their kin), with a check that all of it is there.

The library quietly cuts a file that ends early to what is there, so whether it does is checked here.
"""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from edge_app.core.errors import AudioError
from edge_app.core.file_ends import (
    UNKNOWN_BYTES,
    mp3_first_frame,
    mp3_goes_on,
    mp3_tells_length,
    ogg_chained,
    ogg_ended,
)
from edge_app.core.file_handle import FileHandle, reason_of

MOST_VALUES = 1 << 20
"""Samples times channels that are read at once: a header may promise a thousand channels."""
_SEVERAL = "several recordings in one file"
_UNKNOWN_FRAMES = 2**62
_CUT_CHUNK = re.compile(r"^\s*(?:data|SSND|riff|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_DECLARED_FRAMES = re.compile(r"^\s*Frames\s*: (\d+)", re.MULTILINE)
_stderr_lock = threading.Lock()


class NotSoundFileError(Exception):
    """A file that libsndfile does not know; the text is its reason."""


class SoundFileReader:
    """An open file that libsndfile reads. Raises NotSoundFileError where it does not."""

    def __init__(self, path: Path, handle: FileHandle) -> None:
        self._path, self._handle, self._done = path, handle, 0
        head = handle.read(4)
        handle.seek(0)
        try:
            with _quiet(head[:3] == b"ID3" or head[:1] == b"\xff"):
                self._sound = _SoundFile(handle)
        except (soundfile.LibsndfileError, TypeError, OSError) as error:
            raise NotSoundFileError(reason_of(handle.failure or error)) from error
        self.sample_rate: int = self._sound.samplerate
        self.n_channels: int = self._sound.channels
        self._is_mp3 = self._sound.subtype.startswith("MPEG_LAYER")  # which a WAV may hold, too
        place = handle.tell()
        self._length_told = not self._is_mp3 or mp3_tells_length(mp3_first_frame(handle))
        self._ogg_ended = self._sound.format != "OGG" or ogg_ended(handle)
        handle.seek(place)
        self._declared = self._declared_frames()

    @property
    def declared_s(self) -> float | None:
        """Seconds that the file says it has; None where it does not say."""
        return None if self._declared is None else self._declared / self.sample_rate

    def close(self) -> None:
        """Let go of the decoder; the file stays open."""
        self._sound.close()

    def pieces(self, length: int) -> Iterator[NDArray[np.float32]]:
        """Samples of shape (sample, channel), at most `length` at once. Raises AudioError where it is damaged."""
        length = max(1, min(length, MOST_VALUES // self.n_channels))
        while len(piece := self._read(length)):
            self._done += len(piece)
            yield piece

    def check_end(self) -> None:
        """Raise AudioError where fewer samples were read than the file should hold, or none."""
        if self._declared is not None and self._done < self._declared:
            raise self._error("the file is truncated")
        if not self._ogg_ended:
            raise self._error("the file is truncated: its last page is missing")
        if self._is_mp3 and mp3_goes_on(self._handle):
            untold = "an MP3 of varying bit rate that does not tell its length"
            raise self._error(f"more follows: {_SEVERAL if self._length_told else untold}")
        if self._sound.format == "OGG" and ogg_chained(self._handle):
            raise self._error(f"more follows: {_SEVERAL}")
        if not self._done:
            raise AudioError(f"{self._path}: expected sound, found no samples")

    def _read(self, length: int) -> NDArray[np.float32]:
        try:
            with _quiet(self._is_mp3):
                piece: NDArray[np.float32] = self._sound.read(length, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise self._error(reason_of(self._handle.failure or error)) from error
        if self._handle.failure:
            raise self._error(reason_of(self._handle.failure)) from self._handle.failure
        return piece

    def _error(self, reason: str) -> AudioError:
        declared = self.declared_s
        expected = "sound to the end" if declared is None else f"{declared:.3f} s of sound"
        done_s = self._done / self.sample_rate
        return AudioError(f"{self._path}: expected {expected}, found {done_s:.3f} s ({reason})")

    def _declared_frames(self) -> int | None:
        """Samples a channel that the file says it has; None where it does not say."""
        frames: int = self._sound.frames
        if frames > _UNKNOWN_FRAMES or not self._ogg_ended:
            return None
        log = self._sound.extra_info  # the decoder's own notes on the header, before it cut the sizes
        if cut := _CUT_CHUNK.search(log):
            declared, there = int(cut[1]), int(cut[2])
            if there and declared < UNKNOWN_BYTES:
                frames = max(frames, frames * declared // there)
        elif not self._length_told:
            return None
        elif told := _DECLARED_FRAMES.search(log):
            frames = max(frames, int(told[1]))
        return frames


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """Read from beginning to end only: seeking fails where the length is not known."""

    def seekable(self) -> bool:
        return False


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
