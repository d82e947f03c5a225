"""What would stop a late stage after hours of training, found before any of it."""

from collections.abc import Collection

from edge_app.core.errors import SedgeError
from train.fitting.batches import TRAINING_SETS
from train.fitting.loop_settings import LoopSettings
from train.measuring.ensemble import RESULT_WEIGHTS
from train.pipeline.recipe import Recipe
from train.pipeline.run import Run


def check_seeds(recipe: Recipe) -> None:
    """Raise SedgeError where the recipe trains fewer systems than the ensemble is made of."""
    fewest, found = max(map(len, RESULT_WEIGHTS.values())), len(recipe.seeds)
    if found < fewest and not recipe.ensemble.few:
        raise SedgeError(
            f"seeds: expected at least {fewest}, one for each system of the ensemble, found {found}; "
            "ensemble.few = true makes results of as many as there are"
        )


def check_prepared(run: Run, stages: Collection[str]) -> None:
    """Raise SedgeError where the prepared clips do not do for one of these stages.

    A batch may have clips only of sets that have some, in equal shards; sets that are measured on need an event.
    """
    counts = {name: len(run.clips.indices(name)) for name in TRAINING_SETS}
    recipe = run.recipe
    loops = {"baseline": recipe.baseline.loop, "mlfl": recipe.mlfl.loop, "tag-cnn": recipe.tag_cnn.loop}
    if run.pseudo_labelled:
        loops["fbcrnn"] = recipe.fbcrnn.loop
    for stage, loop in loops.items():
        if stage in stages:
            _check_batch(f"{stage.replace('-', '_')}.loop.batch", loop, counts)
    if "fbcrnn" in stages and recipe.fbcrnn.loop.batch.unlabelled:
        found = recipe.fbcrnn.loop.batch.unlabelled
        raise SedgeError(
            f"fbcrnn.loop.batch.unlabelled: expected 0, as these clips have no tags, found {found}"
        )
    for name in run.scored if "ensemble" in stages else ():
        if not any(run.clips.reference(name).values()):
            raise SedgeError(f"{name} set: expected at least one event to measure with, found none")


def _check_batch(where: str, loop: LoopSettings, counts: dict[str, int]) -> None:
    if not loop.batch.size:
        raise SedgeError(f"{where}: expected clips of at least one set, found none")
    for name, count in counts.items():
        wanted = getattr(loop.batch, name)
        if wanted and not count:
            raise SedgeError(f"{where}.{name}: expected 0 as the data have no {name} clips, found {wanted}")
        if wanted % loop.shards:
            raise SedgeError(
                f"{where}.{name}: expected a multiple of the {loop.shards} shards, found {wanted}"
            )
