"""Presets shift all thresholds against the model's own, and are recognised again."""

import pytest

pytest.importorskip("PyQt6")
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.bundle import load_bundle
from edge_app.core.decode import LabelDecoding
from edge_app.store.settings import AppSettings, LabelSettings
from edge_app.views.settings.presets import HIGHEST, LOWEST, PRESETS, preset_of, preset_words, with_preset
from edge_app.views.settings.settings_words import with_decoding

MANIFEST = load_bundle().manifest


def on(settings, manifest=MANIFEST):
    return {label: one.threshold_on for label, one in settings.decoding(manifest.decoding).items()}


@pytest.mark.parametrize(("preset", "shift"), [("quiet", 0.1), ("balanced", 0.0), ("sensitive", -0.1)])
def test_preset_shifts_every_threshold_within_the_limits(preset, shift):
    moved = on(with_preset(AppSettings(), MANIFEST, preset))
    for label, own in MANIFEST.decoding.items():
        expected = min(max(own.threshold_on + shift, LOWEST), HIGHEST) if shift else own.threshold_on
        assert moved[label] == pytest.approx(expected, abs=0.0051)


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_is_recognised_and_has_words(preset):
    settings = AppSettings(labels={"Dog": LabelSettings(threshold_on=0.33)})
    assert preset_of(with_preset(settings, MANIFEST, preset), MANIFEST) == preset
    assert all(preset_words(preset))


def test_preset_keeps_all_that_is_no_threshold():
    kept = LabelSettings(enabled=False, save_audio=True, median_frames=9, min_on_s=1.5, threshold_on=0.9)
    settings = with_preset(AppSettings(theme="dark", labels={"Dog": kept}), MANIFEST, "quiet")
    dog = settings.label("Dog")
    assert (dog.enabled, dog.save_audio, dog.median_frames, dog.min_on_s) == (False, True, 9, 1.5)
    assert settings.theme == "dark"
    assert with_preset(settings, MANIFEST, "balanced").label("Dog") == kept.model_copy(
        update={"threshold_on": None}
    )


@given(st.floats(0.01, 0.999), st.floats(0.0, 1.0), st.sampled_from(["quiet", "sensitive"]))
def test_preset_is_valid_and_never_moves_the_wrong_way(threshold_on, share, preset):
    own = LabelDecoding(threshold_on=threshold_on, threshold_off=max(0.001, threshold_on * share))
    manifest = MANIFEST.model_copy(update={"decoding": dict.fromkeys(MANIFEST.event_labels, own)})
    settings = with_preset(AppSettings(), manifest, preset)
    valid = AppSettings.model_validate(settings.model_dump())
    rules = valid.decoding(manifest.decoding)["Dog"]
    assert rules.off <= rules.threshold_on
    moved = rules.threshold_on - threshold_on
    assert moved >= -0.0091 if preset == "quiet" else moved <= 0.0051


def test_settings_take_a_decoding_over_and_leave_the_rest():
    settings = AppSettings(labels={"Cat": LabelSettings(save_audio=True)})
    in_force = settings.decoding(MANIFEST.decoding)
    assert with_decoding(settings, MANIFEST, in_force) == settings
    wanted = {
        **in_force,
        "Cat": in_force["Cat"].model_copy(update={"threshold_on": 0.8, "threshold_off": 0.7}),
    }
    changed = with_decoding(settings, MANIFEST, wanted)
    assert changed.label("Cat") == LabelSettings(save_audio=True, threshold_on=0.8, threshold_off=0.7)
    assert set(changed.labels) == {"Cat"}
    assert preset_of(changed, MANIFEST) == "own"
