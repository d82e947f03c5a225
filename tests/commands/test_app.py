"""`sedge app`: what it refuses, and a picture of the window on a real recording."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.commands.app import main
from edge_app.commands.demo import RECORDING
from edge_app.core.errors import EXIT_NO_DEVICE_OR_MODEL, RuntimeUnavailable, SedgeError

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PNG_MAGIC = b"\x89PNG"


def test_missing_qt_ends_with_a_sentence(monkeypatch):
    monkeypatch.setattr("edge_app.commands.app.find_spec", lambda name: None)
    with pytest.raises(RuntimeUnavailable, match=r"app needs PyQt6 and pyqtgraph.*pip install") as raised:
        main([])
    assert raised.value.exit_code == EXIT_NO_DEVICE_OR_MODEL


@pytest.mark.parametrize(
    "arguments",
    [["--screenshot", "a.png"], ["--source", "a.wav", "--device", "b"], ["--screenshot-after", "0"]],
)
def test_wrong_use_is_refused(arguments):
    with pytest.raises(SedgeError, match="expected"):
        main(arguments)


def test_a_picture_of_the_window_is_saved(tmp_path):
    pytest.importorskip("PyQt6")
    picture = tmp_path / "window.png"
    arguments = ["--source", str(RECORDING), "--screenshot", str(picture), "--screenshot-after", "0.5"]
    code = f"import sys; from edge_app.commands.app import main; sys.exit(main({arguments!r} + sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", code, "--store", str(tmp_path / "history.sqlite"), "--runtime", "cpu"],
        cwd=REPOSITORY,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert picture.read_bytes().startswith(PNG_MAGIC)
