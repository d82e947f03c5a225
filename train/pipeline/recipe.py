"""A recipe: everything that makes a training run, in one TOML file.

A key that is left out keeps its default; a key that does not exist is refused, with the nearest that does.
"""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from edge_app.core.errors import SedgeError
from train.data.plans import SetPlan
from train.fitting.augment import AugmentSettings
from train.fitting.loop_settings import LoopSettings
from train.measuring.ensemble import EnsembleSettings
from train.measuring.measure_settings import MeasureSettings
from train.pseudo.labels import PseudoLabelSettings
from train.stages.baseline import BaselineSettings
from train.stages.fbcrnn import FBCRNNSettings
from train.stages.mlfl_settings import MLFLSettings
from train.stages.tag import TagSettings
from train.stages.tag_cnn import TagCNNSettings

Preset = Literal["full", "small"]
RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("expected different numbers: each seed has a folder of its own")
    return seeds


Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], AfterValidator(_distinct)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataRecipe(_Table):
    """Where the clips come from. Folders are relative to the recipe's own."""

    desed: Path | None = None
    """Folder in the DESED layout. Either this or `bank`."""
    also: tuple[Path, ...] = ()
    """Further folders of that layout: where the synthetic part has a folder of its own, for example."""
    bank: Path | None = None
    """Sound bank that the sets of `mix` are mixed from."""
    validation: Path | None = None
    """Folder of the clips that are reported on; by default the layout's own validation set."""
    mix: dict[str, SetPlan] = Field(default_factory=dict)
    """Sets to mix from the bank: synthetic, weak, unlabelled, development, validation."""
    event_labels: tuple[str, ...] = ()
    """Labels of the run; by default all that the tables have, where a misspelt one would be a label of its own."""
    hold_out: float = Field(0.1, ge=0, lt=1)
    """Share of a bank's recordings, by source, that only the development set is mixed from."""
    weak_held_out: float = Field(0.1, ge=0, lt=1)
    """Share of the weak clips that no model is trained on: they choose checkpoints and thresholds of tags."""
    workers: int = Field(2, ge=1)
    """Processes that mix."""
    allow_missing: bool = False
    """Go on without the clips whose audio is missing (they are listed)."""

    @model_validator(mode="after")
    def _one_source(self) -> "DataRecipe":
        if self.bank is not None and self.desed is not None:
            raise ValueError("expected one of desed and bank, found both")
        return self


class FBCRNNRecipe(_Table):
    """The stage `fbcrnn`."""

    preset: Preset = "full"
    kernels: Literal["3x3", "3x1"] = "3x3"
    """Shape of every other convolution. The published code has 3x1; the released pseudo labels are older than that
    change, so 3x3 made them."""
    memory_frames: int = Field(0, ge=0)
    """Longest memory that the GRUs start with, in frames; 0 as published. On household mixes at small widths the
    loss was 3.25 after 200 steps with 500, and 3.36 after 600 without (one run each, at rates of 2e-3 and 5e-3)."""
    seeds: Seeds = ()
    """Models whose scores are averaged into the pseudo labels; by default the run's seeds."""
    loss: FBCRNNSettings = FBCRNNSettings()
    augment: AugmentSettings = AugmentSettings()
    loop: LoopSettings = LoopSettings()


class MLFLRecipe(_Table):
    """The stage `mlfl`."""

    preset: Preset = "full"
    batch_norm_momentum: float = Field(0.01, gt=0, le=1)
    """Of the batch norms' statistics: .01 as published, more where there are only hundreds of steps."""
    loss: MLFLSettings = MLFLSettings()
    augment: AugmentSettings = AugmentSettings()
    loop: LoopSettings = LoopSettings()


class TagCNNRecipe(_Table):
    """The stage `tag-cnn`."""

    preset: Preset = "full"
    loss: TagCNNSettings = TagCNNSettings()
    augment: AugmentSettings = AugmentSettings()
    loop: LoopSettings = LoopSettings()


