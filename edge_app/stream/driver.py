"""PortAudio behind the few calls that a microphone needs, none of which can hang its caller."""

import atexit
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import DeviceError
from edge_app.stream.devices import InputDevice, find_device, full_name, portaudio

BLOCK_S = 0.03
PATIENCE_S = 5.0  # a stuck sound server never answers, not even to a request to close
NO_ANSWER = (
    f"the sound system: expected an answer within {PATIENCE_S:g} s, found none; "
    "restart it (on Linux the sound server), or take the device out and put it in again"
)
_MOST_STUCK = 3  # calls without an answer, before the sound system counts as dead
_MOST_CHANNELS = 2  # a sound server offers dozens, and fills them with copies

Result = TypeVar("Result")

BlockListener = Callable[[NDArray[np.float32], bool], None]
"""Is given mono samples, shape (sample,), valid during the call only, and whether some were lost before them."""


class InputStream(Protocol):
    """An open microphone."""

    @property
    def active(self) -> bool:
        """Whether the driver still means to deliver."""

    def close(self) -> None:
        """End it."""


class Driver(Protocol):
    """What opens microphones. Every method raises DeviceError where it cannot do its work."""

    def find(self, name: str | None) -> InputDevice:
        """The device of that name, or the default one."""

    def open(self, device: InputDevice, on_block: BlockListener) -> InputStream:
        """Start a device at its own rate; `on_block` is called in the driver's thread."""

    def close(self, stream: InputStream) -> None:
        """End a stream."""

    def refresh(self) -> None:
        """Look for devices anew; no stream may be open."""


class PortAudioDriver:
    """PortAudio through sounddevice."""

    def __init__(self) -> None:
        self._left: list[threading.Thread] = []

    def find(self, name: str | None) -> InputDevice:
        """The device of that name, or the default one."""
        return find_device(name)

    def open(self, device: InputDevice, on_block: BlockListener) -> InputStream:
        """Start a device at its own rate, the mean of at most two channels."""
        return self._patiently(lambda: _start(device, on_block), too_late=lambda stream: stream.close())

    def close(self, stream: InputStream) -> None:
        """End a stream."""
        self._patiently(stream.close)

    def refresh(self) -> None:
        """Start PortAudio anew: its list of devices is frozen otherwise.

        Not while a call is still out, such as to close a stream whose sound server has gone: that would wait for it.
        The server's successor goes by the same name, and is found all the same.
        """
        if not self._stuck():
            self._patiently(_restart)

    def _patiently(
        self, operation: Callable[[], Result], too_late: Callable[[Result], None] = lambda _: None
    ) -> Result:
        """Do it in a thread that may be left behind; `too_late` undoes a result that comes after all."""
        if len(self._stuck()) >= _MOST_STUCK:
            raise DeviceError(NO_ANSWER)
        call = _Call(operation, too_late)
        call.join(PATIENCE_S)
        if call.give_up():
            self._left.append(call)
            # At exit, PortAudio would wait for the same answer.
            atexit.unregister(portaudio()._exit_handler)
            raise DeviceError(NO_ANSWER)
        if call.error:
            raise call.error
        return call.results[0]

    def _stuck(self) -> list[threading.Thread]:
        """Calls that were left behind and still wait for their answer."""
        self._left = [call for call in self._left if call.is_alive()]
        return self._left


class _Call(threading.Thread, Generic[Result]):
    """One operation in a thread of its own."""

    def __init__(self, operation: Callable[[], Result], too_late: Callable[[Result], None]) -> None:
        super().__init__(name="sedge-sound-system", daemon=True)
        self.results: list[Result] = []
        self.error: BaseException | None = None
        self._operation = operation
        self._too_late = too_late
        self._given_up = False
        self._lock = threading.Lock()
        self.start()

    def run(self) -> None:
        try:
            result = self._operation()
        except BaseException as error:
            self.error = error
            return
        with self._lock:
            self.results.append(result)
            given_up = self._given_up
        if given_up:
            self._too_late(result)

    def give_up(self) -> bool:
        """Whether it has neither a result nor an error by now, and will get none that counts."""
        with self._lock:
            self._given_up = not self.results and self.error is None
            return self._given_up


def _start(device: InputDevice, on_block: BlockListener) -> InputStream:
    sounddevice = portaudio()
    rate = round(device.sample_rate_hz)
    mono = np.empty(rate, np.float32)

    def copy(samples: NDArray[np.float32], count: int, _: object, status: Any) -> None:
        on_block(np.mean(samples, axis=1, out=mono[:count]), bool(status.input_overflow))

    try:
        stream = sounddevice.InputStream(
            device=device.index,
            samplerate=rate,
            channels=min(device.channels, _MOST_CHANNELS),
            dtype="float32",
            blocksize=round(BLOCK_S * rate),
            latency="high",
            callback=copy,
        )
        stream.start()
    except sounddevice.PortAudioError as error:
        raise DeviceError(
            f"{full_name(device)}: cannot be opened at {rate} Hz ({_reason(error)}); "
            "is another program using it, or is access to microphones forbidden?"
        ) from error
    opened: InputStream = stream
    return opened


def _restart() -> None:
    sounddevice = portaudio()
    try:
        sounddevice._terminate()
        sounddevice._initialize()
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"PortAudio cannot start: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error.args[0] if error.args else error).strip()
