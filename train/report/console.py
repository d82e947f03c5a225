"""The rows of a run as a table for the terminal."""

from collections.abc import Iterable

from rich.table import Table

from train.report.rows import FIGURES, HEADLINE, Row, Spread


def rows_table(rows: Iterable[Row]) -> Table:
    """System, seeds and the published table's three figures, mean and spread; systems not measured are left out."""
    table = Table("", "seeds", *(FIGURES[name] for name in HEADLINE))
    for row in rows:
        spreads = [row.spread(name) for name in HEADLINE]
        if any(spreads):
            table.add_row(row.name, ", ".join(row.seeds) or "-", *map(_shown, spreads))
    return table


def _shown(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.mean:.3f}" + (f" ± {spread.deviation:.3f}" if spread.deviation is not None else "")
