"""Figures of results as pictures: a dot for each value, a line for what it ranged over."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from benchmarks.figures import Figure
from train.report.drawing import PALETTE, add_legend, drawing, grid_lines, plain, svg_text

MOST_ROWS = 24
WIDE = 30.0
"""Values that lie further apart than this many times are drawn on a logarithmic axis."""
MARKERS = "osD^v*"
WIDTH, ROW_HEIGHT, FRAME_HEIGHT = 9.0, 0.26, 1.1


def interval_picture(columns: Mapping[str, Sequence[Figure]], unit: str, name: str) -> Markup:
    """One row for each figure name, one mark in it for each column that has it; all figures have this unit."""
    rows = list(dict.fromkeys(figure.name for figures in columns.values() for figure in figures))
    height = FRAME_HEIGHT + ROW_HEIGHT * len(rows) * (1 + 0.5 * (len(columns) - 1))
    with drawing(WIDTH, height) as figure:
        axes = figure.add_subplot()
        for place, figures in enumerate(columns.values()):
            shift = 0.6 * ((place + 0.5) / len(columns) - 0.5)
            for each in figures:
                _mark(axes, rows.index(each.name) + shift, each, place)
        axes.set_yticks(range(len(rows)), [plain(row) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        if _is_wide([each for figures in columns.values() for each in figures]):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        else:
            axes.set_xlim(left=0)
        axes.set_xlabel(unit)
        grid_lines(axes)
        if len(columns) > 1:
            styles = [{**_style(place), "linestyle": ""} for place in range(len(columns))]
            add_legend(figure, [plain(column) for column in columns], styles, 2)
        return Markup(svg_text(figure, name))


def _mark(axes: Axes, row: float, figure: Figure, place: int) -> None:
    if figure.low is not None and figure.high is not None:
        axes.plot([figure.low, figure.high], [row, row], color=_style(place)["color"], alpha=0.6)
    axes.plot([figure.value], [row], linestyle="", **_style(place))


def _style(place: int) -> dict[str, Any]:
    return {"color": PALETTE[place % len(PALETTE)], "marker": MARKERS[place % len(MARKERS)]}


def _is_wide(figures: Sequence[Figure]) -> bool:
    values = [end for figure in figures for end in (figure.value, figure.low, figure.high) if end is not None]
    return min(values) > 0 and max(values) / min(values) > WIDE
