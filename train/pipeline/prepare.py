"""Stage: clips of all sets, mixed from a sound bank or as DESED has them, in one array."""

import hashlib
from pathlib import Path

from edge_app.core.errors import SedgeError
from train.data.bank import AUDIO_SUFFIXES
from train.data.clips import prepare_sets
from train.data.desed import DesedSet, find_sets
from train.data.plans import mix_sets
from train.pipeline.recipe import DataRecipe
from train.pipeline.run import DATA, MIXES, Run, shown

REQUIRED = ("synthetic", "development", "validation")


def prepare(run: Run) -> None:
    """Mix what the recipe says to mix, and decode all sets into the run's folder `data`.

    Raises SedgeError where a set that training cannot do without is missing, or its clips are unfit.
    """
    recipe = run.recipe.data
    sets = source_sets(run)
    missing = [name for name in REQUIRED if name not in sets]
    if missing:
        raise SedgeError(
            f"{recipe.desed or recipe.bank}: expected the sets {', '.join(REQUIRED)}, found no {', '.join(missing)}; "
            "`sedge desed-check FOLDER` says what is there"
        )
    prepare_sets(
        sets,
        run.folder / DATA,
        recipe.event_labels or None,
        weak_held_out=recipe.weak_held_out,
        allow_missing=recipe.allow_missing,
        track=shown,
    )


def source_sets(run: Run) -> dict[str, DesedSet]:
    """The sets by name; those of a bank are mixed first."""
    recipe = run.recipe.data
    if recipe.bank is not None:
        if not recipe.mix:
            raise SedgeError(
                f"data.mix: expected the sets to mix from the sound bank {recipe.bank}, found none; "
                "household.toml has them"
            )
        mix_sets(recipe.bank, run.folder / MIXES, recipe.mix, recipe.hold_out, recipe.workers)
        sets = find_sets(run.folder / MIXES)
    elif recipe.desed is not None:
        sets = find_sets(recipe.desed, *recipe.also)
    else:
        raise SedgeError("data: expected desed or bank, or --data FOLDER on the command line, found neither")
    if recipe.validation is not None:
        found = find_sets(recipe.validation)
        if "validation" not in found:
            raise SedgeError(
                f"{recipe.validation}: expected audio/ with ground_truth.tsv, or a DESED layout with a validation set, "
                f"found {', '.join(found) or 'neither'}"
            )
        sets["validation"] = found["validation"]
    return sets


def sources(recipe: DataRecipe) -> dict[str, str]:
    """A hash of each folder that clips come from, by its key in the recipe."""
    folders = {"desed": recipe.desed, "bank": recipe.bank, "validation": recipe.validation}
    folders |= {f"also {number}": folder for number, folder in enumerate(recipe.also, start=1)}
    return {key: folder_fingerprint(folder) for key, folder in folders.items() if folder is not None}


def folder_fingerprint(folder: Path) -> str:
    """Hash of the tables in a folder and of the names and sizes of its recordings.

    Raises SedgeError where there is no such folder.
    """
    if not folder.is_dir():
        raise SedgeError(f"{folder}: expected a folder of clips or a sound bank, found no such folder")
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() in AUDIO_SUFFIXES:
            digest.update(f"{name}\t{path.stat().st_size}\n".encode())
        elif path.suffix.lower() in (".tsv", ".csv"):
            digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()
