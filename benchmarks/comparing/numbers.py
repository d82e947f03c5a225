"""Figures as text."""

import math

from benchmarks.figures import Figure

DIGITS = 3


def number_text(value: float) -> str:
    """Three digits, more where they are whole: 0.0123, 1.23, 1,235."""
    if value == 0:
        return "0"
    places = DIGITS - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, places)}f}" if places <= 2 * DIGITS else f"{value:.{DIGITS - 1}e}"


def range_text(figure: Figure) -> str:
    """The value, and in brackets from where to where it went."""
    if figure.low is None or figure.high is None:
        return number_text(figure.value)
    return f"{number_text(figure.value)} ({number_text(figure.low)} – {number_text(figure.high)})"
