"""`sedge train`: a recipe from its data to a report, stage by stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.formats.whole_file import write_whole
from train import distributed
from train.pipeline import STAGES, run_stages
from train.recipe import find_recipe, read_recipe
from train.report.rows import report_rows
from train.run import Run


@dataclass(frozen=True)
class Train:
    """Arguments of `sedge train`."""

    recipe: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE.toml")]
    """A recipe's file, or one that is shipped: desed.toml, household.toml, household-cpu.toml, smoke.toml."""
    data: Path | None = None
    """Folder in the DESED layout, or sound bank (foreground/<label>/, background/), instead of the recipe's."""
    validation: Path | None = None
    """Folder of the annotated clips to report on, instead of the recipe's."""
    runs: Path = Path("runs")
    """Where the run's folder is; it has the recipe's name."""
    until: str | None = None
    """Last stage to do: prepare, baseline, fbcrnn, pseudo-label, mlfl, tag, tag-cnn, ensemble, report."""
    from_: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """First stage to do anew, with all that depends on it; their files are removed."""
    threads: int = 2
    """Processor threads."""


def main(argv: Sequence[str]) -> int:
    """`sedge train`; returns 0, or raises SedgeError."""
    description = (
        "Train the whole system of a recipe, from clips to runs/<name>/report.html. Run it again to resume; start it "
        "with torchrun to train on several GPUs or machines."
    )
    args = tyro.cli(Train, args=list(argv), prog="sedge train", description=description)
    _check_stages(args)
    run = open_run(args)
    distributed.start()
    try:
        run_stages(run, args.from_, args.until)
    finally:
        distributed.stop()
    if distributed.is_first() and args.until in (None, "report"):
        _print_rows(run)
    return EXIT_DONE


def open_run(args: Train) -> Run:
    """The run of a recipe; its folder gets a copy of the recipe as it is used."""
    path = find_recipe(args.recipe)
    recipe = read_recipe(path, _overrides(args))
    folder = args.runs / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "recipe.toml", path.read_text(encoding="utf-8"))
    write_whole(folder / "recipe.json", recipe.model_dump_json(indent=1) + "\n")
    return Run(folder, recipe, args.threads)


def _overrides(args: Train) -> dict[str, Any]:
    """What the command line lays over the recipe."""
    data: dict[str, Any] = {}
    if args.data is not None:
        if not args.data.is_dir():
            raise SedgeError(
                f"--data {args.data}: expected a folder of clips or a sound bank, found no such folder"
            )
        is_bank = (args.data / "background").is_dir()
        data |= {"bank": args.data, "desed": None} if is_bank else {"desed": args.data, "bank": None}
    if args.validation is not None:
        data["validation"] = args.validation
    loop = {"loop": {"threads": args.threads}}
    return {"data": data, **dict.fromkeys(("fbcrnn", "mlfl", "tag_cnn", "baseline"), loop)}


def _check_stages(args: Train) -> None:
    for option, stage in (("--from", args.from_), ("--until", args.until)):
        if stage is not None and stage not in STAGES:
            raise SedgeError(f"{option}: expected one of {', '.join(STAGES)}, found {stage!r}")


def _print_rows(run: Run) -> None:
    console = Console()
    console.print(report_rows(run.folder))
    console.print(f"report: {run.folder / 'report.html'}", soft_wrap=True, highlight=False)
