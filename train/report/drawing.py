"""Figures as SVG text that sits inside a page: its colours follow the page's, its ids are its own, it loads nothing."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

INK = "#1f2021"
"""Stands for the page's own text colour, which replaces it in the SVG: light and dark pages share one figure."""
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that the colour-blind tell apart (Okabe and Ito), those with contrast on white and on black."""
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
"""Told apart without colour as well; the pairs with PALETTE serve eighteen lines."""
_SETTINGS: Any = {  # rc_context's own type names every key
    "svg.fonttype": "none",  # text stays text: found, copied, read aloud
    "svg.hashsalt": "sedge",  # the same figure is the same bytes
    "text.parse_math": False,  # a label may hold a dollar sign
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "lines.linewidth": 1.5,
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches, in the style of the page, while it is drawn."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the reader's fonts draw the text
        yield Figure(figsize=(width, height), layout="constrained")


def svg_text(figure: Figure, name: str) -> str:
    """The figure as an SVG element for a page; every id begins with `name`. To be called inside `drawing`."""
    target = io.StringIO()
    figure.savefig(
        target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    opening, _, content = text.partition(">")
    box = re.search(r'viewBox="[^"]*"', opening)
    opening = f'<svg {box[0] if box else ""} aria-hidden="true" focusable="false"'
    content = content.replace("xlink:href=", "href=").replace(INK, "currentColor")
    content = re.sub(r'\bid="', f'id="{name}-', content)
    content = re.sub(r'(href="|url\()#', rf"\1#{name}-", content)
    return f"{opening}>{content}".strip()


def line_style(place: int) -> dict[str, Any]:
    """Colour and dashes of the line numbered `place`, from 0."""
    return {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": DASHES[place // len(PALETTE) % len(DASHES)],
    }


def add_legend(figure: Figure, names: list[str], styles: list[dict[str, Any]], columns: int) -> None:
    """A legend above the figure's panels."""
    handles = [Line2D([], [], **style) for style in styles]
    shown = [f" {name}" if name.startswith("_") else name for name in names]  # else left out as private
    figure.legend(handles, shown, loc="outside upper left", ncols=columns, fontsize=8, handlelength=2.6)


def plain(text: str) -> str:
    """Text that a page can hold: bytes of names that were no text, and control characters, are replaced."""
    readable = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(character if character.isprintable() else "\ufffd" for character in readable)


def grid_lines(axes: Axes) -> None:
    """Faint lines at the ticks, under everything else."""
    axes.grid(visible=True)
    axes.set_axisbelow(True)
