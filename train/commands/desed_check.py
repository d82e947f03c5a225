"""`sedge desed-check`: what of the DESED data set is in a folder, what is missing, and where it is obtained."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge_app.core.errors import EXIT_DONE, EXIT_SOME_FAILED
from edge_app.core.labels import DESED_LABELS
from train.data.inventory import NEEDED, SetSurvey, survey_sets

_NAMED = 3
"""Missing files that are named; --json has all."""
_COLUMNS = ("published", "in table", "found", "missing", "extra", "rate (Hz)", "over 10 s", "labels")


@dataclass(frozen=True)
class DesedCheck:
    """Arguments of `sedge desed-check`."""

    folder: tyro.conf.Positional[Path]
    """Folder with audio/ and metadata/, or one in which the archives of DESED were unpacked side by side."""
    also: tuple[Path, ...] = ()
    """Further folders: where the synthetic part has a folder of its own, for example."""
    json: bool = False
    """One JSON object on standard output, with every missing file, instead of the table."""


def main(argv: Sequence[str]) -> int:
    """`sedge desed-check`; returns 0 where all that training needs is there, 1 where not; raises SedgeError."""
    description = "Say which sets of DESED a folder has, what is missing, and where it is obtained."
    args = tyro.cli(DesedCheck, args=list(argv), prog="sedge desed-check", description=description)
    surveys = survey_sets((args.folder, *args.also))
    lacking = [survey.name for survey in surveys if survey.name in NEEDED and not survey.complete]
    if args.json:
        print(json.dumps(_summary(surveys, lacking), indent=2, ensure_ascii=False))
    else:
        _print(surveys, lacking)
    return EXIT_SOME_FAILED if lacking else EXIT_DONE


def _summary(surveys: Sequence[SetSurvey], lacking: Sequence[str]) -> dict[str, object]:
    sets = {survey.name: {**asdict(survey), "complete": survey.complete} for survey in surveys}
    return {"schema_version": 1, "complete": not lacking, "lacking": list(lacking), "sets": sets}


def _print(surveys: Sequence[SetSurvey], lacking: Sequence[str]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("set", no_wrap=True)
    for title in _COLUMNS:
        table.add_column(title, justify="right")
    for survey in surveys:
        table.add_row(survey.name, *map(escape, _cells(survey)))
    console.print(table)
    for line in [line for survey in surveys for line in _remarks(survey)]:
        console.print(line, soft_wrap=True, markup=False)
    verdict = (
        f"not complete: {', '.join(lacking)}" if lacking else "complete: all that training needs is there"
    )
    console.print(verdict, soft_wrap=True, markup=False)


def _cells(survey: SetSurvey) -> list[str]:
    return [
        _count(survey.published_clips),
        _count(survey.clips),
        _count(survey.audio_found),
        _count(len(survey.missing)),
        _count(survey.extra),
        ", ".join(map(str, survey.sample_rates)) or "-",
        _count(survey.too_long) if survey.audio_found else "-",
        _count(len(survey.event_labels)) if survey.event_labels else "-",
    ]


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _remarks(survey: SetSurvey) -> list[str]:
    """What the table has no room for: problems, missing files, labels, durations, and where the set is obtained."""
    found = []
    if survey.problem:
        found.append(survey.problem)
    if survey.missing:
        more = " ..." if len(survey.missing) > _NAMED else ""
        found.append(
            f"{len(survey.missing)} files missing in {survey.audio}: {', '.join(survey.missing[:_NAMED])}{more}"
        )
    if survey.unreadable:
        found.append(f"cannot be read: {', '.join(survey.unreadable)}")
    if survey.duration_rows is not None and survey.duration_rows != survey.clips:
        found.append(f"durations of {survey.duration_rows} files, {_count(survey.clips)} of them annotated")
    odd = sorted(set(survey.event_labels).symmetric_difference(DESED_LABELS)) if survey.event_labels else []
    if odd:
        found.append(f"labels that only the table or only DESED has: {', '.join(odd)}")
    if not survey.complete:
        found.append(f"obtained from: {survey.source}")
    return [f"{survey.name}: {remark}" for remark in found]
