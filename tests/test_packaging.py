"""What people install: the wheel in a fresh environment, and the frozen folder, each far from the checkout."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from edge_app import __version__
from edge_app.commands.demo import RECORDING
from edge_app.core.errors import EXIT_DONE, EXIT_NO_DEVICE_OR_MODEL
from edge_app.store.database import Store
from tests.core.media_files import tone_for, write_media

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parent.parent
LISTEN_S = 6
FEWEST_COLOURS = 100
"""A window that drew its spectrogram has more; an empty one has about twenty."""
NEVER_FROZEN = {"torch", "scipy", "pandas", "matplotlib", "onnx", "tkinter", "train", "export", "pytest"}
FROM_THE_DESKTOP = ("PYTHON", "VIRTUAL_ENV", "DISPLAY", "WAYLAND", "XDG_", "QT_")


def cannot_run(why: str) -> NoReturn:
    """Skip a test for want of something, or with SEDGE_REQUIRE_PACKAGES=1 fail it."""
    if os.environ.get("SEDGE_REQUIRE_PACKAGES") == "1":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def wheel_program(tmp_path_factory) -> Path:
    """The command of a fresh environment that holds the wheel, and what its extra `app` asks for."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run([sys.executable, *build], cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True, timeout=120)
    scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    installed = subprocess.run(
        [scripts / "python", "-m", "pip", "install", "--quiet", "--no-compile", f"{wheel}[app]"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    if installed.returncode != 0:
        cannot_run(f"pip cannot install here: {installed.stderr.strip()}")
    return scripts / "sedge"


@pytest.fixture(scope="module")
def frozen_program() -> Path:
    """The program that `make frozen` has built."""
    program = os.environ.get("SEDGE_FROZEN")
    if program is None:
        pytest.skip("SEDGE_FROZEN names no frozen program: `make test-frozen`")
    return Path(program)


@pytest.fixture(params=["wheel", "frozen"])
def program(request) -> Path:
    return request.getfixturevalue(f"{request.param}_program")


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """That of a user who never ran the program, on a machine without a screen."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FROM_THE_DESKTOP)}
    return kept | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}


@pytest.fixture
def x_screen() -> Iterator[str]:
    """A screen of X that nobody sees, by the name of its display."""
    if shutil.which("Xvfb") is None:
        cannot_run("Xvfb not found: apt-get install xvfb")
    told, telling = os.pipe()
    screen = ["Xvfb", "-displayfd", str(telling), "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(screen, pass_fds=(telling,), stderr=subprocess.DEVNULL) as server:
        os.close(telling)
        with os.fdopen(told) as reader:
            yield f":{reader.readline().strip()}"
        server.terminate()


def run(program: Path, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        cwd=environment["HOME"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def listen(program: Path, picture: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run(
        program,
        *("app", "--source", str(RECORDING), "--runtime", "cpu", "--store", "history.sqlite"),
        *("--screenshot", str(picture), "--screenshot-after", str(LISTEN_S)),
        environment={"QT_QPA_PLATFORM": "offscreen"} | environment,
    )


def colours(picture: Path) -> set[int]:
    gui = pytest.importorskip("PyQt6.QtGui", exc_type=ImportError)
    image = gui.QImage(str(picture))
    assert not image.isNull()
    return {image.pixel(x, y) for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)}


def python_names(program: Path) -> Iterator[str]:
    return (path.name for path in (program.parent / "_internal").iterdir())


def test_it_says_its_version(program, environment):
    ended = run(program, "--version", environment=environment)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (EXIT_DONE, f"sedge {__version__}", "")


def test_all_that_detection_needs_came_along(program, environment):
    wide = environment | {"COLUMNS": "1000"}  # no path is folded
    ended = run(program, "doctor", "--no-microphone", environment=wide)
    assert ended.returncode == EXIT_DONE, ended.stdout + ended.stderr
    assert str(REPOSITORY / "edge_app") not in ended.stdout, "the checkout's own code ran"


def test_the_app_listens_to_a_recording(program, environment, tmp_path):
    picture = tmp_path / "window.png"
    ended = listen(program, picture, environment)
    assert (ended.returncode, ended.stderr) == (EXIT_DONE, "")
    assert len(colours(picture)) > FEWEST_COLOURS
    with Store(tmp_path / "history.sqlite") as store:
        (session,) = store.sessions()
        assert session.ended
        assert store.events()


def test_the_app_opens_on_an_x_screen(program, environment, x_screen, tmp_path):
    picture = tmp_path / "window.png"
    ended = listen(program, picture, environment | {"QT_QPA_PLATFORM": "xcb", "DISPLAY": x_screen})
    assert (ended.returncode, ended.stderr) == (EXIT_DONE, "")
    assert len(colours(picture)) > FEWEST_COLOURS


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_no_display_ends_with_a_sentence(program, environment):
    ended = run(program, "app", environment=environment)
    assert ended.returncode == EXIT_NO_DEVICE_OR_MODEL
    assert ended.stderr.startswith("sedge: app needs a display")
    assert len(ended.stderr.splitlines()) == 1


def test_frozen_folder_holds_nothing_of_the_training_side(frozen_program):
    assert not NEVER_FROZEN & set(python_names(frozen_program))


def test_it_scores_media_in_processes_of_its_own(program, environment, tmp_path):
    pytest.importorskip("av")
    name = "phone.m4a"
    write_media(tmp_path / name, tone_for(tmp_path / name, 2.0))
    arguments = ["score", name, str(RECORDING), "--workers", "2", "--out", "scored"]
    ended = run(program, *arguments, environment=environment)
    assert ended.returncode == EXIT_DONE, ended.stderr
    assert "2 done" in ended.stdout + ended.stderr
    assert name in (tmp_path / "scored" / "durations.tsv").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="opens a display's error path")
def test_the_second_frozen_program_is_the_app(frozen_program, environment):
    ended = run(frozen_program.with_name("sedge-app"), environment=environment)
    assert ended.returncode == EXIT_NO_DEVICE_OR_MODEL
    assert "app needs a display" in ended.stderr
