"""Tables of the report: what stands in each cell, as text. Nothing is filled in for what was not measured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from train.report.rows import FIGURES, HEADLINE, SINGLE, Row, Spread, event_labels, row_of

NOT_MEASURED = "not measured"
PUBLISHED = {
    "Baseline": (0.342, 0.527, 0.401),
    "Result 1": (0.401, 0.597, 0.550),
    "Result 2": (0.396, 0.587, 0.547),
    "Result 3": (0.392, 0.585, 0.542),
    "Result 4": (0.398, 0.599, 0.549),
}
"""PSDS 1, PSDS 2 and event F1 on the validation set of DESED: Tian et al. 2021, Table 1."""
_HEADS = {
    "context_frames": "Context, frames",
    "filter_frames": "Median filter, frames",
    "threshold": "Threshold",
    "f1": "F1",
    "tag_threshold": "Tag threshold",
    "tag_f1": "Tag F1",
}
_HASH_DIGITS = 12
_SHORT = {"baseline": "Baseline", "tag_cnn": "Tag CNN"}
_LABEL_FIGURES = {"event_f1": "Event F1", "psds1": "PSDS 1", "psds2": "PSDS 2"}


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and a smaller remark after it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table: the first cell of each row names the row; `groups` head several columns together (title, columns)."""

    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    groups: list[tuple[str, int]] = field(default_factory=list)
    is_text: bool = False
    """Cells hold words rather than figures."""


def shown(value: float) -> str:
    """A figure to three digits."""
    return f"{value:.3f}"


def gained(difference: float) -> str:
    """A difference to three digits, with its sign."""
    text = f"{difference:+.3f}"
    return text.replace("-", "−") if float(text) else "+0.000"


def spread_cell(spread: Spread | None) -> Cell:
    """Mean and standard deviation over seeds."""
    if spread is None:
        return Cell(NOT_MEASURED)
    return Cell(shown(spread.mean), "" if spread.deviation is None else f"± {shown(spread.deviation)}")


def published_table(rows: Sequence[Row], set_name: str) -> Table:
    """The published table beside this run's figures, each with what it gains over its own baseline."""
    ours = [row_of(rows, "baseline"), *(row for row in rows if row.group == "result")]
    body = []
    for (name, published), row in zip(PUBLISHED.items(), ours, strict=True):
        cells = [
            _with_gain(value, PUBLISHED["Baseline"][i], row is ours[0]) for i, value in enumerate(published)
        ]
        cells += [
            _gain_cell(row.spread(figure), ours[0].spread(figure), row is ours[0]) for figure in HEADLINE
        ]
        body.append([Cell(name, _seed_note(row)), *cells])
    heads = [FIGURES[figure] for figure in HEADLINE]
    groups = [("", 1), ("As published, DESED validation", 3), (f"This run, {set_name}", 3)]
    caption = (
        "Table 1 of Tian et al. (2021) beside this run. Small figures: gain over the same columns' baseline."
    )
    return Table(caption, ["Model", *heads, *heads], body, groups)


def single_table(rows: Sequence[Row]) -> Table:
    """Single systems: mean and spread over seeds of every figure."""
    body = [
        [Cell(row.name, ""), Cell(_seeds_text(row)), *(spread_cell(row.spread(figure)) for figure in FIGURES)]
        for row in (row_of(rows, key) for key in SINGLE)
    ]
    caption = "Single systems: mean over seeds ± sample standard deviation"
    return Table(caption, ["System", "Seeds", *FIGURES.values()], body)


def ensemble_table(rows: Sequence[Row]) -> Table:
    """Every figure of the four results."""
    body = [
        [Cell(row.name), *(spread_cell(row.spread(figure)) for figure in FIGURES)]
        for row in rows
        if row.group == "result"
    ]
    return Table("Ensembles: every figure of the four results", ["Result", *FIGURES.values()], body)


def composition_table(rows: Sequence[Row]) -> Table | None:
    """Which systems each result is the mean of, with their weights; None where that is not recorded."""
    body = []
    for row in rows:
        about = next(iter(row.by_seed.values()), {}) if row.group == "result" else {}
        systems, weights = about.get("systems") or [], about.get("weights") or []
        if systems:
            parts = [f"{system} × {shown(weight)}" for system, weight in zip(systems, weights, strict=False)]
            intended = about.get("systems_intended", len(systems))
            note = f"{len(systems)} of {intended} systems" if intended != len(systems) else ""
            body.append([Cell(row.name, note), Cell(", ".join(parts))])
    return (
        Table("What each result is the weighted mean of", ["Result", "Systems"], body, is_text=True)
        if body
        else None
    )


