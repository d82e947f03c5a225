"""The window as one program of its pages: settings, deeds, messages, and its end."""

import threading

import numpy as np
import pytest
import soundfile
from PyQt6.QtCore import Qt

from edge_app.core.decode import LabelDecoding
from edge_app.formats.json_file import read_json
from edge_app.store.database import Store
from edge_app.store.settings import AppSettings, LabelSettings, load_settings
from edge_app.stream.messages import EventNews
from edge_app.views.closing import Tray
from edge_app.views.main_window import MainWindow
from edge_app.views.theme import DARK, LIGHT, program_icon
from tests.views.live_windows import cut_recording, window_on

PATIENCE_MS = 10_000
RATE = 16_000


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    return cut_recording(tmp_path_factory.mktemp("window") / "speech.wav", 2.1, 7.6)


def made(qtbot, window: MainWindow) -> MainWindow:
    qtbot.addWidget(window, before_close_func=lambda one: setattr(one, "asks_to_close", False))
    with qtbot.waitExposed(window):
        window.show()
    return window


@pytest.fixture
def window(qtbot, speech, tmp_path):
    window = made(qtbot, window_on(speech, store=tmp_path / "history.sqlite"))
    yield window
    window.leave()
    assert [one.name for one in threading.enumerate() if one.name.startswith("sedge-")] == []


@pytest.fixture
def listening(window, qtbot) -> MainWindow:
    with qtbot.waitSignal(window.listening_changed, timeout=PATIENCE_MS):
        window.listen_button.click()
    with qtbot.waitSignal(window.live_page.snapshot_shown, timeout=PATIENCE_MS):
        pass
    return window


def closed_event(window: MainWindow, qtbot) -> int:
    """Wait until the first event is over and in the table and in the store; its number in the run."""

    def is_there() -> bool:
        rows = window.live.events.table.shown_events()
        return any(row.state == "closed" and window.run.journal.event_id(row.id) for row in rows)

    qtbot.waitUntil(is_there, timeout=PATIENCE_MS)
    return next(row.id for row in window.live.events.table.shown_events() if row.state == "closed")


def test_all_pages_are_there(window):
    titles = [window.pages.tabText(i) for i in range(window.pages.count())]
    assert titles == ["Live", "History", "Batch", "Settings"]
    tables = [window.live.tables.tabText(i) for i in range(window.live.tables.count())]
    assert tables == ["Events", "Near misses", "What if"]


def test_settings_are_taken_by_the_run_at_once(listening, qtbot):
    labels = {"Speech": LabelSettings(enabled=False), "Dog": LabelSettings(threshold_on=0.9)}
    listening.choices.set(labels=labels, view_s=30)
    decoding = listening.run._engine.decoding
    assert "Speech" not in decoding.enabled
    assert decoding.labels["Dog"].threshold_on == 0.9
    assert listening.live_page.timeline.view_s == 30
    assert listening.others.settings.settings == listening.choices.now
    assert listening.doing_bar.presets.currentData() == "own"


def test_settings_hold_from_the_first_hop(qtbot, speech, tmp_path):
    settings = AppSettings(labels={"Speech": LabelSettings(enabled=False)})
    window = made(qtbot, window_on(speech, store=tmp_path / "history.sqlite", settings=settings))
    with qtbot.waitSignal(window.listening_changed, timeout=PATIENCE_MS):
        window.listen()
    assert "Speech" not in window.run._engine.decoding.enabled
    window.leave()


def test_a_preset_changes_all_thresholds(window):
    own = {label: one.threshold_on for label, one in window.manifest.decoding.items()}
    window.doing_bar.presets.setCurrentIndex(window.doing_bar.presets.findData("sensitive"))
    window.doing_bar.presets.activated.emit(window.doing_bar.presets.currentIndex())
    now = {
        label: one.threshold_on
        for label, one in window.choices.now.decoding(window.manifest.decoding).items()
    }
    assert all(now[label] <= own[label] for label in own)
    assert now != own
    assert window.others.settings.settings == window.choices.now


def test_thresholds_that_were_tried_can_be_used(window):
    tried = {**window.manifest.decoding, "Dog": LabelDecoding(threshold_on=0.9, threshold_off=0.5)}
    window.others.history.decoding_wanted.emit({**tried, "Owl": tried["Dog"]})
    in_force = window.choices.now.decoding(window.manifest.decoding)
    assert in_force["Dog"].threshold_on == 0.9
    assert in_force["Cat"] == window.manifest.decoding["Cat"]


