"""The same clips once more, each perturbed: how much of a bundle's accuracy is left."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks.accuracy.measuring import shipped_figures
from benchmarks.accuracy.perturbations import Perturbation
from edge_app.core.audio import read_blocks
from edge_app.core.detect import Detector
from train.measuring.evaluate import FrameScores
from train.measuring.validation_set import ValidationSet


@dataclass(frozen=True)
class Perturbed:
    """Figures of one perturbation with the shipped decoding."""

    name: str
    title: str
    figures: dict[str, Any]


def robustness(
    detector: Detector, clips: ValidationSet, changes: Sequence[Perturbation]
) -> Iterator[Perturbed]:
    """Figures of each perturbation in turn; shows progress on a terminal. Raises AudioError for a broken clip."""
    for change in changes:
        scores = perturbed_scores(detector, clips, change)
        yield Perturbed(change.name, change.title, shipped_figures(scores, clips, detector.bundle))


def perturbed_scores(detector: Detector, clips: ValidationSet, change: Perturbation) -> FrameScores:
    """Frame scores of every clip after a perturbation, in the order of the reference."""
    scores = {}
    for filename in _shown(list(clips.reference), f"{change.title}, context {detector.context}"):
        samples = np.concatenate(list(read_blocks(clips.audio / filename)))
        scores[filename] = np.concatenate(list(detector.scores([change.apply(samples, filename)])))
    return scores


def _shown(filenames: Iterable[str], title: str) -> Iterator[str]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(list(filenames), description=title)
