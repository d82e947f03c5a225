"""What is kept of the user's choices, and what only holds for this time."""

import pytest
from pydantic import ValidationError

from edge_app.store.settings import AppSettings, load_settings
from edge_app.views.settings.choices import Choices


def test_command_line_wins_and_is_not_saved(qtbot, tmp_path):
    path = tmp_path / "settings.json"
    choices = Choices(AppSettings(theme="light"), {"theme": "dark", "hop_frames": 10}, path)
    assert (choices.now.theme, choices.now.hop_frames) == ("dark", 10)
    choices.set(view_s=120)
    choices.close()
    kept, problem = load_settings(path)
    assert problem is None
    assert (kept.theme, kept.hop_frames, kept.view_s) == ("light", None, 120)


def test_what_the_user_changes_is_the_users(qtbot, tmp_path):
    path = tmp_path / "settings.json"
    choices = Choices(AppSettings(), {"theme": "dark"}, path)
    with qtbot.waitSignal(choices.changed) as told:
        choices.set(theme="light")
    assert told.args == [choices.now, frozenset({"theme"})]
    choices.close()
    assert load_settings(path)[0].theme == "light"


def test_a_change_is_saved_by_itself(qtbot, tmp_path):
    choices = Choices(path=tmp_path / "settings.json")
    with qtbot.waitSignal(choices.failed, timeout=5_000) as told:
        choices.set(view_s=30)
    assert told.args == [""]
    assert load_settings(tmp_path / "settings.json")[0].view_s == 30


def test_nothing_is_told_of_no_change(qtbot):
    choices = Choices()
    with qtbot.assertNotEmitted(choices.changed):
        choices.take(choices.now)


def test_values_that_are_not_allowed_are_refused(qtbot):
    choices = Choices()
    with pytest.raises(ValidationError):
        choices.set(view_s=1)
    assert choices.now == AppSettings()


def test_a_file_that_cannot_be_written_is_told(qtbot, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    choices = Choices(path=blocked / "settings.json")
    with qtbot.waitSignal(choices.failed) as told:
        choices.set(view_s=30)
        choices.close()
    assert "settings.json" in told.args[0]
