"""Hours that a recipe takes, from measured speeds: training from every seed, and windowed detection."""

from collections.abc import Mapping
from dataclasses import dataclass

from train.data.inventory import PUBLISHED
from train.fitting.loop_settings import LoopSettings
from train.pipeline.recipe import DataRecipe, Recipe

HOUR_S = 3600
LABELLING = "pseudo labels"


@dataclass(frozen=True, slots=True)
class Hours:
    """One part of a recipe."""

    work: str
    """How much of it there is, in words."""
    times: int
    """How often it is done: once for each seed."""
    hours: float
    """Of all of them together."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was measured of a recipe, on one device and one part after the other."""

    parts: dict[str, Hours]
    total_hours: float


def forecast(parts: Mapping[str, Hours]) -> Forecast:
    """Parts with their sum."""
    return Forecast(dict(parts), sum(part.hours for part in parts.values()))


def training_hours(loop: LoopSettings, n_seeds: int, clips_per_s: float) -> Hours:
    """Hours of a model's training from `n_seeds` seeds."""
    work = f"{loop.steps:,} steps of {loop.batch.size} clips"
    return Hours(work, n_seeds, n_seeds * loop.steps * loop.batch.size / clips_per_s / HOUR_S)


def labelling_hours(recipe: Recipe, n_seeds: int, clips_per_s: float) -> Hours:
    """Hours of windowed detection by `n_seeds` models, at the speed of one model through all contexts.

    The most that it can be: clips skip contexts that no label of theirs has chosen.
    """
    n_clips = labelled_clips(recipe)
    return Hours(f"{n_clips:,} clips at most", n_seeds, n_seeds * n_clips / clips_per_s / HOUR_S)


def labelled_clips(recipe: Recipe) -> int:
    """Clips that go through windowed detection: those it is tuned on, and those that get pseudo labels."""
    counts = clip_counts(recipe.data)
    tuned_on = min(recipe.pseudo_label.choose_clips, counts.get("development", 0))
    weak = round(counts.get("weak", 0) * (1 - recipe.data.weak_held_out))
    return tuned_on + weak + counts.get("unlabelled", 0)


def clip_counts(data: DataRecipe) -> dict[str, int]:
    """Clips of each set of a recipe: as it mixes them, else as DESED was published."""
    published = {name: known.clips for name, known in PUBLISHED.items() if known.clips is not None}
    return {name: plan.clips for name, plan in data.mix.items()} or published
