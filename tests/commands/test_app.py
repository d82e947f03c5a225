"""`sedge app`: what it refuses, and a picture of the window on a real recording."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.commands.app import AppArgs, main, setup_of
from edge_app.commands.demo import RECORDING
from edge_app.core.errors import EXIT_NO_DEVICE_OR_MODEL, BundleError, RuntimeUnavailable, SedgeError
from edge_app.store.database import Store
from edge_app.store.queries import EventFilter

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


def test_options_hold_for_this_time_and_settings_stay(tmp_path):
    pytest.importorskip("PyQt6")
    path = tmp_path / "settings.json"
    path.write_text('{"theme": "light", "hop_frames": 25, "device": "Mic"}')
    setup = setup_of(AppArgs(settings=path, theme="dark", runtime="cpu"))
    assert setup.settings.theme == "light"
    assert setup.overrides == {"theme": "dark", "runtime": "cpu"}
    assert setup.asks_to_close
    assert not setup.is_listening


def test_a_recording_is_no_choice_for_good(tmp_path):
    pytest.importorskip("PyQt6")
    setup = setup_of(AppArgs(settings=tmp_path / "none.json", source="a.wav"))
    assert setup.overrides == {"source": str(Path("a.wav").absolute())}
    assert setup.settings.source == "mic"
    assert setup.is_listening


def test_a_model_that_is_gone_does_not_keep_the_program_from_opening(tmp_path):
    pytest.importorskip("PyQt6")
    path = tmp_path / "settings.json"
    path.write_text(f'{{"bundle": "{(tmp_path / "gone").as_posix()}"}}')
    setup = setup_of(AppArgs(settings=path))
    assert setup.settings.bundle is None
    assert "gone" in (setup.settings_problem or "")
    with pytest.raises(BundleError, match="gone"):
        setup_of(AppArgs(settings=path, bundle=tmp_path / "gone"))


def test_damaged_settings_are_told(tmp_path):
    pytest.importorskip("PyQt6")
    path = tmp_path / "settings.json"
    path.write_text("{")
    assert "settings.json" in (setup_of(AppArgs(settings=path)).settings_problem or "")


def test_a_recording_is_heard_in_the_window_kept_and_photographed(tmp_path):
    """From the command line to exit code 0: the sound is on the screen, and its event in the history."""
    pytest.importorskip("PyQt6")
    picture = tmp_path / "window.png"
    arguments = ["--source", str(RECORDING), "--screenshot", str(picture), "--screenshot-after", "6"]
    arguments += ["--settings", str(tmp_path / "settings.json")]
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
    with Store(tmp_path / "history.sqlite") as store:
        (session,) = store.sessions()
        assert session.ended
        assert [event.event_label for event in store.events(EventFilter())] == ["Speech"]
