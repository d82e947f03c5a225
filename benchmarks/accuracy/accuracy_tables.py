"""Accuracy as tables, and as figures to compare by."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Column, Table

from benchmarks.accuracy.measuring import GroupFigures
from benchmarks.accuracy.robustness import Perturbed
from benchmarks.report import Figure
from train.measuring.figures import shown

FIGURE_TITLES = {
    "event_f1_macro": "event-F1 macro",
    "event_f1_micro": "event-F1 micro",
    "psds1": "PSDS1",
    "psds2": "PSDS2",
}
ROWS = {
    "event-F1 macro, shipped decoding": ("shipped", "event_f1_macro"),
    "event-F1 micro, shipped decoding": ("shipped", "event_f1_micro"),
    "PSDS1, shipped medians": ("shipped", "psds1"),
    "PSDS2, shipped medians": ("shipped", "psds2"),
    "event-F1 macro, cross-tuned": ("cross_tuned", "event_f1_macro"),
    "event-F1 micro, cross-tuned": ("cross_tuned", "event_f1_micro"),
    "PSDS1, cross-tuned medians": ("cross_tuned", "psds1"),
    "PSDS2, cross-tuned medians": ("cross_tuned", "psds2"),
}
UNIT = "of 1"


def comparison_table(results: Mapping[str, Mapping[str, Any]], labels: Sequence[str]) -> Table:
    """Contexts side by side, also by label."""
    both = len(results) == 2
    table = Table("", *results, *(["live / clip"] if both else []))
    rows = [(title, *path) for title, path in ROWS.items()]
    rows += [(f"event-F1 {label}, {of}", of, label) for of in ("shipped", "cross_tuned") for label in labels]
    for title, section, figure in rows:
        if not any(result[section] for result in results.values()):
            continue
        values = [_figure(result[section], figure) for result in results.values()]
        clip, live = values[0], values[-1]
        ratio = f"{live / clip:.2f}" if clip and live is not None else "-"
        table.add_row(
            title.replace("cross_tuned", "cross-tuned"), *map(shown, values), *([ratio] if both else [])
        )
    return table


def _figure(figures: Mapping[str, Any] | None, name: str) -> float | None:
    if figures is None:
        return None
    value: float | None = figures.get(name, figures["event_f1_per_class"].get(name))
    return value


def group_table(title: str, groups: Mapping[str, GroupFigures]) -> Table:
    """Groups of clips, and the share of events of that kind that are found."""
    columns = ("clips", *FIGURE_TITLES.values(), "false / h", "events", "found")
    table = Table(Column(no_wrap=True), *columns, title=title, title_justify="left")
    for name, of_group in groups.items():
        values = [shown(getattr(of_group, figure)) for figure in FIGURE_TITLES]
        false = f"{of_group.false_detections_per_hour:.0f}" if of_group.clips else "-"
        found = "-" if of_group.found is None else f"{of_group.found:.0%}"
        table.add_row(name, str(of_group.clips), *values, false, str(of_group.events), found)
    return table


def robustness_table(title: str, shipped: Mapping[str, Any], rows: Sequence[Perturbed]) -> Table:
    """What is left after each perturbation, each figure also as the share of what it was."""
    table = Table("", *FIGURE_TITLES.values(), title=title, title_justify="left")
    table.add_row("as recorded", *(shown(shipped[name]) for name in FIGURE_TITLES))
    for row in rows:
        table.add_row(row.title, *(_left(row.figures[name], shipped[name]) for name in FIGURE_TITLES))
    return table


def _left(value: float, before: float) -> str:
    return f"{shown(value)} ({value / before:.0%})" if before else shown(value)


def result_figures(results: Mapping[str, Mapping[str, Any]], n_clips: int) -> Iterator[Figure]:
    """Every figure that results are compared by, the general ones first."""
    for context, result in results.items():
        for section in ("shipped", "cross_tuned"):
            if result[section]:
                name = f"{context} / {section.replace('_', '-')}"
                yield from _section_figures(name, result[section], n_clips)
        for perturbed in result["robustness"]:
            yield from _section_figures(f"{context} / {perturbed.title}", perturbed.figures, n_clips)
        for groups in (result["by_snr"], result["by_polyphony"]):
            for group, of_group in groups.items():
                yield from _group_figures(f"{context} / {group}", of_group)


def _section_figures(name: str, figures: Mapping[str, Any], n_clips: int) -> Iterator[Figure]:
    for key, title in FIGURE_TITLES.items():
        low, high = figures.get(f"{key}_spread") or (None, None)
        yield Figure(f"{name} / {title}", UNIT, "higher", figures[key], low, high, n_clips)


def _group_figures(name: str, of_group: GroupFigures) -> Iterator[Figure]:
    for key, title in FIGURE_TITLES.items():
        value = getattr(of_group, key)
        if value is not None:
            yield Figure(f"{name} / {title}", UNIT, "higher", value, count=of_group.clips)
    if of_group.found is not None:
        yield Figure(f"{name} / events found", UNIT, "higher", of_group.found, count=of_group.events)