class BaselineRecipe(_Table):
    """The stage `baseline`."""

    preset: Preset = "full"
    batch_norm_momentum: float = Field(0.01, gt=0, le=1)
    """As in the stage `mlfl`, so that short trainings compare."""
    seeds: Seeds = ()
    """By default the run's seeds."""
    loss: BaselineSettings = BaselineSettings()
    augment: AugmentSettings = AugmentSettings()
    loop: LoopSettings = LoopSettings()


class Recipe(_Table):
    """A whole run."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    """Name of the run's folder under runs/."""
    seeds: Seeds = Field((1, 2, 3, 4), min_length=1)
    """One system (MLFL and tag-conditioned CNN) is trained from each."""
    data: DataRecipe
    fbcrnn: FBCRNNRecipe = FBCRNNRecipe()
    pseudo_label: PseudoLabelSettings = PseudoLabelSettings()
    mlfl: MLFLRecipe = MLFLRecipe()
    tag: TagSettings = TagSettings()
    tag_cnn: TagCNNRecipe = TagCNNRecipe()
    baseline: BaselineRecipe = BaselineRecipe()
    measure: MeasureSettings = MeasureSettings()
    ensemble: EnsembleSettings = EnsembleSettings()


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: a path, or the name of one that is shipped. SedgeError where there is none."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = RECIPES / (path.name if path.suffix == ".toml" else f"{path.name}.toml")
    if path.parent == Path() and shipped.is_file():
        return shipped
    names = ", ".join(sorted(found.name for found in RECIPES.glob("*.toml")))
    raise SedgeError(f"{name}: expected a recipe's file or one of {names}, found no such file")


def read_recipe(path: Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """The recipe in a TOML file; `overrides` are further tables laid over it.

    Raises SedgeError for what is no TOML, for an unknown key (naming the nearest), and for a value out of range.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SedgeError(f"{path}: expected TOML, found an error: {error}") from error
    try:
        return Recipe.model_validate(laid_over(_placed(table, path.resolve().parent), overrides or {}))
    except ValidationError as error:
        raise SedgeError(f"{path}: {_first_problem(error)}") from error


def laid_over(table: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """`table` with the values of `overrides`, table by table; neither is changed."""
    merged = dict(table)
    for key, value in overrides.items():
        below = merged.get(key)
        merged[key] = (
            laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
        )
    return merged


def _placed(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The recipe's table with its folders as seen from anywhere."""
    found = table.get("data")
    if not isinstance(found, dict):
        return table
    folders: dict[str, Any] = {
        key: os.path.normpath(folder / value)
        for key, value in found.items()
        if key in ("desed", "bank", "validation") and isinstance(value, str)
    }
    if isinstance(found.get("also"), list):
        folders["also"] = [os.path.normpath(folder / str(value)) for value in found["also"]]
    return {**table, "data": {**found, **folders}}


def _first_problem(error: ValidationError) -> str:
    """One problem in words: an unknown key before all others, since what it was meant to be is missing then."""
    problems = error.errors()
    found = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    place = _keys(found)
    where = ".".join(map(str, place))
    if found["type"] == "extra_forbidden":
        return f"{where}: unknown key: {_nearest(place)}"
    if found["type"] == "missing":
        return f"{where}: expected a value, found none"
    texts = [one["msg"].removeprefix("Value error, ") for one in problems if _keys(one) == place]
    message = " or ".join([texts[0], *(text.removeprefix("Input should be ") for text in texts[1:])])
    return f"{where}: {message}" if "found" in message else f"{where}: {message}, found {found['input']!r}"


def _keys(found: ErrorDetails) -> tuple[int | str, ...]:
    """Where a problem is, without the names of the types that a value may have, such as literal['a','b']."""
    return tuple(part for part in found["loc"] if "[" not in str(part))


def _nearest(place: tuple[int | str, ...]) -> str:
    known = _keys_beside(place)
    near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(sorted(known))}"


def _keys_beside(place: tuple[int | str, ...]) -> list[str]:
    """The keys that the table at `place` (whose last part is the unknown key) may have."""
    kind: Any = Recipe
    for part in place[:-1]:
        # a table's own field, or else a name under data.mix
        kind = kind.model_fields[part].annotation if _is_table(kind) else get_args(kind)[1]
    return list(kind.model_fields)


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