def ranking_table(ranking: Mapping[str, Any]) -> Table:
    """Systems in the order that results take them in."""
    systems = {str(row["system"]): {**row} for row in ranking.get("systems") or []}
    heads = [FIGURES[figure] for figure in HEADLINE]
    body = [
        [Cell(name), *(Cell(value_text(row.get(figure))) for figure in ("figure", *HEADLINE))]
        for name, row in systems.items()
    ]
    ranked_by = FIGURES.get(str(ranking.get("rank_by")), "mean of the three figures")
    caption = (
        f"Systems ranked by {ranked_by} on {ranking.get('set', 'a set that is not recorded')}, best first"
    )
    return Table(caption, ["System", "Ranked by", *heads], body)


def table_of(
    rows: Sequence[Row],
    caption: str,
    heads: list[str],
    figures: Sequence[tuple[str, ...]],
    groups: list[tuple[str, int]] | None = None,
) -> Table | None:
    """A table of the systems that have any of these figures; None where none has."""
    body = [
        [Cell(row.name), *(spread_cell(row.spread(*names)) for names in figures)]
        for row in rows
        if any(row.values(*names) for names in figures)
    ]
    return Table(caption, ["System", *heads], body, groups or []) if body else None


def label_tables(rows: Sequence[Row]) -> list[Table]:
    """Figures of each label: headline ones of several systems, then every figure of Result 1."""
    compared = [row for row in rows if row.group != "ablation" and row.by_seed and _is_compared(row)]
    labels = event_labels(compared)
    if not labels:
        return []
    first = Table(
        "Figures of each label. A dash: the label does not occur in the set, or was not measured",
        ["Label", *[_SHORT.get(row.key, row.name) for row in compared] * len(_LABEL_FIGURES)],
        [[Cell(label), *_label_cells(compared, label, _LABEL_FIGURES)] for label in labels],
        [("", 1), *((title, len(compared)) for title in _LABEL_FIGURES.values())],
    )
    return [first, *_further_label_table(row_of(rows, "ensemble/result1"), labels)]


def rows_table(caption: str, table: Mapping[str, Mapping[str, Any]], first: str = "Label") -> Table:
    """Equal rows by name: label by label, or set by set."""
    columns = list(dict.fromkeys(name for row in table.values() for name in row))
    body = [
        [Cell(name), *(Cell(value_text(row.get(column))) for column in columns)]
        for name, row in table.items()
    ]
    return Table(caption, [first, *map(heading, columns)], body)


def heading(name: str) -> str:
    """A name in JSON as the head of a column or row."""
    words = name.replace("_", " ").replace("f1", "F1")
    return _HEADS.get(name, words[:1].upper() + words[1:])


def value_text(value: Any) -> str:
    """A value as a table shows it: figures to three digits, long hashes cut."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, str):
        is_hash = len(value) == 64 and all(digit in "0123456789abcdef" for digit in value)
        return f"{value[:_HASH_DIGITS]}…" if is_hash else value
    if isinstance(value, Sequence):
        return ", ".join(map(value_text, value))
    return str(value)


def _is_compared(row: Row) -> bool:
    return row.group == "single" or row.key == "ensemble/result1"


def _label_cells(rows: Sequence[Row], label: str, figures: Iterable[str]) -> list[Cell]:
    found = [row.spread("per_class", label, figure) for figure in figures for row in rows]
    return [Cell("–" if spread is None else shown(spread.mean)) for spread in found]


def _further_label_table(row: Row, labels: Sequence[str]) -> list[Table]:
    per_label = [figures.get("per_class") or {} for figures in row.by_seed.values()]
    names = dict.fromkeys(name for of_run in per_label for label in of_run.values() for name in label)
    further = [name for name in names if name not in _LABEL_FIGURES]
    if not further:
        return []
    body = [[Cell(label), *_label_cells([row], label, further)] for label in labels]
    heads = [name.replace("_", " ").capitalize().replace("f1", "F1") for name in further]
    return [Table("Further figures of each label, Result 1", ["Label", *heads], body)]


def _with_gain(value: float, baseline: float, is_baseline: bool) -> Cell:
    return Cell(shown(value), "" if is_baseline else gained(value - baseline))


def _gain_cell(spread: Spread | None, baseline: Spread | None, is_baseline: bool) -> Cell:
    if spread is None or is_baseline or baseline is None:
        return spread_cell(spread)
    return _with_gain(spread.mean, baseline.mean, is_baseline)


def _seed_note(row: Row) -> str:
    count = len(row.seeds)
    return f"mean of {count} seeds" if count > 1 else ""


def _seeds_text(row: Row) -> str:
    return ", ".join(row.seeds) or "–"
