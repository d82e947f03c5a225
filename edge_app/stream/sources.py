"""Where samples come from: a recording or a pipe here, a microphone in `microphone`."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from edge_app.core.audio import Recording
from edge_app.core.errors import AudioError, SedgeError
from edge_app.stream.pcm import FILE_MAGIC, WAV_MAGIC, PcmFormat, decode, read_wav_header
from edge_app.stream.pipe import PipeReader
from edge_app.stream.ring import SampleRing

RAW_RATE = 16_000
REALTIME_BLOCK_S = 0.05
FAST_BLOCK_S = 1.0
PIPE_BLOCK_S = 0.1


class Source(Protocol):
    """Writes mono samples into a ring, in a thread of the engine."""

    @property
    def name(self) -> str:
        """What is listened to, in words."""

    @property
    def sample_rate(self) -> int:
        """Samples a second that `run` writes, in Hz."""

    @property
    def live(self) -> bool:
        """Whether sound goes by, so that the writer cannot wait for the reader."""

    @property
    def overflows(self) -> int:
        """How often the driver said that it had lost samples."""

    def run(self, ring: SampleRing, stop: threading.Event) -> None:
        """Write samples until the signal ends or `stop` is set. Raises SedgeError where it ends badly."""


class FileSource:
    """A recording: as fast as it is taken, or in real time, as a microphone in the room would hear it.

    Raises AudioError where the file cannot be opened as audio.
    """

    overflows = 0

    def __init__(
        self, path: Path, realtime: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._recording = Recording(path)
        self._clock = clock
        self.name = str(path)
        self.live = realtime

    @property
    def sample_rate(self) -> int:
        """The file's own rate in Hz."""
        return self._recording.sample_rate

    def run(self, ring: SampleRing, stop: threading.Event) -> None:
        """Write the recording. Raises AudioError where it is damaged."""
        if self.live:
            self._play(ring, stop)
            return
        for block in self._recording.blocks(FAST_BLOCK_S):
            if stop.is_set() or not ring.write_when_free(block):
                return

    def _play(self, ring: SampleRing, stop: threading.Event) -> None:
        """Write each block at the time at which its last sample would have been heard."""
        begin, done = self._clock(), 0
        for block in self._recording.blocks(REALTIME_BLOCK_S):
            done += len(block)
            if stop.wait(max(0.0, begin + done / self.sample_rate - self._clock())):
                return
            ring.write(block)


class StdinSource:
    """A WAV stream, or else raw 16-bit little-endian mono samples at `raw_rate` Hz, through a pipe.

    The pipe itself makes the writer wait, so nothing is skipped. Raises AudioError for a bad WAV header,
    and for other recordings: as raw samples they would be noise.
    """

    overflows = 0
    live = False
    name = "standard input"

    def __init__(self, stream: BinaryIO, raw_rate: int = RAW_RATE) -> None:
        if stream.isatty():
            raise SedgeError("standard input: expected sound through a pipe or from a file, found a terminal")
        self._reader = PipeReader(stream)
        self._pending = b""  # read, but not yet a whole moment
        self._pcm = self._read_format(raw_rate)
        self.sample_rate = self._pcm.sample_rate

    def run(self, ring: SampleRing, stop: threading.Event) -> None:
        """Write what comes. Raises AudioError where it ends before what the header says, or is no sound."""
        pcm, done = self._pcm, 0
        limit = max(1, round(PIPE_BLOCK_S * pcm.sample_rate)) * pcm.moment_bytes
        while (content := self._next(limit, done, stop)) is not None:
            done += len(content)
            if not ring.write_when_free(decode(content, pcm, self.name)):
                return
        if not stop.is_set():
            self._check_end(done)

    def _read_format(self, raw_rate: int) -> PcmFormat:
        while len(self._pending) < 4 and (part := self._reader.read(4 - len(self._pending))):
            self._pending += part
        if self._pending.startswith(FILE_MAGIC):
            raise AudioError(
                f"{self.name}: expected a WAV stream or raw samples, found a recording of another kind: "
                "give its file with --source"
            )
        if self._pending not in WAV_MAGIC:
            return PcmFormat(raw_rate)
        self._pending = b""
        return read_wav_header(self._reader.read, self.name)

    def _next(self, limit: int, done: int, stop: threading.Event) -> bytes | None:
        """The next whole moments; None at the end."""
        if self._pcm.total_bytes is not None:
            limit = min(limit, self._pcm.total_bytes - done)
        while limit > 0:
            whole = len(self._pending) // self._pcm.moment_bytes * self._pcm.moment_bytes
            if whole:
                content, self._pending = self._pending[:whole], self._pending[whole:]
                return content
            part = self._reader.read(limit, stop)
            if not part:
                return None
            self._pending += part
        return None

    def _check_end(self, done: int) -> None:
        total = self._pcm.total_bytes
        if total is not None and done + self._pcm.moment_bytes <= total:
            raise AudioError(
                f"{self.name}: expected {total} bytes of samples, found {done}: the stream is cut"
            )
        if not done:
            raise AudioError(f"{self.name}: expected sound, found no samples")
