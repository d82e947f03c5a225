"""`sedge doctor` and `sedge devices`: each lack is found and followed by what to do about it."""

import importlib.metadata
import json
import math
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_app import cli
from edge_app.commands import devices as devices_command
from edge_app.commands import doctor
from edge_app.core import gpu, runtime_onnx, runtimes
from edge_app.core.bundle import load_bundle
from edge_app.core.errors import DeviceError
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.core.runtimes import RUNTIME_NAMES
from edge_app.stream import devices as stream_devices
from edge_app.stream.devices import InputDevice, choose_default, choose_device, full_name


def device(
    name: str, host_api: str = "ALSA", is_default: bool = False, is_loopback: bool = False
) -> InputDevice:
    return InputDevice(name, host_api, 2, 48000.0, is_default, is_loopback, index=0)


HEADSET = device("USB Headset")
WEBCAM = device("Webcam")
MONITOR = device("Monitor of Built-in Audio", is_loopback=True)
WEBCAM_TWICE = [device("Webcam", "MME"), device("Webcam", "Windows WASAPI")]


class FakePortAudio:
    """Stands for the sounddevice module with a given list of devices."""

    class PortAudioError(Exception):
        pass

    def __init__(self, described: list[dict], default_index: int) -> None:
        self._described = described
        self.default = type("Default", (), {"device": (default_index, -1)})

    def query_devices(self) -> list[dict]:
        return self._described

    def query_hostapis(self) -> list[dict]:
        return [{"name": "ALSA"}]

    def get_portaudio_version(self) -> tuple[int, str]:
        return 1, "PortAudio V19, revision 0"


def described(name: str, channels: int) -> dict:
    return {"name": name, "hostapi": 0, "max_input_channels": channels, "default_samplerate": 44100.0}


@pytest.fixture
def use_devices(monkeypatch):
    def use(*devices: dict, default_index: int = -1) -> None:
        monkeypatch.setattr(stream_devices, "portaudio", lambda: FakePortAudio(list(devices), default_index))

    return use


def test_only_inputs_are_listed_with_default_and_loopback_marked(use_devices):
    use_devices(
        described("Speaker", 0), described("Mic", 1), described("Monitor of Speaker", 2), default_index=1
    )
    found = stream_devices.input_devices()
    assert [(device.name, device.is_default, device.is_loopback, device.index) for device in found] == [
        ("Mic", True, False, 1),
        ("Monitor of Speaker", False, True, 2),
    ]
    assert found[0].sample_rate_hz == 44100.0
    assert found[0].host_api == "ALSA"


@pytest.mark.parametrize("name", ["USB Headset", "usb headset", "headset", "USB Headset, ALSA", " Headset "])
def test_device_is_found_by_whole_name_or_unique_part(name):
    assert choose_device([HEADSET, WEBCAM, MONITOR], name) is HEADSET


def test_whole_name_wins_over_a_part_of_another():
    longer = device("Webcam Pro")
    assert choose_device([longer, WEBCAM], "Webcam") is WEBCAM


def test_interface_tells_apart_two_devices_of_one_name():
    assert choose_device(WEBCAM_TWICE, "Webcam, MME") is WEBCAM_TWICE[0]
    with pytest.raises(DeviceError, match=r"ambiguous.*'Webcam, MME'; 'Webcam, Windows WASAPI'"):
        choose_device(WEBCAM_TWICE, "webcam")


@pytest.mark.parametrize("name", ["Piano", ""])
def test_unknown_name_lists_what_there_is(name):
    with pytest.raises(DeviceError, match="'USB Headset, ALSA'; 'Webcam, ALSA'"):
        choose_device([HEADSET, WEBCAM], name)


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_without_a_default_a_microphone_comes_before_a_loopback(loopbacks):
    devices = [device(f"{number}", is_loopback=is_loopback) for number, is_loopback in enumerate(loopbacks)]
    assert choose_default(devices).is_loopback == all(loopbacks)


def test_default_is_the_systems():
    chosen = device("Chosen", is_default=True, is_loopback=True)
    assert choose_default([HEADSET, chosen]) is chosen


def test_no_input_device_is_3_and_says_what_to_do(use_devices, capsys):
    use_devices(described("Speaker", 0))
    assert cli.main(["devices"]) == 3
    assert "plug a microphone in" in capsys.readouterr().err
    with pytest.raises(DeviceError, match="no input device"):
        stream_devices.find_device(None)


def test_no_portaudio_is_3_and_names_the_package(monkeypatch, capsys):
    def fail_to_load(name: str, *rest):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real_import(name, *rest)

    real_import = __import__
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr("builtins.__import__", fail_to_load)
    assert cli.main(["devices"]) == 3
    assert "apt-get install libportaudio2" in capsys.readouterr().err


def test_devices_as_json(use_devices, capsys):
    use_devices(described("Mic", 1), default_index=0)
    assert cli.main(["devices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "Mic",
            "host_api": "ALSA",
            "channels": 1,
            "sample_rate_hz": 44100.0,
            "is_default": True,
            "is_loopback": False,
        }
    ]


def test_devices_as_table(use_devices, capsys):
    use_devices(described("Mic", 1), described("Monitor of Mic", 2), default_index=0)
    assert cli.main(["devices"]) == 0
    shown = capsys.readouterr().out
    assert "*  Mic " in shown
    assert "loopback" in shown
    assert devices_command.note(MONITOR) == "records what the computer plays (loopback)"


