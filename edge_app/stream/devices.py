"""Input devices: which there are, and which one a name means.

PortAudio freezes its list when it is first loaded, so a process sees the devices that were there when it started.
"""

import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import DeviceError
from edge_app.stream.quiet import quiet_libraries

LOOPBACK_WORDS = (
    "monitor of",
    ".monitor",
    "loopback",
    "stereo mix",
    "what u hear",
    "blackhole",
    "soundflower",
    "cable output",
)

PATIENCE_S = 5.0
"""How much longer than the recording `record` waits for a device that delivers late."""

NO_PORTAUDIO = (
    "the PortAudio library, which records from a microphone, was not found: "
    "on Debian or Ubuntu `apt-get install libportaudio2`, elsewhere `pip install --force-reinstall sounddevice`"
)
NO_INPUT_ADVICE = (
    "plug a microphone in, start the sound server, or (on Linux) join the group `audio`; "
    "then try `sedge devices`"
)
NO_INPUT_DEVICE = f"no input device: expected at least one, found none; {NO_INPUT_ADVICE}"


@dataclass(frozen=True)
class InputDevice:
    """One device that sound can be recorded from."""

    name: str
    """As the operating system calls it."""
    host_api: str
    """The system's sound interface that offers it, such as ALSA, Core Audio or Windows WASAPI."""
    channels: int
    """The most channels that it records at once."""
    sample_rate_hz: float
    """The rate at which it runs unless asked for another."""
    is_default: bool
    """Whether it is what the system records from when no device is named."""
    is_loopback: bool
    """Whether its name says that it records what the computer plays, not a microphone."""
    index: int
    """PortAudio's number for it, valid in this process only."""


def portaudio() -> ModuleType:
    """The sounddevice module, which starts PortAudio; raises DeviceError where the library or the module is missing."""
    quiet_libraries()
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(NO_PORTAUDIO) from error
    except ImportError as error:
        raise DeviceError(
            "the Python package sounddevice was not found: `pip install sounddevice`"
        ) from error
    module: ModuleType = sounddevice
    return module


def input_devices() -> list[InputDevice]:
    """Every device with input channels, in PortAudio's order, perhaps none; DeviceError without PortAudio."""
    sounddevice = portaudio()
    try:
        described = list(sounddevice.query_devices())
        host_apis = [str(api["name"]) for api in sounddevice.query_hostapis()]
        default_index = int(sounddevice.default.device[0])
    except sounddevice.PortAudioError as error:
        raise DeviceError(
            f"PortAudio could not list the sound devices ({error}): restart the sound server, or the computer"
        ) from error
    return [
        _input_device(index, device, host_apis[device["hostapi"]], index == default_index)
        for index, device in enumerate(described)
        if device["max_input_channels"] > 0
    ]


def _input_device(index: int, described: dict[str, Any], host_api: str, is_default: bool) -> InputDevice:
    name = str(described["name"])
    return InputDevice(
        name=name,
        host_api=host_api,
        channels=int(described["max_input_channels"]),
        sample_rate_hz=float(described["default_samplerate"]),
        is_default=is_default,
        is_loopback=any(word in name.lower() for word in LOOPBACK_WORDS),
        index=index,
    )


def find_device(name: str | None) -> InputDevice:
    """The device of that name (whole, or a part that only one has), or the default one for None; else DeviceError."""
    devices = input_devices()
    if not devices:
        raise DeviceError(NO_INPUT_DEVICE)
    if name is None:
        return choose_default(devices)
    return choose_device(devices, name)


def choose_default(devices: list[InputDevice]) -> InputDevice:
    """The default device; where the system names none, the first that is not a loopback, or the first."""
    ranked = sorted(devices, key=lambda device: (not device.is_default, device.is_loopback))
    return ranked[0]


def choose_device(devices: list[InputDevice], name: str) -> InputDevice:
    """The one device that `name` means, upper and lower case alike: `NAME`, `NAME, HOST API`, or a part of that."""
    wanted = name.strip().lower()
    for matches in (
        [device for device in devices if wanted in (device.name.lower(), full_name(device).lower())],
        [device for device in devices if wanted and wanted in full_name(device).lower()],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise DeviceError(f"device {name!r} is ambiguous: expected one, found {_listed(matches)}")
    raise DeviceError(f"no input device is called {name!r}: found {_listed(devices)}")


def record(device: InputDevice, duration_s: float) -> NDArray[np.float32]:
    """Record the first channel at the device's own rate: shape (sample,), -1 ... 1; DeviceError where nothing comes."""
    sounddevice = portaudio()
    wanted = int(duration_s * device.sample_rate_hz)
    blocks: list[NDArray[np.float32]] = []
    complete = threading.Event()

    def keep_block(block: NDArray[np.float32], *_: object) -> None:
        blocks.append(block[:, 0].copy())
        if sum(map(len, blocks)) >= wanted:
            complete.set()

    try:
        with sounddevice.InputStream(
            samplerate=device.sample_rate_hz,
            device=device.index,
            channels=1,
            dtype="float32",
            callback=keep_block,
        ):
            delivered = complete.wait(duration_s + PATIENCE_S)
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"{full_name(device)!r} cannot be recorded from: {error}") from error
    if not delivered:
        raise DeviceError(
            f"{full_name(device)!r} is silent: expected {wanted} samples, found {sum(map(len, blocks))} "
            f"after {duration_s + PATIENCE_S:g} s"
        )
    return np.concatenate(blocks)[:wanted]


def full_name(device: InputDevice) -> str:
    """`NAME, HOST API`, which tells apart devices that several interfaces offer."""
    return f"{device.name}, {device.host_api}"


def _listed(devices: list[InputDevice]) -> str:
    return "; ".join(f"{full_name(device)!r}" for device in devices)
