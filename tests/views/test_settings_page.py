"""The settings page: every edit is told at once, valid, and said in words."""

import sys

import pytest

pytest.importorskip("PyQt6")
from hypothesis import given, settings
from hypothesis import strategies as st
from PyQt6.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit

from edge_app.core.bundle import load_bundle
from edge_app.core.decode import LabelDecoding
from edge_app.core.delay import algorithmic_delay
from edge_app.core.runtimes import RUNTIME_NAMES
from edge_app.store.settings import AppSettings, LabelSettings, load_settings, save_settings
from edge_app.views.settings.label_grid import LabelChoice
from edge_app.views.settings.settings_page import SettingsPage
from edge_app.views.settings.settings_words import choice_of, delay_sentences, warnings, with_choice
from edge_app.views.source_picker import SourceChoice

MANIFEST = load_bundle().manifest
DOG = MANIFEST.decoding["Dog"]


def make_page(qtbot, kept=None, command=None):
    page = SettingsPage(MANIFEST, kept or AppSettings(), load_bundle, command, list)
    qtbot.addWidget(page, before_close_func=lambda page: page.close_process())
    return page


def told_by(page):
    told = []
    page.changed.connect(told.append)
    return told


def test_page_shows_what_it_is_given_and_tells_nothing_of_it(qtbot):
    kept = AppSettings(
        theme="dark", view_s=120, hop_frames=10, runtime="cpu", retention_bytes=5_000_000_000,
        labels={"Dog": LabelSettings(threshold_on=0.8, median_frames=9), "Cat": LabelSettings(enabled=False)},
    )  # fmt: skip
    page = make_page(qtbot, kept)
    assert page.settings == kept
    assert (page.theme.currentData(), page.view.value(), page.hop.currentData()) == ("dark", 120, 10)
    assert (page.runtime.currentData(), page.keeping.most_size.value()) == ("cpu", 5.0)
    row = page.labels.rows["Dog"]
    assert (row.threshold_on.value(), row.threshold_off.value(), row.median.value()) == (0.8, 0.65, 9)
    assert not page.labels.rows["Cat"].enabled.isChecked()
    assert not page.labels.rows["Cat"].threshold_on.isEnabled()


def test_every_edit_is_told_once_and_survives_the_file(qtbot, tmp_path):
    page = make_page(qtbot)
    told = told_by(page)
    page.theme.setCurrentIndex(page.theme.findData("light"))
    page.view.setValue(90)
    page.keeping.pre_roll.setValue(5)
    page.keeping.days.setValue(7)
    page.keeping.save_scores.setChecked(False)
    page.runtime.setCurrentIndex(page.runtime.findData("cpu"))
    page.labels.rows["Dog"].threshold_on.setValue(0.9)
    page.labels.rows["Dog"].save_audio.setChecked(True)
    page.labels.rows["Cat"].enabled.setChecked(False)
    assert len(told) == 9
    save_settings(told[-1], tmp_path / "settings.json")
    assert load_settings(tmp_path / "settings.json") == (told[-1], None)
    assert told[-1].label("Dog").save_audio
    assert told[-1].decoding(MANIFEST.decoding)["Dog"].threshold_on == 0.9
    assert not told[-1].label("Cat").enabled


def test_ending_threshold_never_passes_the_threshold(qtbot):
    page = make_page(qtbot)
    row = page.labels.rows["Blender"]
    row.threshold_on.setValue(0.3)
    assert row.threshold_off.value() <= 0.3
    row.threshold_off.setValue(0.7)
    rules = page.settings.decoding(MANIFEST.decoding)["Blender"]
    assert rules.off <= rules.threshold_on == 0.3


def test_even_median_counts_as_the_next_odd_one(qtbot):
    page = make_page(qtbot)
    page.labels.rows["Dog"].median.setValue(10)
    assert page.settings.label("Dog").median_frames == 11


def test_reset_brings_the_models_own_back(qtbot):
    page = make_page(
        qtbot, AppSettings(labels={"Dog": LabelSettings(threshold_on=0.9, min_on_s=2, save_audio=True)})
    )
    page.labels.rows["Dog"].reset.click()
    assert page.settings.label("Dog") == LabelSettings(save_audio=True)
    assert page.settings.decoding(MANIFEST.decoding)["Dog"] == DOG


@settings(max_examples=60)
@given(st.data())
def test_choice_and_settings_say_the_same(chosen):
    on = chosen.draw(st.integers(1, 99)) / 100
    off = chosen.draw(st.integers(1, round(on * 100))) / 100
    rules = LabelDecoding(
        threshold_on=on,
        threshold_off=off,
        median_frames=chosen.draw(st.integers(0, 75)) * 2 + 1,
        min_on_s=chosen.draw(st.integers(0, 500)) / 100,
        min_off_s=chosen.draw(st.integers(0, 500)) / 100,
    )
    choice = LabelChoice(chosen.draw(st.booleans()), rules, chosen.draw(st.booleans()))
    kept = with_choice(AppSettings(), "Dog", choice, DOG)
    again = choice_of(kept, "Dog", DOG)
    assert (again.enabled, again.save_audio) == (choice.enabled, choice.save_audio)
    for name in ("threshold_on", "off", "median_frames", "min_on_s", "min_off_s"):
        assert abs(getattr(again.decoding, name) - getattr(rules, name)) <= 0.0051


