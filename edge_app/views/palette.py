"""Colours of labels and of the spectrogram: told apart with any colour vision, readable on dark and on light.

The hues are those of Okabe and Ito's palette and a few more, each in a tone for either background. Colour is never the
only sign: a lane has its label's name, and a state has its pattern.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

ON_DARK = (
    *("#f0a830", "#56b4e9", "#2bc79a", "#f0e442", "#6fa8ff"),
    *("#f2743a", "#e08bbe", "#b8a9f5", "#9adbcb", "#d9b38c"),
)
ON_LIGHT = (
    *("#a86200", "#1e7fb8", "#007a58", "#7d6e00", "#0050a0"),
    *("#b84300", "#a8457f", "#5b45b0", "#2f7f75", "#7a5230"),
)
TABLE_SIZE = 256
HEAT_POWER = 1.7  # keeps the noise of a quiet room dark, so that sounds stand out
HEAT_ON_DARK = ("#0b0d12", "#1b1446", "#4a1a78", "#8c2981", "#d1426f", "#f8765c", "#fdb32f", "#fcfdbf")
HEAT_ON_LIGHT = ("#ffffff", "#dfe9f5", "#b5cfe8", "#7fb0d8", "#4a8bc2", "#2a64a0", "#173f78", "#0a1c44")
MOST_SHADE = 110
"""Opacity, of 255, of a lane's shading where the score is 1: events on top of it stay plain to see."""


def label_colours(event_labels: Sequence[str], is_dark: bool) -> Mapping[str, str]:
    """A colour for each label, by its place in the model, so that it is the same wherever the label is shown."""
    tones = ON_DARK if is_dark else ON_LIGHT
    return {label: tones[i % len(tones)] for i, label in enumerate(event_labels)}


def heat_table(is_dark: bool) -> NDArray[np.uint8]:
    """Colours of the spectrogram from quiet to loud, shape (256, 3)."""
    stops = np.array([rgb(colour) for colour in (HEAT_ON_DARK if is_dark else HEAT_ON_LIGHT)])
    places = np.linspace(0, 1, TABLE_SIZE) ** HEAT_POWER * (len(stops) - 1)
    columns = [np.interp(places, np.arange(len(stops)), stops[:, i]) for i in range(3)]
    return np.stack(columns, axis=1).round().astype(np.uint8)


def shade_table(colour: str) -> NDArray[np.uint8]:
    """One colour from clear to a light shade, for scores, shape (256, 4)."""
    table = np.empty((TABLE_SIZE, 4), np.uint8)
    table[:, :3] = rgb(colour)
    table[:, 3] = np.linspace(0, MOST_SHADE, TABLE_SIZE).round()
    return table


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, each 0 to 255, of "#rrggbb"."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    shares = np.array(rgb(colour)) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))
