"""The sections that say what a run was made with: pseudo-label choices, the recipe, versions, hashes, dates."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge_app import __version__
from edge_app.core.errors import SedgeError
from train.machine import processor_name
from train.report.blocks import Block, Fold, Heading, Missing, Section, Source, TableBlock, Text
from train.report.folder import read_json
from train.report.tables import Cell, Table, heading, rows_table, value_text

LIBRARIES = (
    "torch",
    "torchaudio",
    "numpy",
    "scipy",
    "sed_eval",
    "sed_scores_eval",
    "psds_eval",
    "matplotlib",
)


def pseudo_section(run: Path) -> Section:
    """What pseudo labels were made with, label by label, and how good they are where the truth is known."""
    section = Section("pseudo-labels", "Pseudo labels")
    choice, quality = read_json(run / "pseudo" / "choice.json"), read_json(run / "pseudo" / "quality.json")
    if choice is None:
        section.blocks.append(Missing("There is no choice of settings (pseudo/choice.json)."))
    else:
        section.blocks.extend(
            _named_tables("Settings of the FBCRNN's pseudo labels, chosen on development clips", choice)
        )
    if quality is None:
        section.blocks.append(
            Missing(
                "How good the pseudo labels are is not known (pseudo/quality.json): the true events are not there."
            )
        )
    else:
        section.blocks.extend(_quality_tables(quality))
    return section


def settings_section(run: Path) -> Section:
    """The recipe as it was given."""
    path = run / "recipe.toml"
    if not path.is_file():
        return Section("settings", "Settings", [Missing("There is no recipe (recipe.toml).")])
    text = path.read_text(encoding="utf-8", errors="replace")
    note = Text("The recipe of this run. What it leaves out has its default.")
    return Section("settings", "Settings", [note, Source(text, "The recipe")])


def provenance_section(run: Path) -> Section:
    """Which stages ran when, how long, with what, from and into which files; where the page was written."""
    section = Section("provenance", "Provenance")
    ledger = read_json(run / "ledger.json")
    if ledger is None:
        section.blocks.append(Missing("There is no record of the stages (ledger.json)."))
    else:
        section.blocks.extend(_ledger_blocks(ledger, run))
    section.blocks.extend([Heading("This page"), TableBlock(_page_table())])
    return section


def ledger_seconds(ledger: Mapping[str, Any]) -> float:
    """Seconds that all stages took together."""
    return float(sum(stage.get("seconds") or 0 for stage in ledger.values()))


def _ledger_blocks(ledger: Any, run: Path) -> list[Block]:
    stages = ledger.get("stages") if isinstance(ledger, dict) else None
    if not isinstance(stages, dict):
        raise SedgeError(f"{run / 'ledger.json'}: expected a table of stages, found none")
    body = [
        [
            Cell(name),
            Cell(_duration(stage.get("seconds"))),
            Cell(str(stage.get("finished_at") or "not finished")),
            Cell(
                ", ".join(f"{part} {number}" for part, number in (stage.get("versions") or {}).items()) or "–"
            ),
        ]
        for name, stage in stages.items()
    ]
    table = Table(
        f"Stages of this run; together {_duration(ledger_seconds(stages))}",
        ["Stage", "Took", "Finished", "With"],
        body,
        is_text=True,
    )
    files = [TableBlock(_files_table(name, stage)) for name, stage in stages.items()]
    return [TableBlock(table), Fold("Inputs and outputs of each stage", [*files])]


def _files_table(name: str, stage: Mapping[str, Any]) -> Table:
    rows = [
        [Cell(str(key)), Cell(kind), Cell(value_text(value))]
        for kind, part in (("input", "inputs"), ("output", "outputs"))
        for key, value in (stage.get(part) or {}).items()
    ]
    return Table(f"Stage {name}", ["Name", "Is", "Hash or value"], rows, is_text=True)


def _page_table() -> Table:
    rows = {
        "Written at": datetime.now(UTC).isoformat(timespec="seconds"),
        "Sedge": __version__,
        "Machine that wrote it": _machine(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }
    body = [[Cell(name), Cell(value)] for name, value in rows.items()]
    return Table("When and with what this page was written", ["What", "Value"], body, is_text=True)


def _named_tables(title: str, record: Any) -> list[Block]:
    """A record's own values as one table, and each of its tables of equal rows (by label or by set) as another."""
    if not isinstance(record, dict):
        return [Source(json.dumps(record, indent=1, ensure_ascii=False), title)]
    nested = {name: value for name, value in record.items() if isinstance(value, dict)}
    single = {name: value for name, value in record.items() if name not in nested}
    blocks: list[Block] = []
    if single:
        body = [[Cell(heading(name)), Cell(value_text(value))] for name, value in single.items()]
        blocks.append(TableBlock(Table(title, ["What", "Value"], body, is_text=True)))
    for name, table in nested.items():
        if table and all(isinstance(row, dict) and not _holds_tables(row) for row in table.values()):
            blocks.append(TableBlock(rows_table(f"{title}: {heading(name).lower()}", table)))
        else:
            blocks += _named_tables(f"{title}: {name}", table)
    return blocks


def _quality_tables(quality: Any) -> list[Block]:
    """Figures of each labelled set side by side, then those of its labels."""
    title = "Pseudo labels against the truth"
    if not (isinstance(quality, dict) and all(isinstance(of_set, dict) for of_set in quality.values())):
        return _named_tables(title, quality)
    whole = {
        name: {key: value for key, value in of_set.items() if not isinstance(value, dict)}
        for name, of_set in quality.items()
    }
    blocks: list[Block] = [TableBlock(rows_table(title, whole, "Set"))]
    for name, of_set in quality.items():
        per_label = of_set.get("per_label")
        if isinstance(per_label, dict):
            blocks.append(TableBlock(rows_table(f"{title}, label by label: {name}", per_label)))
    return blocks


def _holds_tables(row: Mapping[str, Any]) -> bool:
    return any(isinstance(value, dict) for value in row.values())


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return "–"
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {left:02} s" if minutes else f"{seconds:.1f} s"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _machine() -> str:
    return f"{processor_name()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"
