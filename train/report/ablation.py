"""What each ingredient of MLFL is worth: variants without it against the full model, seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from train.report.rows import FIGURES, HEADLINE, Row, Spread, row_of
from train.report.tables import NOT_MEASURED, Cell, Table, gained, shown

_LEFT_OUT = ("without", "no")


@dataclass(frozen=True)
class Difference:
    """A variant's figure less the full model's."""

    spread: Spread
    seeds: tuple[str, ...]
    """Seeds that both were trained from; without any, means over different seeds are compared."""

    @property
    def is_help(self) -> bool:
        """Whether the full model is better at all."""
        return self.spread.mean < 0

    @property
    def is_within_spread(self) -> bool:
        """Whether the seeds' differences vary by more than their mean, so that chance may be all there is."""
        return self.spread.deviation is not None and abs(self.spread.mean) <= self.spread.deviation


def full_model(rows: Sequence[Row]) -> Row:
    """What variants are compared with: `ablation/full` where it is there, else MLFL."""
    return next((row for row in rows if row.group == "ablation" and row.key == "full"), row_of(rows, "mlfl"))


def difference(variant: Row, full: Row, figure: str) -> Difference | None:
    """A variant's figure less the full model's, paired by seed where both have some; None where either lacks it."""
    theirs, ours = variant.values(figure), full.values(figure)
    shared = [seed for seed in theirs if seed in ours]
    if shared:
        paired = Spread.over([theirs[seed] - ours[seed] for seed in shared])
        return None if paired is None else Difference(paired, tuple(shared))
    mean, full_mean = variant.spread(figure), full.spread(figure)
    if mean is None or full_mean is None:
        return None
    return Difference(Spread(mean.mean - full_mean.mean, None, 1), ())


def ablation_table(rows: Sequence[Row]) -> Table | None:
    """Variants and their differences to the full model; None where no variant was measured."""
    full, variants = full_model(rows), variants_of(rows)
    if not variants:
        return None
    body = [[Cell(f"Full {full.name}" if full.key == "mlfl" else full.name), *_cells(full, None)]]
    body += [[Cell(variant.name), *_cells(variant, full)] for variant in variants]
    heads = [FIGURES[figure] for figure in HEADLINE]
    caption = (
        "Variants of MLFL: mean over seeds, and the difference to the full model "
        "(mean over the seeds that both have ± its sample standard deviation)"
    )
    groups = [("", 2), ("Figures", len(heads)), ("Difference to the full model", len(heads))]
    return Table(caption, ["Variant", "Seeds", *heads, *heads], body, groups)


def variants_of(rows: Sequence[Row]) -> list[Row]:
    """The variants that are compared with the full model."""
    full = full_model(rows)
    return [row for row in rows if row.group == "ablation" and row is not full]


def unhelpful_sentences(rows: Sequence[Row]) -> list[str]:
    """Sentences on each variant that is not worse than the full model on some figure, or not clearly so.

    Where there are none, one that says so.
    """
    full = full_model(rows)
    found = [sentence for variant in variants_of(rows) for sentence in _sentences(variant, full)]
    return found or [_all_help(rows)]


def _all_help(rows: Sequence[Row]) -> str:
    full = full_model(rows)
    found = [difference(variant, full, figure) for variant in variants_of(rows) for figure in HEADLINE]
    known = [one for one in found if one is not None]
    if not known:
        return "No variant has a figure in common with the full model."
    if any(one.spread.deviation is None for one in known):
        return "Every variant is below the full model; where that is one seed, chance may decide."
    return "Every variant is below the full model by more than the seeds differ."


def _cells(row: Row, full: Row | None) -> list[Cell]:
    means = [row.spread(figure) for figure in HEADLINE]
    cells = [Cell(", ".join(row.seeds) or "–")]
    cells += [Cell(NOT_MEASURED if mean is None else shown(mean.mean)) for mean in means]
    if full is None:
        return [*cells, *[Cell("–")] * len(HEADLINE)]
    return cells + [_difference_cell(difference(row, full, figure)) for figure in HEADLINE]


def _difference_cell(found: Difference | None) -> Cell:
    if found is None:
        return Cell(NOT_MEASURED)
    deviation = found.spread.deviation
    return Cell(gained(found.spread.mean), "" if deviation is None else f"± {shown(deviation)}")


def _sentences(variant: Row, full: Row) -> list[str]:
    found = {figure: difference(variant, full, figure) for figure in HEADLINE}
    known = {figure: one for figure, one in found.items() if one is not None}
    useless = {figure: one for figure, one in known.items() if not one.is_help}
    unclear = {figure: one for figure, one in known.items() if one.is_help and one.is_within_spread}
    change, ingredient = _named(variant)
    sentences = []
    if useless:
        sentences.append(
            f"{change} does not lower {_listed(useless)}: {ingredient} does not help there ({_evidence(useless)})."
        )
    if unclear:
        sentences.append(
            f"{change} lowers {_listed(unclear)}, which is no more than the seeds differ: "
            f"that {ingredient} helps there is not shown ({_evidence(unclear)})."
        )
    return sentences


def _named(variant: Row) -> tuple[str, str]:
    """What a variant does, and what the full model has instead."""
    first, _, rest = variant.name.partition(" ")
    if first.lower() in _LEFT_OUT and rest:
        return f"Leaving out “{rest}”", "the ingredient"
    return f"The variant “{variant.name}”", "what the full model has instead"


def _listed(differences: dict[str, Difference]) -> str:
    """Figures with what the variant has more or less, as a list in words."""
    named = [f"{FIGURES[figure]} ({gained(one.spread.mean)})" for figure, one in differences.items()]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _evidence(differences: dict[str, Difference]) -> str:
    counts = sorted({len(one.seeds) for one in differences.values()})
    if counts[0] == 0:
        return "trained from different seeds"
    return "one seed, so chance may decide" if counts == [1] else f"{counts[0]} seeds"
