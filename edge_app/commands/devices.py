"""`sedge devices`: what can be recorded from."""

import dataclasses
import json
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table

from edge_app.core.errors import EXIT_DONE, DeviceError
from edge_app.stream.devices import NO_INPUT_DEVICE, InputDevice, input_devices

DESCRIPTION = """List the devices that `sedge listen --device NAME` can record from.

NAME may be a part of a name, if only one device has it; "NAME, INTERFACE" tells apart a device that several
sound interfaces offer. Without --device, the default is used."""


@dataclass(frozen=True)
class DevicesArgs:
    """Arguments of `sedge devices`."""

    json: bool = False
    """Print one JSON array instead of a table: name, host_api, channels, sample_rate_hz, is_default, is_loopback."""


def main(argv: list[str]) -> int:
    """List the input devices; raises DeviceError without PortAudio or without any input device."""
    args = tyro.cli(
        DevicesArgs,
        args=argv,
        prog="sedge devices",
        description=DESCRIPTION,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    devices = input_devices()
    if args.json:
        print(json.dumps([_described(device) for device in devices], indent=2))
    if not devices:
        raise DeviceError(NO_INPUT_DEVICE)
    if not args.json:
        Console().print(devices_table(devices))
    return EXIT_DONE


def devices_table(devices: list[InputDevice]) -> Table:
    """One row a device, the default marked with a star."""
    table = Table("", "name", "interface", "channels", "rate", "note", box=None, pad_edge=False)
    for device in devices:
        table.add_row(
            "*" if device.is_default else "",
            device.name,
            device.host_api,
            str(device.channels),
            f"{device.sample_rate_hz:g} Hz",
            note(device),
        )
    return table


def note(device: InputDevice) -> str:
    """What sets a device apart: the default, a loopback, both or nothing."""
    notes = ["default"] if device.is_default else []
    if device.is_loopback:
        notes.append("records what the computer plays (loopback)")
    return ", ".join(notes)


def _described(device: InputDevice) -> dict[str, object]:
    described = dataclasses.asdict(device)
    # PortAudio's number means something else in the next process.
    del described["index"]
    return described
