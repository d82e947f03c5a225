"""What a run has done: for each unit of work its inputs and outputs by hash, in one file, `ledger.json`.

A unit whose inputs are as recorded is not done again. One whose inputs have changed is refused, with the stage
to run anew: results of two different runs never end up in one folder.
"""

import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from edge_app import __version__
from edge_app.core.bundle import file_sha256
from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import write_whole

LEDGER = "ledger.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Unit:
    """A piece of work that is done once: `name` is its folder in the run, `stage` what the user reruns."""

    name: str
    stage: str
    settings: Mapping[str, Any]
    """What it is made with, besides files."""
    reads: tuple[str, ...]
    """Files of the run that it reads, made by earlier units."""
    writes: tuple[str, ...]
    """Files of the run that it leaves."""
    work: Callable[[], object]
    checks_itself: bool = False
    """Whether work that was left half done may go on with other inputs, since it notices them itself."""
    everywhere: bool = False
    """Whether several processes share the work out; otherwise the first does it while the others wait."""


class Ledger:
    """The record of one run's folder."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._path = run / LEDGER
        self._units: dict[str, dict[str, Any]] = _read(self._path)
        self._seen: dict[str, str] = {}

    def is_done(self, unit: Unit) -> bool:
        """Whether the unit is done with these inputs and its files are as it left them.

        Raises SedgeError where its inputs, or a file that it reads or wrote, are not what was recorded.
        """
        inputs, recorded = self._inputs(unit), self._units.get(unit.name)
        if recorded is None or (unit.checks_itself and "outputs" not in recorded):
            return False
        changed = sorted(
            key
            for key in inputs.keys() | recorded["inputs"].keys()
            if inputs.get(key) != recorded["inputs"].get(key)
        )
        if changed:
            was, now = recorded["inputs"].get(changed[0]), inputs.get(changed[0])
            raise SedgeError(
                f"{self.run / unit.name}: expected {changed[0]} as when it was made ({_short(was)}), found it changed "
                f"({_short(now)}); run stage {unit.stage} again with --from {unit.stage}, or give the run another name"
            )
        if "outputs" not in recorded:
            return False
        for name, expected in recorded["outputs"].items():
            self._check_file(name, expected, unit.stage)
        return True

    def begin(self, unit: Unit) -> None:
        """Record that the unit was begun with these inputs: what it leaves half done belongs to them."""
        self._units[unit.name] = {"stage": unit.stage, "inputs": self._inputs(unit)}
        self._write()

    def finish(self, unit: Unit, seconds: float) -> None:
        """Record the files that the unit left. Raises SedgeError where one is missing."""
        missing = [name for name in unit.writes if not (self.run / name).is_file()]
        if missing:
            raise SedgeError(
                f"{self.run / unit.name}: expected {missing[0]} to be written, found no such file"
            )
        self._units[unit.name] |= {
            "outputs": {name: self._hash(name, anew=True) for name in unit.writes},
            "seconds": round(seconds, 1),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": _versions(),
        }
        self._write()

    def perform(self, unit: Unit) -> None:
        """Do the unit, from where it was left, and record it."""
        self.begin(unit)
        started = time.perf_counter()
        unit.work()
        self.finish(unit, time.perf_counter() - started)

    def forget(self, stages: Iterable[str]) -> list[str]:
        """Drop the record of all units of some stages; the names of the folders and files that they leave."""
        chosen = set(stages)
        dropped = {name: unit for name, unit in self._units.items() if unit["stage"] in chosen}
        self._units = {name: unit for name, unit in self._units.items() if name not in dropped}
        self._write()
        return [left for name, unit in dropped.items() for left in (name, *unit.get("outputs", ()))]

    def _inputs(self, unit: Unit) -> dict[str, str]:
        inputs = {
            f"setting {key}": json.dumps(value, sort_keys=True, default=str)
            for key, value in unit.settings.items()
        }
        made_by = {name: other for other in self._units.values() for name in other.get("outputs", ())}
        for name in unit.reads:
            if name not in made_by:
                raise SedgeError(
                    f"{self.run / name}: expected what an earlier stage writes, found it not yet made"
                )
            expected = made_by[name]["outputs"][name]
            self._check_file(name, expected, made_by[name]["stage"])
            inputs[name] = expected
        return inputs

    def _check_file(self, name: str, expected: str, stage: str) -> None:
        if not (self.run / name).is_file():
            raise SedgeError(
                f"{self.run / name}: expected the file that stage {stage} wrote, found none; "
                f"run the stage again with --from {stage}"
            )
        found = self._hash(name)
        if found != expected:
            raise SedgeError(
                f"{self.run / name}: expected the file that stage {stage} wrote ({_short(expected)}), found another "
                f"({_short(found)}); put it back, or run the stage again with --from {stage}"
            )

    def _hash(self, name: str, anew: bool = False) -> str:
        if anew or name not in self._seen:
            self._seen[name] = file_sha256(self.run / name)
        return self._seen[name]

    def _write(self) -> None:
        self.run.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"schema_version": _SCHEMA, "stages": self._units}, indent=1)
        write_whole(self._path, text + "\n")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        schema, units = found["schema_version"], found["stages"]
        units = {
            name: {**unit, "stage": unit["stage"], "inputs": unit["inputs"]} for name, unit in units.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SedgeError(f"{path}: expected the ledger of a run, found: {error}") from error
    if schema != _SCHEMA:
        raise SedgeError(f"{path}: schema_version: expected {_SCHEMA}, found {schema}")
    return units


def _versions() -> dict[str, str]:
    return {
        "sedge": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchaudio": version("torchaudio"),
        "numpy": version("numpy"),
        "machine": f"{platform.machine()} {torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'}",
    }


def _short(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if len(value) <= 40 else f"{value[:37]}..."
