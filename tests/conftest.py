"""What every test shares: reproducible examples, and what happens where there is no sound system."""

import ctypes.util
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# As the command line does, before NumPy is imported: threads that wait for each other cost tenfold.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

AUDIO_PACKAGES = "libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins"
WINDOW_TESTS = (
    "views",
    "app",
    "commands/test_app.py",
    "benchmarks/test_live_app.py",
    "sessions/test_journal.py",
)


def window_problem() -> str:
    """Why no window can be made here, not even one that nobody sees; empty where one can."""
    try:
        from PyQt6 import QtWidgets  # noqa: F401
    except ImportError as error:
        return (
            f"{error}: apt-get install libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon0"
        )
    return ""


WINDOW_PROBLEM = window_problem()
if WINDOW_PROBLEM and os.environ.get("SEDGE_REQUIRE_PACKAGES") == "1":
    raise RuntimeError(WINDOW_PROBLEM)
# pytest-qt ends the whole run where Qt cannot be loaded, so it is loaded here and not by itself.
pytest_plugins = [] if WINDOW_PROBLEM else ["pytestqt.plugin"]
collect_ignore = list(WINDOW_TESTS) if WINDOW_PROBLEM else []


def pytest_report_header() -> str | None:
    return f"left out, the tests of the window: {WINDOW_PROBLEM}" if WINDOW_PROBLEM else None


# Derandomised: a run on one machine tests what a run on any other does.
settings.register_profile("sedge", derandomize=True, deadline=None)
settings.load_profile("sedge")


def missing_audio_parts() -> list[str]:
    """What an `audio` test needs and this machine lacks."""
    programs = [program for program in ("pulseaudio", "pactl", "paplay") if shutil.which(program) is None]
    return programs if ctypes.util.find_library("portaudio") else ["PortAudio", *programs]


def is_audio_required() -> bool:
    """Whether an `audio` test that cannot run is a failure, as in continuous integration."""
    return os.environ.get("SEDGE_REQUIRE_AUDIO") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("audio") is None:
        return
    missing = missing_audio_parts()
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: apt-get install {AUDIO_PACKAGES}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    is_skip = report.skipped and not hasattr(report, "wasxfail")
    if is_skip and is_audio_required() and item.get_closest_marker("audio") is not None:
        report.outcome = "failed"
        report.longrepr = (
            f"SEDGE_REQUIRE_AUDIO=1, but the test was skipped: {call.excinfo and call.excinfo.value}"
        )
    return report


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an untrained small model with three labels, exported by the real exporter."""
    from tests.models import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
