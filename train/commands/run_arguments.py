"""What the commands on a whole run share: their arguments, and the run that these name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import write_whole
from train.pipeline.recipe import find_recipe, read_recipe
from train.pipeline.run import Run


@dataclass(frozen=True)
class RunArguments:
    """What names a run: its recipe, and what the command line has instead of the recipe's."""

    recipe: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE.toml")]
    """A recipe's file, or one that is shipped: desed.toml, household.toml, household-cpu.toml, smoke.toml."""
    data: Path | None = None
    """Folder in the DESED layout, or sound bank (foreground/<label>/, background/), instead of the recipe's."""
    also: tuple[Path, ...] = ()
    """Further folders in the DESED layout: where the synthetic part has one of its own, for example."""
    validation: Path | None = None
    """Folder of the annotated clips to report on, instead of the recipe's."""
    runs: Path = Path("runs")
    """Where the run's folder is; it has the recipe's name."""
    threads: int = 2
    """Processor threads."""


def find_run(args: RunArguments) -> Run:
    """The run of a recipe; nothing is written."""
    recipe = read_recipe(find_recipe(args.recipe), _overrides(args))
    return Run(args.runs / recipe.name, recipe, args.threads)


def open_run(args: RunArguments) -> Run:
    """The run of a recipe; its folder gets a copy of the recipe as it is used."""
    run = find_run(args)
    run.folder.mkdir(parents=True, exist_ok=True)
    write_whole(run.folder / "recipe.toml", find_recipe(args.recipe).read_text(encoding="utf-8"))
    write_whole(run.folder / "recipe.json", run.recipe.model_dump_json(indent=1) + "\n")
    return run


def _overrides(args: RunArguments) -> dict[str, Any]:
    """What the command line lays over the recipe."""
    data: dict[str, Any] = {}
    if args.data is not None:
        if not args.data.is_dir():
            raise SedgeError(
                f"--data {args.data}: expected a folder of clips or a sound bank, found no such folder"
            )
        is_bank = (args.data / "background").is_dir()
        data |= {"bank": args.data, "desed": None} if is_bank else {"desed": args.data, "bank": None}
    if args.also:
        data["also"] = args.also
    if args.validation is not None:
        data["validation"] = args.validation
    loop = {"loop": {"threads": args.threads}}
    return {"data": data, **dict.fromkeys(("fbcrnn", "mlfl", "tag_cnn", "baseline"), loop)}
