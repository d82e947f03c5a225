"""Figures as tables on the terminal, or in the file that output goes to."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from train.report.rows import FIGURES, HEADLINE, Row, Spread

_UNBOUNDED = 10_000  # columns


def rows_table(rows: Iterable[Row]) -> Table:
    """System, seeds and the published table's three figures, mean and spread; systems not measured are left out."""
    table = Table("", "seeds", *(FIGURES[name] for name in HEADLINE))
    for row in rows:
        spreads = [row.spread(name) for name in HEADLINE]
        if any(spreads):
            table.add_row(row.name, ", ".join(row.seeds) or "-", *map(_shown, spreads))
    return table


def print_table(table: Table) -> None:
    """Print it as wide as the terminal; where there is none, as wide as its content."""
    console = Console()
    if not console.is_terminal:
        unbounded = console.options.update(max_width=_UNBOUNDED)
        console = Console(width=max(console.width, console.measure(table, options=unbounded).maximum))
    console.print(table)


def _shown(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.mean:.3f}" + (f" ± {spread.deviation:.3f}" if spread.deviation is not None else "")
