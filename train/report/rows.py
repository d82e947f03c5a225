"""The systems of a run and their figures, each with its spread over seeds: the rows of every table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from train.report.folder import METRICS, MODELS, RESULTS, read_figures, seed_folders

FIGURES = {
    "psds1": "PSDS 1",
    "psds2": "PSDS 2",
    "event_f1_macro": "Event F1",
    "event_f1_micro": "Event F1, micro",
    "segment_f1_macro": "Segment F1",
    "intersection_f1_macro": "Intersection F1",
    "clip_f1_macro": "Clip F1",
}
"""Figures by their names in JSON, and as tables head them; F1 is the mean over labels unless it says micro."""
HEADLINE = ("psds1", "psds2", "event_f1_macro")
"""The figures of the published table."""
SINGLE = ("baseline", "mlfl", "tag_cnn")
_OF_RESULT = "one"  # stands in for a seed: a result is one fusion of all systems


@dataclass(frozen=True)
class Spread:
    """Mean of a figure over seeds, and its sample standard deviation, None where there is one seed."""

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def over(cls, values: Sequence[float]) -> "Spread | None":
        """The spread of values, None where there are none."""
        if not values:
            return None
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Row:
    """One system: a model trained from several seeds, a result of the ensemble, or a variant."""

    group: Literal["single", "result", "ablation"]
    key: str
    """Its folder."""
    name: str
    """As tables show it."""
    by_seed: dict[str, dict[str, Any]]
    """Contents of metrics.json by seed."""

    @property
    def seeds(self) -> tuple[str, ...]:
        """Seeds that were measured; a result of the ensemble has none."""
        return () if self.group == "result" else tuple(self.by_seed)

    def values(self, *names: str) -> dict[str, float]:
        """A figure by seed, where it was measured; further names lead into the tables that hold it."""
        found = {seed: as_figure(_inside(figures, names)) for seed, figures in self.by_seed.items()}
        return {seed: value for seed, value in found.items() if value is not None}

    def spread(self, *names: str) -> Spread | None:
        """A figure over the seeds, None where it was not measured."""
        return Spread.over(list(self.values(*names).values()))

    def told(self, name: str) -> list[str]:
        """What the figures say under `name`, such as the set that thresholds were tuned on: each answer once."""
        answers = [figures.get(name) for figures in self.by_seed.values()]
        texts = [answer if isinstance(answer, str) else _joined(answer) for answer in answers]
        return list(dict.fromkeys(text for text in texts if text))


def report_rows(run: Path) -> list[Row]:
    """The systems of a run: single ones, Results 1 to 4, variants. Those not measured have no figures.

    Raises SedgeError where a file of figures is damaged.
    """
    single = [Row("single", name, MODELS[name], _figures_of(run / name)) for name in SINGLE]
    results = [_result(run, number) for number in RESULTS]
    variants = sorted(path for path in (run / "ablation").glob("*") if path.is_dir())
    ablation = [Row("ablation", path.name, _variant_name(path.name), _figures_of(path)) for path in variants]
    return [*single, *results, *(row for row in ablation if row.by_seed)]


def row_of(rows: Sequence[Row], key: str) -> Row:
    """The row of a folder."""
    return next(row for row in rows if row.key == key)


def event_labels(rows: Sequence[Row]) -> list[str]:
    """Labels that any system has figures of, in their order there."""
    per_label = [figures.get("per_class") or {} for row in rows for figures in row.by_seed.values()]
    return list(dict.fromkeys(label for labels in per_label for label in labels))


def as_figure(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _inside(figures: Any, names: Sequence[str]) -> Any:
    for name in names:
        figures = figures.get(name) if isinstance(figures, dict) else None
    return figures


def _figures_of(folder: Path) -> dict[str, dict[str, Any]]:
    found = {seed: read_figures(path / METRICS) for seed, path in seed_folders(folder, METRICS).items()}
    return {seed: figures for seed, figures in found.items() if figures is not None}


def _result(run: Path, number: int) -> Row:
    key = f"ensemble/result{number}"
    figures = read_figures(run / key / METRICS)
    return Row("result", key, f"Result {number}", {} if figures is None else {_OF_RESULT: figures})


def _variant_name(folder: str) -> str:
    return folder.replace("_", " ").replace("-", " ").strip().capitalize() or folder


def _joined(answer: Any) -> str:
    if isinstance(answer, list | tuple):
        return ", ".join(map(str, answer))
    return "" if answer is None else str(answer)
