"""Whether a window can be opened is told in a sentence, before Qt would end the process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.core.errors import EXIT_NO_DEVICE_OR_MODEL, RuntimeUnavailable
from edge_app.views.display import (
    NO_DISPLAY,
    check_display,
    lacking,
    missing_library,
    platform_names,
    wayland_problem,
    x11_problem,
)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ABSENT_DISPLAY = ":987"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")

# Qt's modules look as if a library of the system were missing.
BROKEN_QT = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "PyQt6.QtWidgets":
            raise ImportError("libEGL.so.1: cannot open shared object file: No such file or directory")
sys.meta_path.insert(0, Broken())
"""


@linux_only
def test_no_display_is_told():
    with pytest.raises(RuntimeUnavailable) as raised:
        check_display({})
    assert str(raised.value) == NO_DISPLAY
    assert raised.value.exit_code == EXIT_NO_DEVICE_OR_MODEL


@pytest.mark.parametrize("name", ["offscreen", "minimal", "vnc:size=800x600"])
def test_platforms_without_a_display_need_none(name):
    check_display({"QT_QPA_PLATFORM": name})


@linux_only
def test_a_display_that_does_not_answer_is_named():
    if missing_library("xcb") is not None:
        pytest.skip("Qt's part for xcb cannot be loaded here")
    with pytest.raises(RuntimeUnavailable, match=f"the display {ABSENT_DISPLAY} does not answer"):
        check_display({"DISPLAY": ABSENT_DISPLAY})


@linux_only
def test_xcb_without_a_display_is_told():
    assert "expected DISPLAY" in (x11_problem("") or "")


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, []),
        ({"DISPLAY": ""}, []),
        ({"DISPLAY": ":0"}, ["xcb"]),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}, ["wayland", "xcb"]),
        ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "wayland;vnc:port=5900"}, ["wayland", "vnc"]),
    ],
)
def test_platforms_that_qt_will_try(environment, names):
    assert platform_names(environment) == names


def test_a_wayland_display_is_a_socket(tmp_path):
    environment = {"XDG_RUNTIME_DIR": str(tmp_path), "WAYLAND_DISPLAY": "wayland-1"}
    assert str(tmp_path / "wayland-1") in (wayland_problem(environment) or "")
    (tmp_path / "wayland-1").touch()
    assert wayland_problem(environment) is None
    assert wayland_problem({"WAYLAND_DISPLAY": str(tmp_path / "wayland-1")}) is None
    assert "XDG_RUNTIME_DIR" in (wayland_problem({}) or "")


@linux_only
def test_one_usable_display_is_enough(tmp_path):
    (tmp_path / "wayland-0").touch()
    if missing_library("wayland") is not None:
        pytest.skip("Qt's part for wayland cannot be loaded here")
    check_display(
        {"DISPLAY": ABSENT_DISPLAY, "WAYLAND_DISPLAY": "wayland-0", "XDG_RUNTIME_DIR": str(tmp_path)}
    )


def test_a_missing_library_is_told_with_its_package():
    words = lacking("libxcb-cursor.so.0: cannot open shared object file: No such file or directory")
    assert words == "libxcb-cursor.so.0 is not installed: apt-get install libxcb-cursor0"
    assert lacking("libodd.so.1: no such file") == "libodd.so.1: no such file"


def test_qt_that_cannot_be_loaded_ends_with_a_sentence():
    code = BROKEN_QT + "from edge_app import cli\nsys.exit(cli.main(['app']))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == EXIT_NO_DEVICE_OR_MODEL
    assert ended.stderr == (
        "sedge: app: Qt cannot be loaded: libEGL.so.1 is not installed: apt-get install libegl1\n"
    )
