"""How lanes look: outline and filling of every state, names, and bars of one height."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QBrush, QColor, QPen

from edge_app.views.theme import Theme
from edge_app.views.timeline.bars import Bars, Look

Spans = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]
"""Onsets and offsets in seconds, and lanes."""


def look_of(state: str, colour: str, theme: Theme) -> Look:
    """Outline and filling of a state in a label's colour."""
    fill = QColor(colour)
    looks: dict[str, Callable[[], Look]] = {
        "closed": lambda: (outline(colour, 1), QBrush(fill)),
        "confirmed": lambda: (outline(theme.text, 2), QBrush(fill)),
        "provisional": lambda: (
            outline(colour, 1.5, Qt.PenStyle.DashLine),
            QBrush(fill, Qt.BrushStyle.BDiagPattern),
        ),
        "preview": lambda: (QPen(Qt.PenStyle.NoPen), QBrush(fill, Qt.BrushStyle.Dense4Pattern)),
        "gap": lambda: (outline(theme.gap, 1), QBrush(QColor(theme.gap), Qt.BrushStyle.DiagCrossPattern)),
        "what_if": lambda: (outline(theme.text, 2, Qt.PenStyle.DotLine), QBrush()),
    }
    return looks[state]()


def outline(colour: str, width: float, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QPen:
    """A line of so many pixels, whatever the scale."""
    pen = QPen(QColor(colour), width, style)
    pen.setCosmetic(True)
    return pen


def lane_name(event_label: str, is_enabled: bool = True) -> str:
    """A label as people read it."""
    name = event_label.replace("_", " ")
    return name if is_enabled else f"{name} (off)"


def enumerate_centres(names: Sequence[str]) -> list[tuple[float, str]]:
    """Each name with the middle of its lane."""
    return [(lane + 0.5, name) for lane, name in enumerate(names)]


def draw_bars(bars: Bars, spans: Spans, height: float, looks: Sequence[Look]) -> None:
    """Bars of one height in the middle of their lanes; one look for all, or one for each."""
    rects = [
        QRectF(onset_s, lane + (1 - height) / 2, offset_s - onset_s, height)
        for onset_s, offset_s, lane in zip(*(one.tolist() for one in spans), strict=True)
    ]
    bars.show_bars(rects, list(looks) * len(rects) if len(looks) == 1 else looks)
