"""Colours: readable on their backgrounds, and tables that run one way."""

import numpy as np
import pytest

from edge_app.views.palette import ON_DARK, ON_LIGHT, contrast, heat_table, label_colours, shade_table
from edge_app.views.theme import DARK, LIGHT, Theme

GRAPHICS_CONTRAST, TEXT_CONTRAST = 3.0, 4.5  # WCAG 2.2, level AA
THEMES = (DARK, LIGHT)


def test_contrast_of_known_pairs():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == pytest.approx(1)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
def test_label_colours_stand_out_from_both_kinds_of_lane(theme: Theme):
    for colour in ON_DARK if theme.is_dark else ON_LIGHT:
        assert contrast(colour, theme.canvas) >= GRAPHICS_CONTRAST
        assert contrast(colour, theme.window) >= GRAPHICS_CONTRAST


@pytest.mark.parametrize("theme", THEMES)
def test_words_are_readable(theme: Theme):
    pairs = [
        (theme.text, theme.window),
        (theme.text, theme.canvas),
        (theme.muted, theme.window),
        (theme.on_warning, theme.warning),
        (theme.on_accent, theme.accent),
    ]
    assert all(contrast(one, other) >= TEXT_CONTRAST for one, other in pairs)


def test_a_label_keeps_its_hue_and_ten_labels_differ():
    labels = [f"label {i}" for i in range(10)]
    for is_dark in (True, False):
        assert len(set(label_colours(labels, is_dark).values())) == 10


@pytest.mark.parametrize("is_dark", [True, False])
def test_louder_is_further_from_the_background(is_dark: bool):
    brightness = heat_table(is_dark).astype(float) @ np.array([0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(brightness) * (1 if is_dark else -1) >= -0.5)  # rounding to bytes
    assert heat_table(is_dark).shape == (256, 3)


def test_shade_runs_from_clear_to_a_light_shade():
    alpha = shade_table("#102030")[:, 3].astype(int)
    assert alpha[0] == 0
    assert 0 < alpha[-1] < 255
    assert np.all(np.diff(alpha) >= 0)