@given(st.floats(1e-9, 1.0), st.floats(0.01, 1.0))
def test_sound_is_judged_by_level(peak, crest):
    check = doctor.level_check(peak, peak * crest)
    level_db = 20 * math.log10(peak * crest)
    assert check.status == ("warning" if level_db < doctor.QUIET_DBFS or peak >= 1 else "ok")
    assert bool(check.advice) == (check.status != "ok")


def test_zeros_only_hint_at_the_permission():
    check = doctor.level_check(0.0, 0.0)
    assert check.status == "warning"
    assert "privacy settings" in check.advice


def test_old_python_is_a_failure():
    assert doctor.python_check((3, 10)).status == "failure"
    assert doctor.python_check((3, 11)).status == "ok"


@pytest.mark.parametrize("name", doctor.DEPENDENCIES)
def test_every_dependency_is_found_here(name):
    check = doctor.dependency_check(name)
    assert check == doctor.Check(name, "ok", importlib.metadata.version(name))


def test_missing_old_and_broken_dependencies_say_how_to_install_them(monkeypatch):
    assert doctor.dependency_check("sedge-absent").advice == "pip install sedge-absent"
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.26.4")
    assert doctor.dependency_check("numpy").advice == "pip install 'numpy>=2'"
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert doctor.dependency_check("soxr").advice == "pip install --force-reinstall soxr"


def test_dependencies_are_those_of_the_distribution():
    pyproject = Path(cli.__file__).parent.parent / "pyproject.toml"
    required = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {requirement.partition(">")[0] for requirement in required} == set(doctor.DEPENDENCIES)


def test_absent_extra_is_no_failure():
    assert doctor.extra_check("strange", ("sedge_absent",)).status == "note"


def test_missing_bundle_is_3_and_says_what_to_do(tmp_path, capsys):
    assert cli.main(["doctor", "--no-microphone", "--bundle", str(tmp_path)]) == 3
    shown = capsys.readouterr().out
    assert "bundle.json" in shown
    assert "sedge export-bundle" in shown
    assert "Detection cannot run: model." in shown


def test_built_in_model_passes_without_a_microphone(capsys):
    assert cli.main(["doctor", "--no-microphone"]) == 0
    shown = capsys.readouterr().out
    assert "Detection can run." in shown
    assert "parity" in shown
    assert "PortAudio" not in shown
    assert all(f"runtime {name} " in shown for name in RUNTIME_NAMES)


@pytest.mark.parametrize("name", RUNTIME_NAMES)
def test_each_runtime_works_or_says_why_not(name, tiny_bundle):
    check = doctor.runtime_check(load_bundle(tiny_bundle), name)
    assert check.subject == f"runtime {name}"
    assert check.status == ("ok" if check.found.startswith("parity: ") else "note")
    assert name != "cpu" or check.status == "ok"
    assert not check.found.startswith("runtime")


class NoNumbers(OnnxRuntime):
    """Computes nonsense."""

    def run(self, call: FusedInput) -> FusedOutput:
        output = super().run(call)
        return FusedOutput(output.scores * np.float32(np.nan), output.tags, output.logit, output.evidence)


def test_a_laptop_without_a_gpu_is_told_nothing_but_that(tiny_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setattr(gpu, "DRIVER_LIBRARIES", {})
    for name in ("cuda", "onnx-tensorrt", "tensorrt"):
        check = doctor.runtime_check(load_bundle(tiny_bundle), name)
        found = "optional: no NVIDIA GPU was found (no NVIDIA driver is loaded)"
        assert check == doctor.Check(f"runtime {name}", "note", found)


def test_a_runtime_that_computes_something_else_is_a_warning(tiny_bundle, monkeypatch):
    monkeypatch.setattr(runtime_onnx, "check_driver", lambda: None)
    monkeypatch.setattr(runtimes, "OnnxRuntime", lambda bundle, *_: NoNumbers(bundle))
    check = doctor.runtime_check(load_bundle(tiny_bundle), "cuda")
    assert (check.status, "found a difference of nan" in check.found) == ("warning", True)


def test_a_runtime_that_compiles_for_minutes_is_not_tried(tiny_bundle, monkeypatch):
    monkeypatch.setattr(runtime_onnx, "check_provider", lambda _: None)
    monkeypatch.setattr(runtimes, "OnnxRuntime", None)
    check = doctor.runtime_check(load_bundle(tiny_bundle), "onnx-tensorrt")
    assert (check.status, check.found[:9]) == ("note", "not tried")


def test_no_microphone_at_all_is_3(use_devices, capsys):
    use_devices()
    assert cli.main(["doctor"]) == 3
    shown = capsys.readouterr().out
    assert "no input device" in shown
    assert "plug a microphone in" in shown


def test_without_sound_devices_recordings_can_still_be_scored():
    assert "`sedge score`" in doctor.failure_text(["sound input"])
    assert doctor.failure_text(["model", "sound input"]) == "Detection cannot run: model, sound input."


def test_table_shows_square_brackets_as_they_are(capsys):
    Console().print(
        doctor.report_table([doctor.Check("extra", "warning", "found [x]", "pip install .[train]")])
    )
    assert "pip install .[train]" in capsys.readouterr().out


def test_full_name():
    assert full_name(HEADSET) == "USB Headset, ALSA"