def test_theme_and_view_length_are_kept(qtbot, speech, tmp_path):
    path = tmp_path / "settings.json"
    window = made(qtbot, window_on(speech, settings_path=path))
    assert window.theme is DARK
    window.choices.set(theme="light")
    window.actions_by_name["zoom_out"].trigger()
    assert window.theme is LIGHT
    window.leave()
    kept, problem = load_settings(path)
    assert problem is None
    assert (kept.theme, kept.view_s) == ("light", 120)
    assert (kept.source, kept.hop_frames) == ("mic", None), "what the command line said is not kept"


def test_source_that_is_picked_is_resumed(qtbot, speech, tmp_path):
    path = tmp_path / "settings.json"
    window = made(qtbot, window_on(speech, settings_path=path))
    other = tmp_path / "other.wav"
    window.picker.choose(type(window.picker.choice)(recording=other))
    window.leave()
    assert load_settings(path)[0].source == str(other)


def test_mark_and_save_last(listening, qtbot, tmp_path):
    qtbot.waitUntil(lambda: listening.run.journal.history.end > RATE // 10, timeout=PATIENCE_MS)
    listening.actions_by_name["mark"].trigger()
    assert "Marked at" in listening.notices.told()
    listening.actions_by_name["save_last"].trigger()
    qtbot.waitUntil(lambda: "saved" in listening.notices.told(), timeout=PATIENCE_MS)
    (clip,) = tmp_path.rglob("*.flac")
    samples, rate = soundfile.read(clip)
    assert rate == RATE
    assert 0 < len(samples) <= 30 * RATE
    session = listening.run.journal.session
    with qtbot.waitSignal(listening.listening_changed, timeout=PATIENCE_MS):
        listening.stop()
    assert not listening.actions_by_name["mark"].isEnabled()
    assert listening.actions_by_name["save_last"].isEnabled(), "what was heard is still in memory"
    listening.leave()
    with Store(tmp_path / "history.sqlite") as store:
        assert len(store.marks(session)) == 1


def test_an_event_is_played_from_memory_and_judged(listening, qtbot, tmp_path):
    played = []
    listening.deeds.live._play = lambda samples, rate, stopped: played.append((samples, rate))
    number = closed_event(listening, qtbot)
    assert listening.live.events.table.select(number)
    listening.actions_by_name["play"].trigger()
    listening.actions_by_name["confirm"].trigger()
    assert listening.live.events.table.current().review == "confirmed"
    qtbot.waitUntil(lambda: bool(played), timeout=PATIENCE_MS)
    samples, rate = played[0]
    assert rate == RATE
    item = listening.live.events.chosen
    begin = max(0, item.onset_sample - RATE // 2)
    history = listening.run.journal.history
    np.testing.assert_array_equal(samples, history.read(begin, begin + len(samples))[0])
    assert len(samples) >= item.offset_sample - item.onset_sample
    dialog = listening.deeds.export()
    dialog.format.setCurrentIndex(dialog.format.findData("json"))
    dialog.path.setText(str(tmp_path / "running.json"))
    dialog.save()
    qtbot.waitUntil(lambda: dialog.written is not None, timeout=PATIENCE_MS)
    assert {event.event_label for event in read_json(tmp_path / "running.json").events} >= {item.event_label}
    dialog.reject()
    listening.leave()
    with Store(tmp_path / "history.sqlite") as store:
        assert [event.review for event in store.events() if event.number == number] == ["confirmed"]


def test_deeds_say_what_they_lack(listening):
    listening.live_page.timeline.select(None)
    listening.actions_by_name["play"].trigger()
    assert "No event is chosen" in listening.notices.told()


def test_deeds_that_need_a_session_wait_for_one(window):
    for name in ("save_last", "mark", "play", "confirm", "reject"):
        assert not window.actions_by_name[name].isEnabled()
    for name in ("export", "settings", "batch", "curve"):
        assert window.actions_by_name[name].isEnabled()


def test_letters_typed_into_the_filter_are_letters(listening, qtbot):
    words = listening.live.events.table.words
    listening.activateWindow()
    words.setFocus()
    qtbot.keyClicks(words, "mys n")
    assert words.text() == "mys n"
    assert listening.notices.told() == ""
    assert not listening.live_page.timeline.is_frozen


def test_settings_are_a_key_away(window, qtbot):
    qtbot.keyClick(window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    window.actions_by_name["settings"].trigger()
    assert window.pages.currentWidget() is window.others.settings


def test_a_lost_device_is_told_on_every_page_and_forgotten_when_it_is_back(listening, qtbot):
    listening.pages.setCurrentWidget(listening.others.settings)
    listening.board.notify("microphone gone: trying again")
    source = listening.run._source
    source.state = "reconnecting"
    qtbot.waitUntil(lambda: "microphone gone" in listening.notices.text(), timeout=PATIENCE_MS)
    source.state = "running"
    qtbot.waitUntil(lambda: listening.notices.text() == "", timeout=PATIENCE_MS)


def test_a_problem_of_the_journal_is_told_until_it_is_over(listening, qtbot, monkeypatch):
    problem: list[str | None] = ["disk full"]
    monkeypatch.setattr(type(listening.run.journal), "problem", property(lambda _: problem[0]))
    qtbot.waitUntil(lambda: listening.notices.text() == "disk full", timeout=PATIENCE_MS)
    problem[0] = None
    qtbot.waitUntil(lambda: listening.notices.text() == "", timeout=PATIENCE_MS)


def test_a_message_that_was_read_comes_again_when_it_is_another(window):
    window.notices.warn("settings", "one")
    window.notices.dismiss()
    assert window.notices.text() == ""
    window.notices.warn("settings", "two")
    assert window.notices.text() == "two"


def test_closing_asks_once_and_goes_on(qtbot, speech, tmp_path):
    window = made(qtbot, window_on(speech, store=tmp_path / "history.sqlite", asks_to_close=True))
    with qtbot.waitSignal(window.listening_changed, timeout=PATIENCE_MS):
        window.listen()
    window.close()
    window.close()
    assert window.isVisible()
    question = window.closing.question
    question.stay_button.click()
    assert window.is_listening
    assert window.closing.question is None
    window.close()
    with qtbot.waitSignal(window.closed, timeout=PATIENCE_MS):
        window.closing.question.close_button.click()  # type: ignore[attr-defined]  # asked anew
    assert not window.isVisible()
    with Store(tmp_path / "history.sqlite") as store:
        assert all(session.ended and not session.recovered for session in store.sessions())


def test_the_tray_keeps_listening_without_a_window(listening, qtbot):
    listening.asks_to_close = True
    tray = Tray(listening, program_icon())
    tray.left.connect(listening.leave)
    tray.take_window()
    assert not listening.isVisible()
    assert listening.is_listening
    with qtbot.waitSignal(listening.live_page.snapshot_shown, timeout=PATIENCE_MS):
        pass
    tray.show_window()
    assert listening.isVisible()
    tray.take_window()
    leave = next(action for action in tray._menu.actions() if "quit" in action.text())
    with qtbot.waitSignal(listening.closed, timeout=PATIENCE_MS):
        leave.trigger()


def test_an_idle_window_closes_without_a_question(qtbot, speech):
    window = made(qtbot, window_on(speech, asks_to_close=True))
    window.close()
    assert not window.isVisible()


def test_the_check_is_a_tab_until_the_user_goes_on(qtbot, speech):
    window = made(qtbot, window_on(speech, look=lambda settings: iter(())))
    assert window.pages.indexOf(window.others.first_run) < 0
    with qtbot.waitSignal(window.others.first_run.looked, timeout=PATIENCE_MS):
        window.actions_by_name["check"].trigger()
    assert window.pages.currentWidget() is window.others.first_run
    window.others.first_run.go_on.click()
    assert window.pages.currentWidget() is window.live
    assert window.pages.indexOf(window.others.first_run) < 0
    assert window.choices.now.is_introduced
    window.leave()


def test_live_events_are_exported_without_a_store(qtbot, speech):
    window = made(qtbot, window_on(speech))
    news = EventNews("closed", 1, "Dog", 0.5, 1.0, RATE // 2, RATE, 0.8)
    window.live.restart("room")
    window.board.take(news)
    window.live_page.show_snapshot(window.board.snapshot())
    (event,) = window.live.events.export("model").events
    assert (event.event_label, event.onset, event.offset, event.source) == ("Dog", 0.5, 1.0, "room")
    window.leave()
