"""What a run's folder holds for the report. Every part may be absent; a damaged one is an error that names it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.core.errors import SedgeError

METRICS = "metrics.json"
RANKING = Path("ensemble") / "ranking.json"
RESULTS = (1, 2, 3, 4)
MODELS = {
    "baseline": "Baseline CRNN",
    "fbcrnn": "FBCRNN",
    "mlfl": "MLFL",
    "tag_cnn": "Tag-conditioned CNN",
}
"""Folder of each model's runs, and its name in sentences and tables."""


@dataclass(frozen=True)
class Log:
    """What a training run noted: values by step under each name, in the order of their steps."""

    losses: dict[str, dict[int, float]]
    quality: dict[str, dict[int, float]]
    clips_per_s: dict[int, float]
    unreadable: int
    """Lines cut off by a kill in the middle of writing."""


def read_json(path: Path) -> Any:
    """What a JSON file says, None where there is none. Raises SedgeError where it is damaged."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SedgeError(f"{path}: expected JSON, found a file that is not ({error})") from error


def read_figures(path: Path) -> dict[str, Any] | None:
    """Figures of a system, None where they were not measured. Raises SedgeError unless they are named values."""
    figures = read_json(path)
    if figures is not None and not isinstance(figures, dict):
        raise SedgeError(f"{path}: expected figures by name, found {type(figures).__name__}")
    return figures


def seed_folders(folder: Path, name: str) -> dict[str, Path]:
    """Folders of a model's runs that hold the file `name`, by seed, numbers in their order."""
    found = [path.parent for path in folder.glob(f"*/{name}") if path.is_file()]
    return {path.name: path for path in sorted(found, key=lambda path: seed_order(path.name))}


def seed_order(seed: str) -> tuple[int, str]:
    """Where a seed stands among others: 2 before 10, words last."""
    return (int(seed), "") if seed.isdecimal() else (10**9, seed)


def read_log(path: Path) -> Log:
    """The log of a training run. A step noted twice, before and after a kill, counts as noted last."""
    losses: dict[str, dict[int, float]] = {}
    quality: dict[str, dict[int, float]] = {}
    unreadable = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        entry = _entry(line)
        if entry is None:
            unreadable += 1
            continue
        step = entry["step"]
        for name, value in _values(entry):
            losses.setdefault(name, {})[step] = value
        for name, value in _values(entry.get("quality") or {}):
            quality.setdefault(name, {})[step] = value
    speed = losses.pop("clips_per_s", {})
    return Log(_by_step(losses), _by_step(quality), dict(sorted(speed.items())), unreadable)


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("step"), int) else None


def _values(entry: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in entry.items():
        if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _by_step(named: dict[str, dict[int, float]]) -> dict[str, dict[int, float]]:
    return {name: dict(sorted(values.items())) for name, values in named.items()}
