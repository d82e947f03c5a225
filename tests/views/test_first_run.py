"""The first look shows what `sedge doctor` finds."""

import numpy as np
import pytest

pytest.importorskip("PyQt6")
from PyQt6.QtWidgets import QLabel

from edge_app.commands.doctor import Check, all_checks, level_check
from edge_app.core.errors import DeviceError, SedgeError
from edge_app.views.settings.first_run import FirstRunPage


def look(qtbot, checks):
    page = FirstRunPage(checks)
    qtbot.addWidget(page, before_close_func=lambda page: page.close_threads())
    with qtbot.waitSignal(page.looked, timeout=30_000):
        page.start()
    return page


def shown(page):
    return " | ".join(label.text() for label in page.findChildren(QLabel))


def test_the_doctors_own_checks_are_shown_with_model_and_runtime(qtbot):
    page = look(qtbot, lambda: all_checks(None, microphone=False))
    subjects = [check.subject for check in page.checks]
    assert {"model", "runtime", "runtime cpu"} <= set(subjects)
    assert page.is_fit
    for check in page.checks:
        assert check.found in shown(page)


@pytest.mark.parametrize(
    ("peak", "rms", "words"),
    [
        (0.0, 0.0, "zeros only"),
        (0.3, 0.05, "delivers sound"),
        (1.0, 0.5, "it clips"),
        (1e-5, 1e-6, "very quiet"),
    ],
)
def test_level_of_the_microphone_is_told(qtbot, peak, rms, words):
    page = look(qtbot, lambda: [level_check(peak, rms)])
    assert words in shown(page)
    assert page.is_fit
    assert ("look at: microphone" in page.verdict.text()) == (page.checks[0].status == "warning")


def test_what_is_missing_is_named_with_what_to_do(qtbot):
    missing = Check("sound input", "failure", "no input device", "plug a microphone in")
    page = look(qtbot, lambda: [missing])
    assert not page.is_fit
    assert "sound input" in page.verdict.text()
    assert "plug a microphone in" in shown(page)


def test_look_that_breaks_off_is_told_and_can_be_repeated(qtbot):
    answers = [SedgeError("PortAudio: gone"), None]

    def checks():
        error = answers.pop(0)
        yield Check("Python", "ok", "3.11")
        if error:
            raise error

    page = look(qtbot, checks)
    assert page.verdict.text() == "PortAudio: gone"
    with qtbot.waitSignal(page.looked):
        page.again.click()
    assert page.verdict.text() == "Detection can run."
    assert len(page.checks) == 1


def test_go_on_is_told(qtbot):
    page = look(qtbot, list)
    with qtbot.waitSignal(page.finished):
        page.go_on.click()


def echo_page(qtbot, samples, played, fails=False):
    def record():
        if fails:
            raise DeviceError("no microphone")
        return samples, 8000

    page = FirstRunPage(list, record, lambda samples, rate, _stopped: played.append((samples, rate)))
    qtbot.addWidget(page, before_close_func=lambda page: page.close_threads())
    with qtbot.waitSignal(page.echo.ended):
        page.echo.button.click()
    return page


@pytest.mark.parametrize(
    ("peak", "words"),
    [(0.25, "good level, peak -12"), (0.0, "zeros only"), (1.0, "Too loud"), (0.0005, "Very quiet")],
)
def test_echo_plays_what_was_recorded_and_tells_how_loud_it_was(qtbot, peak, words):
    samples = np.zeros(24_000, np.float32)
    samples[100] = -peak
    played = []
    page = echo_page(qtbot, samples, played)
    (sound, rate) = played[0]
    assert sound is samples
    assert rate == 8000
    assert words in page.echo.message.text()
    assert page.echo.button.isEnabled()


def test_echo_without_a_microphone_is_told(qtbot):
    played = []
    page = echo_page(qtbot, None, played, fails=True)
    assert page.echo.message.text() == "no microphone"
    assert not played
    assert page.echo.button.isEnabled()
