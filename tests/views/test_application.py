"""What the program does by itself: at its start, when the model is changed, and for a picture."""

import json
import shutil
from dataclasses import replace

import pytest

from edge_app.core.bundle import DEFAULT_BUNDLE
from edge_app.store.settings import AppSettings
from edge_app.views.application import Program, RunMaker, begin, make_application, make_window
from edge_app.views.source_picker import SourceChoice, choice_in
from tests.views.live_windows import cut_recording, setup_on

PATIENCE_MS = 10_000


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    return cut_recording(tmp_path_factory.mktemp("application") / "speech.wav", 2.1, 4.6)


@pytest.fixture
def other_bundle(tmp_path):
    """The built-in model under another name and with another threshold."""
    folder = tmp_path / "other"
    shutil.copytree(DEFAULT_BUNDLE, folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["name"] = "other"
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def looks_at_nothing(settings: AppSettings):
    return iter(())


def test_the_first_start_shows_the_check(qtbot, speech):
    setup = setup_on(speech, look=looks_at_nothing)
    window = make_window(setup)
    qtbot.addWidget(window)
    with qtbot.waitSignal(window.others.first_run.looked, timeout=PATIENCE_MS):
        begin(window, setup, make_application())
    assert window.pages.currentWidget() is window.others.first_run
    window.leave()


@pytest.mark.parametrize("settings", [AppSettings(is_introduced=True)])
def test_later_starts_wait_on_the_live_page(qtbot, speech, settings):
    setup = setup_on(speech, look=looks_at_nothing, settings=settings)
    window = make_window(setup)
    qtbot.addWidget(window)
    begin(window, setup, make_application())
    assert window.pages.currentWidget() is window.live
    assert window.listening.stage == "idle"
    window.leave()


def test_what_was_listened_to_last_is_resumed(qtbot, speech):
    settings = AppSettings(resumes=True, source=str(speech))
    setup = replace(setup_on(speech), settings=settings, source=None)
    window = make_window(setup)
    qtbot.addWidget(window)
    with qtbot.waitSignal(window.listening_changed, timeout=PATIENCE_MS):
        begin(window, setup, make_application())
    assert window.picker.choice == SourceChoice(recording=speech)
    window.leave()


def test_a_problem_with_the_settings_is_told(qtbot, speech):
    window = make_window(setup_on(speech, settings_problem="settings.json: damaged; defaults are used"))
    qtbot.addWidget(window)
    assert "damaged" in window.notices.text()
    window.leave()


def test_another_model_takes_another_window(qtbot, speech, other_bundle, tmp_path):
    program = Program(setup_on(speech, store=tmp_path / "history.sqlite"))
    first = program.window
    first.show()
    first.choices.set(bundle=str(other_bundle))
    qtbot.waitUntil(lambda: program.window is not first, timeout=PATIENCE_MS)
    second = program.window
    qtbot.addWidget(second)
    assert second.manifest.name == "other"
    assert second.isVisible()
    assert second.pages.currentWidget() is second.others.settings
    with qtbot.waitSignal(second.listening_changed, timeout=PATIENCE_MS):
        second.listen()
    second.leave()
    program.close()


def test_a_model_that_is_chosen_while_listening_waits_for_the_end(qtbot, speech, other_bundle):
    program = Program(setup_on(speech))
    first = program.window
    first.show()
    with qtbot.waitSignal(first.listening_changed, timeout=PATIENCE_MS):
        first.listen()
    first.choices.set(bundle=str(other_bundle))
    program.renew()
    assert program.window is first
    first.stop()
    qtbot.waitUntil(lambda: program.window is not first, timeout=PATIENCE_MS)
    program.window.leave()
    program.close()


def test_a_run_of_another_model_than_the_windows_is_refused(qtbot, speech, other_bundle):
    setup = setup_on(speech)
    window = make_window(setup)
    qtbot.addWidget(window)
    window.choices.set(bundle=str(other_bundle))
    with qtbot.waitSignal(window.failed, timeout=PATIENCE_MS) as failed:
        window.listen()
    assert "other" in failed.args[0]
    window.leave()


def test_a_detector_is_opened_once_for_the_same_settings(qtbot, speech):
    opened = []

    def open_counted(settings):
        opened.append(settings.hop_frames)
        return setup.open_detector(settings)

    setup = setup_on(speech)
    window = make_window(setup)
    qtbot.addWidget(window)
    maker, settings = RunMaker(replace(setup, open_detector=open_counted)), window.choices.now
    maker(settings, window.board)
    maker(settings.model_copy(update={"view_s": 30}), window.board)
    maker(settings.model_copy(update={"hop_frames": 25}), window.board)
    assert opened == [10, 25]
    window.leave()


@pytest.mark.parametrize("choice", [SourceChoice(), SourceChoice("ALSA: Microphone")])
def test_a_source_becomes_settings_and_comes_back(choice):
    assert choice_in(AppSettings(**choice.fields)) == choice


def test_a_recording_leaves_the_microphone_as_it_is(speech):
    settings = AppSettings(device="ALSA: Microphone")
    changed = settings.model_copy(update=SourceChoice(recording=speech).fields)
    assert choice_in(changed).recording == speech
    assert changed.device == "ALSA: Microphone"


def test_what_compiles_an_engine_is_told_the_model_of_the_window(qtbot, speech, other_bundle):
    asked = []
    program = Program(setup_on(speech, build_command=asked.append))
    first = program.window
    first.show()
    first.choices.set(bundle=str(other_bundle))
    qtbot.waitUntil(lambda: program.window is not first, timeout=PATIENCE_MS)
    qtbot.addWidget(program.window)
    assert asked == [None, other_bundle]
    program.window.leave()
    program.close()
