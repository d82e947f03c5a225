"""Figures of detections as JSON holds them and as tables show them."""

from collections.abc import Sequence
from typing import Any

from train.evaluate import EventF1, Psds
from train.tune import CrossTuned


def figures_of(f1: EventF1 | None, area: Psds | None, labels: Sequence[str]) -> dict[str, Any]:
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
