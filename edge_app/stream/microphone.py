"""A microphone as a source: what its driver delivers, and what to do when it stops delivering."""

import threading
import time
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import DeviceError
from edge_app.stream.devices import full_name
from edge_app.stream.driver import BlockListener, Driver, InputStream, PortAudioDriver
from edge_app.stream.punctuality import Punctuality
from edge_app.stream.ring import SampleRing

STALL_S = 1.5
"""Without sound for so long, a microphone counts as stalled."""
BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before it is opened again; the last one repeats."""
RECONNECT_S = 30.0
SILENCE_S = 5.0
LOOK_S = 0.25  # how often the supervisor looks

State = Literal["opening", "running", "stalled", "reconnecting", "failed", "stopped"]
Clock = Callable[[], float]
Wait = Callable[[threading.Event, float], bool]
"""Waits so many seconds; True as soon as the event is set."""


class MicrophoneSource:
    """A sound device at its own rate, by name, or the default one.

    When it stalls it is opened again, for at most `reconnect_s` seconds; then DeviceError is raised. `notify`
    is told in words what happens. Raises DeviceError where there is no such device.
    """

    live = True

    def __init__(
        self,
        device_name: str | None = None,
        reconnect_s: float = RECONNECT_S,
        notify: Callable[[str], None] = lambda _: None,
        driver: Driver | None = None,
        clock: Clock = time.monotonic,
        wait: Wait = threading.Event.wait,
    ) -> None:
        self._driver = driver or PortAudioDriver()
        self._device_name = device_name
        self._device = self._driver.find(device_name)
        self._reconnect_s = reconnect_s
        self._notify = notify
        self._clock = clock
        self._wait = wait
        self._capture: Capture | None = None
        self._stream: InputStream | None = None
        self._has_hinted = False
        self.state: State = "stopped"
        self.name = full_name(self._device)
        self.sample_rate = round(self._device.sample_rate_hz)

    @property
    def overflows(self) -> int:
        """How often the driver said that it had lost samples."""
        return self._capture.overflows if self._capture else 0

    def run(self, ring: SampleRing, stop: threading.Event) -> None:
        """Deliver until `stop` is set. Raises DeviceError where the device cannot be opened, or is gone for good."""
        self.state = "opening"
        self._capture = capture = Capture(ring, self.sample_rate, self._clock)
        try:
            self._open(capture)
            self._supervise(capture, stop)
            self.state = "stopped"
        except DeviceError:
            self.state = "failed"
            raise
        finally:
            self._close()
            capture.end()

    def _supervise(self, capture: "Capture", stop: threading.Event) -> None:
        attempts = 0
        while not self._wait(stop, LOOK_S):
            if not self._is_well(capture):
                self._reconnect(capture, stop, attempts)
                attempts += 1
            elif capture.is_running:
                if attempts:
                    self._notify(f"{self.name} delivers sound again")
                attempts, self.state = 0, "running"
                self._hint_if_silent(capture)

    def _is_well(self, capture: "Capture") -> bool:
        stream = self._stream
        return stream is not None and stream.active and self._clock() - capture.heard_s < STALL_S

    def _hint_if_silent(self, capture: "Capture") -> None:
        if capture.silent_s >= SILENCE_S and not self._has_hinted:
            self._has_hinted = True
            self._notify(
                f"{self.name} has delivered nothing but zeros for {SILENCE_S:g} s: "
                "is it muted, or is access to microphones forbidden?"
            )

    def _reconnect(self, capture: "Capture", stop: threading.Event, attempts: int) -> None:
        """Close what is open, pause, and try once to open it again."""
        if not attempts:
            self.state = "stalled"
            self._notify(f"{self.name} has stopped delivering sound; trying to open it again")
        capture.detach()
        self._close()
        left_s = capture.last_block_s + STALL_S + self._reconnect_s - self._clock()
        if left_s <= 0:
            raise DeviceError(
                f"{self.name}: expected sound, found none for {self._clock() - capture.last_block_s:.0f} s, "
                "and it cannot be opened again; plug it in or choose another with --device"
            )
        pause_s = BACKOFF_S[min(attempts, len(BACKOFF_S) - 1)]
        if self._wait(stop, min(pause_s, left_s)):
            return
        self.state = "reconnecting"
        try:
            self._driver.refresh()
            self._device = self._driver.find(self._device_name)
            self._open(capture)
        except DeviceError as error:
            self._notify(f"attempt {attempts + 1}: {error}")

    def _open(self, capture: "Capture") -> None:
        rate = round(self._device.sample_rate_hz)
        if rate != self.sample_rate:
            raise DeviceError(f"{full_name(self._device)}: expected {self.sample_rate} Hz, found {rate} Hz")
        self._stream = self._driver.open(self._device, capture.attach())

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream:
            try:
                self._driver.close(stream)
            except DeviceError as error:
                self._notify(str(error))


class Capture:
    """Copies what the driver delivers into the ring, and counts what it does not deliver."""

    def __init__(self, ring: SampleRing, sample_rate: int, clock: Clock) -> None:
        self.overflows = 0
        self.is_running = False
        """Whether the stream that is attached has delivered anything."""
        self.last_block_s = clock()
        """When sound last came, by the clock."""
        self.heard_s = self.last_block_s
        """When sound last came, or a stream was attached."""
        self._ring = ring
        self._sample_rate = sample_rate
        self._clock = clock
        self._punctuality = Punctuality(sample_rate)
        self._silent = 0
        self._has_begun = False
        self._stream_number = 0

    @property
    def silent_s(self) -> float:
        """Seconds of nothing but zeros until now."""
        return self._silent / self._sample_rate

    def attach(self) -> BlockListener:
        """A listener for a new stream; those of earlier streams are deaf from now on."""
        self._stream_number += 1
        self.is_running = False
        self.heard_s = self._clock()
        number = self._stream_number
        return lambda samples, overflowed: self._take(samples, overflowed, number)

    def detach(self) -> None:
        """Listen to no stream."""
        self._stream_number += 1
        self.is_running = False

    def end(self) -> None:
        """No more will come: the time since a stall is lost."""
        stalled = self._has_begun and not self.is_running
        self.detach()
        if stalled:
            self._ring.lose(round((self._clock() - self.last_block_s) * self._sample_rate))

    def _take(self, samples: NDArray[np.float32], overflowed: bool, stream_number: int) -> None:
        if stream_number != self._stream_number:
            return
        now = self._clock()
        self._ring.lose(self._lost(len(samples), overflowed, now))
        self._ring.write(samples)
        self._silent = 0 if samples.any() else self._silent + len(samples)
        self.last_block_s = self.heard_s = now
        self._has_begun = self.is_running = True

    def _lost(self, count: int, overflowed: bool, now: float) -> int:
        """Samples lost before a block of `count` samples."""
        if not self.is_running:
            self._punctuality.restart(now)
            # Before the first block of all there is nothing to lose, whatever the driver says.
            return (
                max(1, round((now - self.last_block_s) * self._sample_rate) - count) if self._has_begun else 0
            )
        if overflowed:
            self.overflows += 1
            return max(1, self._punctuality.missing(count, now))
        return self._punctuality.take(count, now)
