"""Where files of the program's own lie."""

import sys
from pathlib import Path

import pytest

from edge_app.store.places import cache_folder, database_path, engine_folder, settings_path


def test_engines_lie_in_the_cache_and_asking_makes_nothing():
    assert cache_folder().is_absolute()
    assert cache_folder().name == "sedge" or sys.platform == "win32"
    assert cache_folder() in engine_folder().parents


@pytest.mark.skipif(sys.platform != "linux", reason="a convention of Linux desktops")
def test_the_user_moves_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engine_folder() == tmp_path / "sedge" / "engines"
    assert list(tmp_path.iterdir()) == []


def test_settings_and_history_lie_in_folders_of_the_program():
    assert (settings_path().name, database_path().name) == ("settings.json", "history.sqlite")
    assert settings_path().is_absolute()
    assert database_path().is_absolute()