def test_delay_in_words_is_the_computed_one(qtbot):
    page = make_page(qtbot)
    page.hop.setCurrentIndex(page.hop.findData(10))
    page.labels.rows["Dog"].min_on.setValue(8.0)
    delay = algorithmic_delay(MANIFEST, 10, page.settings.decoding(MANIFEST.decoding))
    dog = next(one for one in delay.labels if one.event_label == "Dog")
    assert f"{dog.confirmed.most_ms / 1000:.2f} s" in page.delay.text()
    assert "up to 0.20 s" in page.delay.text()
    page.labels.rows["Dog"].enabled.setChecked(False)
    assert "Dog" not in page.delay.text()


def test_what_cannot_work_is_said_and_the_models_own_is_not_blamed(qtbot):
    page = make_page(qtbot)
    assert page.warning.isHidden()
    row = page.labels.rows["Dog"]
    row.threshold_on.setValue(0.97)
    assert "hardly ever reached" in page.warning.text()
    row.reset.click()
    row.median.setValue(51)
    row.min_on.setValue(0.1)
    assert "drops sounds under 0.52 s" in page.warning.text()
    off = AppSettings(labels=dict.fromkeys(MANIFEST.event_labels, LabelSettings(enabled=False)))
    assert "nothing will be detected" in warnings(MANIFEST, off)[0]
    assert delay_sentences(MANIFEST, off) == []


def test_model_that_is_none_is_refused_in_words(qtbot, tmp_path):
    page = make_page(qtbot)
    told = told_by(page)
    page.bundle.setText(str(tmp_path))
    page.bundle.editingFinished.emit()
    assert "bundle.json" in page.bundle_error.text()
    assert not told
    page.bundle.setText(str(load_bundle().folder))
    page.bundle.editingFinished.emit()
    assert page.bundle_error.isHidden()
    assert told[-1].bundle == str(load_bundle().folder)


def test_only_what_waits_for_a_start_says_so(qtbot):
    page = make_page(qtbot)
    page.labels.rows["Dog"].threshold_on.setValue(0.9)
    assert page.restart.isHidden()
    page.hop.setCurrentIndex(page.hop.findData(5))
    assert not page.restart.isHidden()
    page.mark_started()
    assert page.restart.isHidden()


def test_every_control_has_a_name_for_screen_readers(qtbot):
    page = make_page(qtbot)
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit)
    controls = [control for kind in kinds for control in page.findChildren(kind)]
    own = [control for control in controls if not control.objectName().startswith("qt_")]
    unnamed = [
        control for control in own if not (control.accessibleName() or getattr(control, "text", str)())
    ]
    assert len(own) > 60
    assert not unnamed


def test_all_runtimes_are_offered_with_the_reason_for_the_one_in_use(qtbot):
    page = make_page(qtbot)
    offered = [page.runtime.itemData(place) for place in range(page.runtime.count())]
    assert offered == ["auto", *RUNTIME_NAMES]
    page.show_runtime("cpu; not tensorrt: no NVIDIA GPU was found")
    assert "no NVIDIA GPU was found" in page.runtime_text.text()


@pytest.mark.parametrize(("code", "words"), [("", "Compiled"), ("; sys.exit(3)", "failed (3): layer 7 of 9")])
def test_engine_is_compiled_in_a_process_of_its_own(qtbot, code, words):
    program = f"import sys; print('layer 1 of 9'); print('layer 7 of 9'){code}"
    page = make_page(qtbot, command=[sys.executable, "-c", program])
    with qtbot.waitSignal(page.engine.ended, timeout=20_000):
        page.engine.button.click()
    assert words in page.engine.message.text()


def test_compiling_can_be_cancelled(qtbot):
    program = "import sys; print('layer 1 of 9', flush=True); sys.stdin.read()"
    page = make_page(qtbot, command=[sys.executable, "-c", program])
    with qtbot.waitSignal(page.engine._process.readyRead, timeout=20_000):
        page.engine.button.click()
    assert page.engine.message.text() == "layer 1 of 9"
    with qtbot.waitSignal(page.engine.ended, timeout=20_000):
        page.engine.button.click()
    assert "Cancelled" in page.engine.message.text()


def test_machine_that_cannot_compile_says_why(qtbot):
    page = make_page(qtbot)
    assert not page.engine.button.isEnabled()
    assert "GPU" in page.engine.message.text()


def test_microphones_that_were_found_elsewhere_can_be_chosen(qtbot):
    page = make_page(qtbot)
    told = told_by(page)
    page.source.offer([SourceChoice("USB, ALSA")])
    assert told == []
    page.source.box.setCurrentIndex(page.source.box.findText("USB, ALSA"))
    assert told[-1].device == "USB, ALSA"


def test_a_model_is_looked_at_only_where_another_is_named(qtbot, tmp_path):
    looked = []
    page = SettingsPage(MANIFEST, AppSettings(bundle=str(tmp_path)), looked.append, None, list)
    qtbot.addWidget(page, before_close_func=lambda page: page.close_process())
    page.bundle.editingFinished.emit()
    assert looked == []
    page.bundle.setText("/elsewhere")
    page.bundle.editingFinished.emit()
    assert [str(folder) for folder in looked] == ["/elsewhere"]
