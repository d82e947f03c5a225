"""Figures of detections as JSON holds them and as tables show them."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from train.measuring.evaluate import F1, F1s, Psds
from train.measuring.tune import CrossTuned

F1_NAMES = ("event", "segment", "intersection", "clip")


def figures_of(f1: F1 | None, area: Psds | None, labels: Sequence[str]) -> dict[str, Any]:
    """Figures under their names in JSON, also by label; those that were not measured are None."""
    per_class = {
        label: {
            "event_f1": f1.per_label.get(label) if f1 else None,
            "psds1": area.psds1_per_label.get(label) if area else None,
            "psds2": area.psds2_per_label.get(label) if area else None,
        }
        for label in labels
    }
    return {
        "psds1": area.psds1 if area else None,
        "psds2": area.psds2 if area else None,
        "event_f1_macro": f1.macro if f1 else None,
        "event_f1_micro": f1.micro if f1 else None,
        "per_class": per_class,
        "repeated_operating_points": area.repeated_operating_points if area else None,
    }


def all_figures(
    f1s: F1s | None, area: Psds | None, at_50: Psds | None, labels: Sequence[str]
) -> dict[str, Any]:
    """Every figure under its name in JSON, also by label; those that were not measured are None.

    `at_50` is the PSDS of the field's 50 operating points beside an exact `area`.
    """
    of = {name: getattr(f1s, name, None) for name in F1_NAMES}
    repeated = at_50 or area
    return {
        "psds1": area.psds1 if area else None,
        "psds2": area.psds2 if area else None,
        "psds1_50": at_50.psds1 if at_50 else None,
        "psds2_50": at_50.psds2 if at_50 else None,
        **{f"{name}_f1_macro": f1.macro if f1 else None for name, f1 in of.items()},
        **{f"{name}_f1_micro": f1.micro if f1 else None for name, f1 in of.items() if name != "intersection"},
        "per_class": {
            label: {
                **{f"{name}_f1": f1.per_label.get(label) if f1 else None for name, f1 in of.items()},
                "psds1": area.psds1_per_label.get(label) if area else None,
                "psds2": area.psds2_per_label.get(label) if area else None,
            }
            for label in labels
        },
        "repeated_operating_points": repeated.repeated_operating_points if repeated else None,
    }


def mean_figures(parts: Sequence[Any]) -> Any:
    """Figures of several parts of a set as one: means of those that exist, sums of counts."""
    known = [part for part in parts if part is not None]
    if known and isinstance(known[0], dict):
        return {key: mean_figures([part[key] for part in known]) for key in known[0]}
    if not known:
        return None
    return sum(known) if isinstance(known[0], int) else fmean(known)


def cross_figures(found: CrossTuned) -> dict[str, Any]:
    """Cross-tuned figures under their names in JSON."""
    return {
        "event_f1_macro": found.event_f1_macro,
        "event_f1_micro": found.event_f1_micro,
        "psds1": found.psds1,
        "psds2": found.psds2,
        "event_f1_per_class": found.per_label,
    }


def shown(figure: float | None) -> str:
    """A figure as a table shows it."""
    return "-" if figure is None else f"{figure:.4f}"
