"""`sedge bench-compare`: what became faster and what slower from one result file to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.comparing.numbers import range_text
from benchmarks.comparing.ratios import Comparison, Ratio, compare_files
from benchmarks.report import read_results, report_console, say
from edge_app.core.errors import EXIT_DONE, SedgeError

DESCRIPTION = """Compare two files of results, figure by figure: the ratio of B to A, what it may be by the spread of
the repeats, and which is better. Where spreads overlap there is no difference to tell; where they lie apart, but those
of alike programs would in more than one case of twenty, there were too few repeats: four on each side are enough.
Spreads are of one run each: what differs from run to run (a busy machine, its clock) only a second run shows. Results
of unlike machines, numbers of threads or models are refused unless --across-machines is given.

Exit code 0 means compared, 2 wrong use or refused."""


@dataclass(frozen=True)
class BenchCompare:
    """Arguments of `sedge bench-compare`."""

    first: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A.json")]
    """What is compared against."""
    second: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B.json")]
    """What is compared."""
    across_machines: bool = False
    """Compare although the machines, threads or models differ; what differs is said first."""


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-compare`; returns 0. Raises SedgeError for files that are no results, and unlike ones."""
    args = tyro.cli(
        BenchCompare,
        args=list(argv),
        prog="sedge bench-compare",
        description=DESCRIPTION,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    first, second = read_results(args.first), read_results(args.second)
    try:
        comparisons = compare_files(first, second)
    except SedgeError as error:
        raise SedgeError(f"{args.first}, {args.second}: {error}") from error
    if not args.across_machines:
        check_alike(comparisons)
    console = report_console()
    show(args, comparisons, console)
    for side, ours, theirs in (("A", first, second), ("B", second, first)):
        others = {result.benchmark for result in theirs}
        if names := [result.benchmark for result in ours if result.benchmark not in others]:
            say(console, f"Only in {side}, not compared: {', '.join(names)}")
    return EXIT_DONE


def check_alike(comparisons: Sequence[Comparison]) -> None:
    """Raise SedgeError where figures are those of different machines, threads or models."""
    for comparison in comparisons:
        if comparison.unlike:
            differences = "; ".join(difference.text for difference in comparison.unlike)
            raise SedgeError(
                f"{comparison.benchmark}: expected results of one machine, number of threads and model, found "
                f"{differences} (--across-machines compares them all the same)"
            )


def show(args: BenchCompare, comparisons: Sequence[Comparison], console: Console) -> None:
    """Print what differs, and a table for each benchmark."""
    unlike = dict.fromkeys(difference.text for each in comparisons for difference in each.unlike)
    if unlike:
        say(
            console,
            "UNLIKE: these figures are of different things; a ratio says nothing about the program alone.",
        )
        for text in unlike:
            say(console, f"  {text}")
    say(console, f"A: {args.first}")
    say(console, f"B: {args.second}")
    for comparison in comparisons:
        _show_one(comparison, console)


def _show_one(comparison: Comparison, console: Console) -> None:
    for difference in comparison.told:
        say(console, f"  {comparison.benchmark}: {difference.text}")
    if comparison.ratios:
        console.print(ratio_table(comparison))
    for side, names in (("A", comparison.only_first), ("B", comparison.only_second)):
        if names:
            say(console, f"Only in {side}: {'; '.join(names)}")


def ratio_table(comparison: Comparison) -> Table:
    """A row for each figure that both have."""
    table = Table(comparison.benchmark, "unit", "A", "B", "B / A", "by the spread", "B is")
    for ratio in comparison.ratios:
        table.add_row(*ratio_cells(ratio))
    return table


def ratio_cells(ratio: Ratio) -> list[str]:
    """One figure of both, as text."""
    by_value = "–" if ratio.ratio is None else f"{ratio.ratio:.2f}"
    spread = "–" if ratio.low is None or ratio.high is None else f"{ratio.low:.2f} – {ratio.high:.2f}"
    texts = [range_text(figure) for figure in (ratio.first, ratio.second)]
    return [escape(ratio.first.name), escape(ratio.first.unit), *texts, by_value, spread, ratio.verdict]
