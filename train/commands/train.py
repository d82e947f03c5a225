"""`sedge train`: a recipe from its data to a report, stage by stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console

from edge_app.core.errors import EXIT_DONE, SedgeError
from train.commands.run_arguments import RunArguments, find_run, open_run
from train.fitting import distributed
from train.pipeline.run import Run
from train.pipeline.units import STAGES, run_stages
from train.report.console import print_table, rows_table
from train.report.rows import report_rows


@dataclass(frozen=True)
class Train(RunArguments):
    """Arguments of `sedge train`."""

    until: str | None = None
    """Last stage to do: prepare, baseline, fbcrnn, pseudo-label, mlfl, tag, tag-cnn, ensemble, report."""
    from_: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """First stage to do anew, with all that depends on it; their files are removed."""


def main(argv: Sequence[str]) -> int:
    """`sedge train`; returns 0, or raises SedgeError."""
    description = (
        "Train the whole system of a recipe, from clips to runs/<name>/report.html. Run it again to resume; start it "
        "with torchrun to train on several GPUs or machines."
    )
    args = tyro.cli(Train, args=list(argv), prog="sedge train", description=description)
    _check_stages(args)
    distributed.start()
    try:
        run = open_run(args) if distributed.is_first() else find_run(args)
        run_stages(run, args.from_, args.until)
        if distributed.is_first() and args.until in (None, "report"):
            _print_rows(run)
    finally:
        distributed.stop()
    return EXIT_DONE


def _check_stages(args: Train) -> None:
    for option, stage in (("--from", args.from_), ("--until", args.until)):
        if stage is not None and stage not in STAGES:
            raise SedgeError(f"{option}: expected one of {', '.join(STAGES)}, found {stage!r}")


def _print_rows(run: Run) -> None:
    print_table(rows_table(report_rows(run.folder)))
    Console().print(f"report: {run.folder / 'report.html'}", soft_wrap=True, highlight=False)
