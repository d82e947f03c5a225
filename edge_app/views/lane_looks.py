"""How lanes look: outline and filling of every state, names, and bars of one height."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QBrush, QColor, QPen

from edge_app.views.theme import Theme

Bars = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]
"""Onsets and offsets in seconds, and lanes."""


def look_of(state: str, colour: str, theme: Theme) -> tuple[QPen, QBrush]:
    """Outline and filling of a state in a label's colour."""
    fill = QColor(colour)
    looks: dict[str, Callable[[], tuple[QPen, QBrush]]] = {
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


def empty_bars() -> pg.BarGraphItem:
    """Nothing yet."""
    return pg.BarGraphItem(x0=np.empty(0), x1=np.empty(0), y0=np.empty(0), y1=np.empty(0))


def draw_bars(bars: pg.BarGraphItem, spans: Bars, height: float, looks: Mapping[str, Any]) -> None:
    """Bars of one height in the middle of their lanes."""
    onsets, offsets, lanes = spans
    top = lanes + (1 - height) / 2
    if not len(lanes):
        bars.setOpts(x0=np.empty(0), x1=np.empty(0), y0=np.empty(0), y1=np.empty(0), pens=None, brushes=None)
        return
    bars.setOpts(x0=onsets, x1=offsets, y0=top, y1=top + height, **looks)
