"""`sedge ablate`: what each ingredient of a run's MLFL is worth."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table

from edge_app.core.errors import EXIT_DONE, SedgeError
from train.commands.run_arguments import RunArguments, find_run
from train.fitting import distributed
from train.pipeline.ablation import REPORT, VARIANTS, ablate, rewrite_report
from train.pipeline.run import Run
from train.report.ablation import difference, full_model, variants_of
from train.report.console import print_table
from train.report.rows import FIGURES, HEADLINE, Row, report_rows
from train.report.tables import gained, shown

_FEWEST_SEEDS = 2  # one seed cannot say whether a difference is more than chance


@dataclass(frozen=True)
class Ablate(RunArguments):
    """Arguments of `sedge ablate`."""

    variants: tuple[str, ...] = ()
    """Variants to train, by default all that change something in the recipe."""
    seeds: tuple[int, ...] = ()
    """Seeds to train each from, by default the recipe's first two."""
    anew: tuple[str, ...] = ()
    """Variants, among those to train, whose files of these seeds are removed first."""


def main(argv: Sequence[str]) -> int:
    """`sedge ablate`; returns 0, or raises SedgeError."""
    listed = ". ".join(f"{name}: {variant.about}" for name, variant in VARIANTS.items())
    description = (
        "Train variants of a run's MLFL, each without one ingredient, and compare them with it. The run must have its "
        "pseudo labels (`sedge train RECIPE --until pseudo-label`); run it again to resume. "
        f"Variants: {listed}."
    )
    args = tyro.cli(Ablate, args=list(argv), prog="sedge ablate", description=description)
    run = find_run(args)
    variants, seeds = chosen_variants(args, run), chosen_seeds(args, run)
    distributed.start()
    try:
        ablate(run, variants, seeds, args.anew)
        if distributed.is_first():
            _finish(run)
    finally:
        distributed.stop()
    return EXIT_DONE


def chosen_variants(args: Ablate, run: Run) -> tuple[str, ...]:
    """The variants to train. Raises SedgeError for one that is unknown, or that the recipe does not differ from."""
    settings = run.recipe.mlfl.loss
    effective = [name for name, variant in VARIANTS.items() if variant.applied(settings) != settings]
    for name in (*args.variants, *args.anew):
        if name not in VARIANTS:
            near = difflib.get_close_matches(name, VARIANTS, n=1, cutoff=0.4)
            advice = f"did you mean {near[0]}?" if near else f"expected some of {', '.join(VARIANTS)}"
            raise SedgeError(f"{name}: unknown variant: {advice}")
        if name not in effective:
            raise SedgeError(
                f"{name}: expected a variant of [mlfl.loss] in the recipe, found what it has already"
            )
    chosen = tuple(dict.fromkeys(args.variants or effective))
    apart = [name for name in args.anew if name not in chosen]
    if apart:
        raise SedgeError(f"--anew {apart[0]}: expected one of --variants ({', '.join(chosen)})")
    return chosen


def chosen_seeds(args: Ablate, run: Run) -> tuple[int, ...]:
    """The seeds to train from. Raises SedgeError for one below 0."""
    seeds = tuple(dict.fromkeys(args.seeds or run.recipe.seeds[:_FEWEST_SEEDS]))
    if min(seeds) < 0:
        raise SedgeError(f"--seeds: expected numbers from 0, found {min(seeds)}")
    return seeds


def comparison_table(rows: Sequence[Row]) -> Table:
    """Figures of each variant (means over its seeds), and how they differ from the full model's of the same seeds."""
    full = full_model(rows)
    table = Table(title="MLFL, and the difference (Δ) to the full model of the same seeds")
    for head in ("Variant", "Seeds"):
        table.add_column(head, no_wrap=True)
    for figure in HEADLINE:
        table.add_column(FIGURES[figure], justify="right", no_wrap=True)
        table.add_column("Δ", justify="right")
    for row in (full, *variants_of(rows)):
        if row.by_seed:
            cells = [cell for figure in HEADLINE for cell in _cells(row, full, figure)]
            table.add_row(f"full {full.name}" if row is full else row.key, ", ".join(row.seeds), *cells)
    return table


def _cells(row: Row, full: Row, figure: str) -> tuple[str, str]:
    mean, found = row.spread(figure), None if row is full else difference(row, full, figure)
    value = "" if mean is None else shown(mean.mean)
    if found is None or not found.seeds:
        return value, ""
    deviation = found.spread.deviation
    return value, gained(found.spread.mean) + ("" if deviation is None else f" ± {shown(deviation)}")


def _finish(run: Run) -> None:
    is_rewritten = rewrite_report(run)
    print_table(comparison_table(report_rows(run.folder)))
    if is_rewritten:
        Console().print(f"report: {run.folder / REPORT}", soft_wrap=True, highlight=False)
