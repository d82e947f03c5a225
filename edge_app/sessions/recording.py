"""The whole sound of a session as 24-bit FLAC, written while it is heard."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
from numpy.typing import NDArray

from edge_app.core.errors import SedgeError
from edge_app.store.schema import told

WAITING_S = 60.0
"""Sound that may wait for the disk, in seconds: 4 MB. What comes while it is full is silent in the recording."""
CLOSE_S = 15.0
_CHUNK = 1 << 16
_FULL_SCALE = 1 << 23


class Recorder:
    """Writes samples to a file of its own in `folder`, in a thread of its own: nothing here waits for the disk.

    Sample n of the session is sample n of the file; what was never heard is silent. `begun` is told the file's path
    once there is sound in it. After an error of the disk `problem` says so and the recording is over.
    """

    def __init__(
        self, folder: Path, sample_rate: int, begun: Callable[[Path], None], waiting_s: float = WAITING_S
    ) -> None:
        self.problem: str | None = None
        """What went wrong, as a sentence."""
        self.dropped = 0
        """Samples for which the disk had no time."""
        self._folder = folder
        self._sample_rate = sample_rate
        self._begun = begun
        self._capacity = round(waiting_s * sample_rate)
        self._waiting: deque[tuple[int, NDArray[np.float32]]] = deque()
        self._n_waiting = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="sedge-recorder", daemon=True)
        self._thread.start()

    def write(self, start: int, samples: NDArray[np.float32]) -> None:
        """Take samples, shape (sample,), the first of which is `start`; a hole before them is silent."""
        with self._changed:
            if self._closing or self.problem:
                return
            if self._n_waiting + len(samples) > self._capacity:
                self.dropped += len(samples)
                return
            self._waiting.append((start, samples))
            self._n_waiting += len(samples)
            self._changed.notify_all()

    def close(self, timeout_s: float = CLOSE_S) -> str | None:
        """Write what waits and end; gives a sentence where something is missing in the recording."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.problem = f"{self._folder}: the recording cannot be written in time"
        elif self.dropped and not self.problem:
            seconds = self.dropped / self._sample_rate
            self.problem = (
                f"{self._folder}: the disk was too slow: {seconds:.1f} s of the recording are silent"
            )
        return self.problem

    def _run(self) -> None:
        try:
            self._record()
        except SedgeError as error:
            self.problem = f"{error}; the recording ends there"
        except Exception as error:
            self.problem = f"{self._folder}: the recording cannot be written ({error!r})"
        with self._changed:
            self._waiting.clear()

    def _record(self) -> None:
        first = next(pieces := self._pieces(), None)
        if first is None:
            return
        with told(self._folder, "written"):
            self._folder.mkdir(parents=True, exist_ok=True)
            path, handle = _new_file(self._folder)
        with handle:
            flac = FlacFile(path, handle, self._sample_rate)
            try:
                flac.append(*first)
                self._begun(path)
                for start, samples in pieces:
                    flac.append(start, samples)
            finally:
                flac.close()

    def _pieces(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """What was given, in order, until nothing more comes."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                start, samples = self._waiting.popleft()
                self._n_waiting -= len(samples)
            yield start, samples


class FlacFile:
    """Mono 24-bit FLAC that grows: what a 16-bit microphone gives comes back exactly, the rest within 2^-24.

    Samples outside -1...1 are clipped. Raises StoreError where the disk refuses something.
    """

    def __init__(self, path: Path, handle: IO[bytes], sample_rate: int) -> None:
        self.n_samples = 0
        self._path = path
        self._sink = _Sink(handle)
        self._sound = soundfile.SoundFile(self._sink, "w", sample_rate, 1, "PCM_24", format="FLAC")
        self._check()

    def append(self, start: int, samples: NDArray[np.float32]) -> None:
        """Write samples, shape (sample,), from sample `start` on, with silence before where that is not the next."""
        while self.n_samples < start:
            self._write(np.zeros(min(_CHUNK, start - self.n_samples), np.float32))
        self._write(samples[max(0, self.n_samples - start) :])

    def close(self) -> None:
        """Write the last samples and the length."""
        self._sound.close()
        self._check()

    def _write(self, samples: NDArray[np.float32]) -> None:
        # Not given as float: the library scales by 2^23 - 1 there, which changes nearly every sample.
        whole = np.clip(np.rint(samples * np.float32(_FULL_SCALE)), -_FULL_SCALE, _FULL_SCALE - 1)
        self._sound.write(whole.astype(np.int32) << 8)
        self.n_samples += len(samples)
        self._check()

    def _check(self) -> None:
        if self._sink.error:
            self._sound.close()  # now: later, its handle may be closed
            with told(self._path, "written"):
                raise self._sink.error


class _Sink:
    """A file that keeps its errors to itself: within the encoder they would be a print by its library and no error."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.error: OSError | None = None
        self._handle = handle

    def write(self, content: bytes) -> int:
        if self.error is None:
            try:
                self._handle.write(content)
            except OSError as error:
                self.error = error
        return len(content)

    def read(self, count: int = -1) -> bytes:
        return self._handle.read(count)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._handle.seek(place, whence)

    def tell(self) -> int:
        return self._handle.tell()


def time_name(now: datetime | None = None) -> str:
    """A moment as part of a file name, in UTC: 2026-03-01T07-30-00Z."""
    return f"{now or datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"


def _new_file(folder: Path) -> tuple[Path, IO[bytes]]:
    """A file that was not there, named after the time."""
    stem = f"{time_name()}-session"
    for number in count(1):
        path = folder / (f"{stem}.flac" if number == 1 else f"{stem}-{number}.flac")
        try:
            return path, path.open("x+b", buffering=0)
        except FileExistsError:
            continue
    raise AssertionError("unreachable")
