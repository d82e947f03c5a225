"""Calls to the sound system that get no answer: they are left behind, and the others go on."""

import threading
from collections.abc import Iterator

import pytest

from edge_app.core.errors import DeviceError
from edge_app.stream import driver as driver_module
from edge_app.stream.devices import InputDevice
from edge_app.stream.driver import _MOST_STUCK, PortAudioDriver

pytestmark = pytest.mark.audio  # the driver keeps PortAudio from waiting at exit

DEVICE = InputDevice(
    "default", "ALSA", channels=1, sample_rate_hz=16_000, is_default=True, is_loopback=False, index=0
)


class SilentStream:
    """A stream whose close is answered once `answer` is set."""

    active = False

    def __init__(self) -> None:
        self.answer = threading.Event()

    def close(self) -> None:
        self.answer.wait()


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SilentStream]]:
    monkeypatch.setattr(driver_module, "PATIENCE_S", 0.02)
    opened = [SilentStream() for _ in range(_MOST_STUCK)]
    yield opened
    for stream in opened:
        stream.answer.set()


def leave_behind(driver: PortAudioDriver, stream: SilentStream) -> None:
    with pytest.raises(DeviceError, match="expected an answer"):
        driver.close(stream)


def test_a_stream_that_cannot_be_closed_does_not_keep_others_from_being_opened(streams, monkeypatch) -> None:
    driver = PortAudioDriver()
    leave_behind(driver, streams[0])
    fresh = SilentStream()
    monkeypatch.setattr(driver_module, "_start", lambda *_: fresh)
    assert driver.open(DEVICE, lambda *_: None) is fresh


def test_portaudio_is_started_anew_only_when_nothing_is_out(streams, monkeypatch) -> None:
    restarts = []
    monkeypatch.setattr(driver_module, "_restart", lambda: restarts.append(1))
    driver = PortAudioDriver()
    leave_behind(driver, streams[0])
    driver.refresh()
    assert restarts == []
    streams[0].answer.set()
    for call in driver._left:
        call.join()
    driver.refresh()
    assert restarts == [1]


def test_a_sound_system_that_never_answers_is_given_up(streams, monkeypatch) -> None:
    monkeypatch.setattr(driver_module, "_start", lambda *_: SilentStream())
    driver = PortAudioDriver()
    for stream in streams:
        leave_behind(driver, stream)
    with pytest.raises(DeviceError, match="expected an answer"):
        driver.open(DEVICE, lambda *_: None)
