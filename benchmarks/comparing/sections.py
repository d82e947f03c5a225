"""What the page of results shows: where they come from, and each benchmark's figures as pictures and as a table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from benchmarks.comparing import histograms
from benchmarks.comparing.drawings import MOST_ROWS, interval_picture
from benchmarks.comparing.numbers import range_text
from benchmarks.comparing.sources import Source, benchmarks_of
from benchmarks.figures import Figure, Result
from train.report.blocks import Block, Fold, Picture, Section, TableBlock, Text
from train.report.blocks import Source as SourceText
from train.report.tables import Cell, Table

NOT_THERE = "–"
LEAST_ROWS = 2
"""Of a picture."""
NUMBER = "number"
"""What stands for a unit where there is none."""
MINUTES = 16
"""Characters of a time up to its minutes."""
DIRECTIONS = {"lower": "lower is better", "higher": "higher is better"}


def sections(sources: Sequence[Source]) -> list[Section]:
    """The page: first what was measured where, then benchmark by benchmark."""
    parts = [Section("where", "What was measured, and where", [TableBlock(_origin_table(sources))])]
    for benchmark in benchmarks_of(sources):
        found = {source.name: source.of(benchmark) for source in sources}
        results = {name: result for name, result in found.items() if result is not None}
        parts.append(Section(benchmark, benchmark.capitalize(), list(_blocks(benchmark, results))))
    return parts


def _origin_table(sources: Sequence[Source]) -> Table:
    rows = [
        [
            Cell(f"{source.name}: {result.benchmark}"),
            Cell(result.measured_at[:MINUTES].replace("T", " ")),
            Cell(result.sedge_version),
            Cell(result.machine.text),
        ]
        for source in sources
        for result in source.results
    ]
    caption = "Every result of this page. Figures of unlike machines, threads or models do not compare."
    return Table(caption, ["Result", "Measured (UTC)", "Sedge", "Machine"], rows, is_text=True)


def _blocks(benchmark: str, results: Mapping[str, Result]) -> Iterator[Block]:
    yield Text(
        "A dot is the value, a line what it ranged over: from the 5th to the 95th percentile of the repeats, or from "
        "the least to the most of them. A dot without a line was measured once. Figures that are the only one in their "
        "unit stand in the table."
    )
    for number, (unit, better) in enumerate(_kinds(results)):
        yield from _pictures(benchmark, results, unit, better, number)
    if benchmark == histograms.BENCHMARK:
        yield from histograms.histogram_pictures(results)
    yield Fold("All figures", [TableBlock(_figure_table(results))])
    for name, result in results.items():
        text = json.dumps(result.settings, indent=2, ensure_ascii=False)
        yield Fold(f"Settings: {name}", [SourceText(text, f"Settings of {name}")])


def _kinds(results: Mapping[str, Result]) -> list[tuple[str, str]]:
    kinds = [(figure.unit, figure.better) for result in results.values() for figure in result.figures]
    return list(dict.fromkeys(kinds))


def _pictures(
    benchmark: str, results: Mapping[str, Result], unit: str, better: str, number: int
) -> Iterator[Picture]:
    columns = {
        name: [figure for figure in result.figures if (figure.unit, figure.better) == (unit, better)]
        for name, result in results.items()
    }
    names = list(dict.fromkeys(figure.name for figures in columns.values() for figure in figures))
    if len(names) < LEAST_ROWS:
        return
    for part, chosen in enumerate(packed(names)):
        drawn = {name: [each for each in figures if each.name in chosen] for name, figures in columns.items()}
        drawn = {name: figures for name, figures in drawn.items() if figures}
        shown = unit or NUMBER
        svg = interval_picture(drawn, shown, f"{benchmark}-{number}-{part}")
        alternative = f"{benchmark}, {shown}: {', '.join(chosen)}. The values are in the table below."
        yield Picture(svg, alternative, f"{shown}, {DIRECTIONS[better]}.")


def packed(names: Sequence[str]) -> Iterator[list[str]]:
    """Names in portions for a picture each; names that differ in their last part only stay together where they fit."""
    portion: list[str] = []
    for _, group in groupby(names, lambda name: name.rpartition(" / ")[0]):
        together = list(group)
        if portion and len(portion) + len(together) > MOST_ROWS:
            yield portion
            portion = []
        portion += together
        while len(portion) > MOST_ROWS:
            yield portion[:MOST_ROWS]
            portion = portion[MOST_ROWS:]
    if portion:
        yield portion


def _figure_table(results: Mapping[str, Result]) -> Table:
    by_name: dict[str, dict[str, Figure]] = {}
    for column, result in results.items():
        for figure in result.figures:
            by_name.setdefault(figure.name, {})[column] = figure
    rows = [_figure_row(name, found, list(results)) for name, found in by_name.items()]
    return Table("Value (from - to)", ["Figure", "Unit", *results, "Repeats"], rows)


def _figure_row(name: str, found: Mapping[str, Figure], columns: Sequence[str]) -> list[Cell]:
    first = next(iter(found.values()))
    values = [Cell(range_text(found[column]) if column in found else NOT_THERE) for column in columns]
    counts = ", ".join(str(found[column].count) for column in columns if column in found)
    return [Cell(name), Cell(first.unit or NUMBER), *values, Cell(counts)]
