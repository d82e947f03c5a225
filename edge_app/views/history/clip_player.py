"""Plays one saved clip at a time."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QObject, pyqtSignal

from edge_app.core.audio import Recording
from edge_app.core.errors import DeviceError
from edge_app.stream.devices import portaudio
from edge_app.views.background import Background, Report

Play = Callable[[NDArray[np.float32], int, threading.Event], None]
"""Plays samples, shape (sample,), at a rate, until they end or the event is set."""
LONGEST_S = 300.0
"""Of a clip longer than this, only so much is read: it must fit in memory."""
WAIT_S = 0.05


def read_clip(path: Path) -> tuple[NDArray[np.float32], int]:
    """Samples of a clip, shape (sample,), and its rate. Raises AudioError where it is gone or damaged."""
    recording = Recording(path)
    blocks, n_samples = [], 0
    for block in recording.blocks():
        blocks.append(block)
        n_samples += len(block)
        if n_samples >= LONGEST_S * recording.sample_rate:
            break
    return np.concatenate(blocks), recording.sample_rate


def play_sound(samples: NDArray[np.float32], sample_rate: int, stopped: threading.Event) -> None:
    """Play on the system's default output. Raises DeviceError where there is none."""
    sounddevice = portaudio()
    ended, place = threading.Event(), 0

    def fill(out: NDArray[np.float32], n_frames: int, *_: object) -> None:
        nonlocal place
        block = samples[place : place + n_frames]
        out[: len(block), 0] = block
        out[len(block) :] = 0
        place += n_frames
        if place >= len(samples):
            raise sounddevice.CallbackStop

    try:
        with sounddevice.OutputStream(
            samplerate=sample_rate, channels=1, dtype="float32", callback=fill, finished_callback=ended.set
        ):
            while not ended.wait(WAIT_S) and not stopped.is_set():
                pass
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"sound output: expected a device that plays, found: {error}") from error


class ClipPlayer(QObject):
    """Plays a clip in a thread of its own; a second one takes the place of the first."""

    changed = pyqtSignal(bool)
    """Whether a clip is being played."""
    failed = pyqtSignal(str)

    def __init__(self, play: Play = play_sound, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._play = play
        self._work = Background(self)
        self._work.ended.connect(self._end)
        self._next: Path | None = None

    @property
    def is_playing(self) -> bool:
        """Whether a clip is being played."""
        return self._work.is_running

    def play(self, path: Path) -> None:
        """Play from the beginning, after what is playing has stopped."""
        if self._work.is_running:
            self._next = path
            self._work.cancel()
            return
        self._work.start(lambda report, stopped: self._play_file(path, report, stopped))
        self.changed.emit(True)

    def stop(self) -> None:
        """Stop playing."""
        self._next = None
        self._work.cancel()

    def close(self) -> None:
        """Stop, and wait for the thread."""
        self._work.close()

    def _play_file(self, path: Path, _report: Report, stopped: threading.Event) -> None:
        samples, sample_rate = read_clip(path)
        self._play(samples, sample_rate, stopped)

    def _end(self, failure: str) -> None:
        if failure:
            self.failed.emit(failure)
        following, self._next = self._next, None
        if following is None:
            self.changed.emit(False)
        else:
            self.play(following)
