"""A room with a microphone and a clock of its own: time passes only while somebody waits for it."""

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import DeviceError
from edge_app.stream.devices import InputDevice
from edge_app.stream.driver import BlockListener, InputStream

RATE = 16_000
BLOCK = 480

BlockMaker = Callable[[int], NDArray[np.float32]]
"""Gives the sound from an absolute sample on, shape (BLOCK,)."""


class Room:
    """Is clock, driver and waiting at once. The hooks say what the device does at a time in seconds."""

    def __init__(self, end_s: float) -> None:
        self.now = 0.0
        self.end_s = end_s
        self.opened: list[float] = []
        self.closed = 0
        self.listeners: list[BlockListener] = []
        self.refreshed: list[float] = []
        self.is_present: Callable[[float], bool] = lambda _: True
        """Whether the device can be found and opened, and an open stream stays active."""
        self.delivers: Callable[[float], bool] = lambda _: True
        """Whether an active stream delivers the block that ends now."""
        self.overflows: Callable[[float], bool] = lambda _: False
        """Whether the driver says that something was lost before the block that ends now."""
        self.loudness = 0.1
        self._listener: BlockListener | None = None
        self._ticks = 0

    def clock(self) -> float:
        return self.now

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        end = self.now + seconds
        while (self._ticks + 1) * BLOCK / RATE <= end and not stop.is_set():
            self._ticks += 1
            self.now = self._ticks * BLOCK / RATE
            self._tick()
            if self.now >= self.end_s:
                stop.set()
        self.now = max(self.now, end)
        return stop.is_set()

    def _tick(self) -> None:
        if self._listener and self.is_present(self.now) and self.delivers(self.now):
            # The value tells the time at which the block was heard.
            block = np.full(BLOCK, self.now * self.loudness, np.float32)
            self._listener(block, self.overflows(self.now))

    def find(self, name: str | None) -> InputDevice:
        if not self.is_present(self.now):
            raise DeviceError("no input device")
        return InputDevice(name or "desk", "ALSA", 1, float(RATE), True, False, 0)

    def open(self, device: InputDevice, on_block: BlockListener) -> "Stream":
        if not self.is_present(self.now):
            raise DeviceError("cannot be opened")
        self.opened.append(self.now)
        self._listener = on_block
        self.listeners.append(on_block)
        return Stream(self)

    def close(self, stream: InputStream) -> None:
        self.closed += 1
        self._listener = None

    def refresh(self) -> None:
        assert self._listener is None, "a stream is open"
        self.refreshed.append(self.now)


class Stream:
    def __init__(self, room: Room) -> None:
        self._room = room

    @property
    def active(self) -> bool:
        return self._room.is_present(self._room.now)

    def close(self) -> None:
        raise AssertionError("the driver closes streams")
