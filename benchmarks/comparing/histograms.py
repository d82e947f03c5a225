"""How long onsets took to become news, as `sedge bench-live` counted them: bars for each kind of news."""

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from benchmarks.figures import Result
from train.report.blocks import Picture
from train.report.drawing import PALETTE, add_legend, drawing, grid_lines, plain, svg_text

BENCHMARK = "live"
WIDTH, HEIGHT = 9.0, 2.6


def histogram_pictures(results: Mapping[str, Result]) -> Iterator[Picture]:
    """A picture for each run of each result that holds counts; nothing for results without them."""
    for column, (name, result) in enumerate(results.items()):
        for number, run in enumerate(_runs(result)):
            counts = {str(state): found for state, found in run["histogram"].items() if found}
            if not counts:
                continue
            svg = _bars(counts, float(run["histogram_bin_s"]), f"histogram-{column}-{number}")
            title = f"{plain(name)}: seconds from an onset to its news, busy processes beside: {run['load']}"
            told = "; ".join(f"{state} {sum(found.values())} onsets" for state, found in counts.items())
            yield Picture(svg, f"Histogram. {title}. {told}.", f"{title}.")


def _runs(result: Result) -> list[Mapping[str, Any]]:
    runs = result.details.get("runs", []) if isinstance(result.details, Mapping) else []
    needed = {"histogram", "histogram_bin_s", "load"}
    return [run for run in runs if isinstance(run, Mapping) and needed <= run.keys()]


def _bars(counts: Mapping[str, Mapping[str, int]], bin_s: float, name: str) -> Markup:
    with drawing(WIDTH, HEIGHT) as figure:
        axes, width = figure.add_subplot(), bin_s / len(counts)
        styles = [{"color": PALETTE[place % len(PALETTE)], "linewidth": 6} for place in range(len(counts))]
        for place, found in enumerate(counts.values()):
            begins = [float(begin) + place * width for begin in found]
            axes.bar(begins, list(found.values()), 0.9 * width, align="edge", color=styles[place]["color"])
        axes.set_xlabel("seconds")
        axes.set_ylabel("onsets")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        grid_lines(axes)
        add_legend(figure, [plain(state) for state in counts], styles, 2)
        return Markup(svg_text(figure, name))
