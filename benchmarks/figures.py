"""What a benchmark found, as one JSON object that others can be compared with.

A result holds `schema_version`, `benchmark`, `measured_at`, `sedge_version`, `machine`, `settings`, `figures` and
`details`. Figures are what results are compared by; details are the benchmark's own affair.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import Machine
from edge_app import __version__
from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import write_whole

RESULT_SCHEMA_VERSION: Final = 1
RESULT_FIELDS = (
    *("schema_version", "benchmark", "measured_at", "sedge_version"),
    *("machine", "settings", "figures", "details"),
)
SPREAD_PERCENTILES = (5, 95)
LEAST_FOR_SPREAD: Final = 20
"""Repeats from which on these percentiles are not just numbers between the two at each end."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that results are compared by. Raises SedgeError for one that cannot be compared."""

    name: str
    """Unique in its result; parts from the general to the special, with ` / ` between them."""
    unit: str
    better: Literal["lower", "higher"]
    value: float
    low: float | None = None
    """What the value ranged over, from here: 5th percentile or least of the repeats; None where measured once."""
    high: float | None = None
    count: int = 1
    """Of the measurements behind it."""

    def __post_init__(self) -> None:
        numbers = [number for number in (self.value, self.low, self.high) if number is not None]
        if not all(map(_is_finite, numbers)):
            raise SedgeError(f"figure {self.name}: expected finite numbers, found {numbers}")
        if self.better not in ("lower", "higher"):
            raise SedgeError(f"figure {self.name}: expected better lower or higher, found {self.better!r}")
        if (self.low is None) != (self.high is None):
            raise SedgeError(f"figure {self.name}: expected both ends of a spread or none, found one")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise SedgeError(f"figure {self.name}: expected low <= high, found {self.low} and {self.high}")


def _is_finite(number: object) -> bool:
    return isinstance(number, int | float) and math.isfinite(number)


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of a benchmark found, as read from a file."""

    benchmark: str
    measured_at: str
    """UTC, ISO 8601."""
    sedge_version: str
    machine: Machine
    settings: dict[str, Any]
    figures: tuple[Figure, ...]
    details: Any


def spread_figure(
    name: str, unit: str, better: Literal["lower", "higher"], values: Sequence[float]
) -> Figure:
    """The median of repeats, at least one, with their 5th and 95th percentile, or the least and the most of few."""
    value = float(np.median(values))
    if len(values) == 1:
        return Figure(name, unit, better, value)
    return Figure(name, unit, better, value, *spread(values), len(values))


def spread(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """From where to where repeats went: their 5th and 95th percentile, or the least and the most of few."""
    ends = SPREAD_PERCENTILES if len(values) >= LEAST_FOR_SPREAD else (0, 100)
    low, high = (float(end) for end in np.percentile(values, ends))
    return low, high


def write_result(
    path: Path | None,
    benchmark: str,
    machine: Machine,
    settings: Mapping[str, Any],
    figures: Iterable[Figure],
    details: Any = None,
) -> dict[str, Any]:
    """Write a result as JSON, where a path is given, and return it as plain values.

    Results compare only where `settings` agree in "threads" and "bundle" (`bundle_setting`), where they are there.
    Details may be dataclasses, also within lists and mappings. Raises SedgeError for two figures of one name and
    for values that JSON does not have.
    """
    figures = tuple(figures)
    names = [figure.name for figure in figures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SedgeError(f"{benchmark}: expected figures of different names, found twice: {', '.join(twice)}")
    found = Result(
        benchmark=benchmark,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        sedge_version=__version__,
        machine=machine,
        settings=dict(settings),
        figures=figures,
        details=details,
    )
    result = _document(found)
    if path is not None:
        write_whole(path, json_text(result))
    return result


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write several results as one file, as `read_results` reads them."""
    documents = [_document(result) for result in results]
    write_whole(path, json_text({"schema_version": RESULT_SCHEMA_VERSION, "results": documents}))


def _document(result: Result) -> dict[str, Any]:
    return {"schema_version": RESULT_SCHEMA_VERSION, **plain(result)}


def json_text(value: Any) -> str:
    """A JSON text of plain values. Raises SedgeError for numbers that JSON does not have."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        raise SedgeError(f"result: expected finite numbers, found others ({error})") from error


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses as objects, paths as text, NumPy's numbers and arrays as Python's."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, PurePath):
        return value.as_posix()
    if value is None or isinstance(value, str | int | float):
        return value
    raise SedgeError(f"result: expected a value that JSON has, found {type(value).__name__}")


def read_result(path: Path) -> Result:
    """The one result of a file. Raises SedgeError where it holds none, several, or one that is not understood."""
    results = read_results(path)
    if len(results) != 1:
        raise SedgeError(f"{path}: expected one result, found {len(results)}")
    return results[0]


def read_results(path: Path) -> list[Result]:
    """All results of a file: what `write_result` or `write_results` wrote. Raises SedgeError as `read_result`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SedgeError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise SedgeError(f"{path}: expected JSON, found: {error}") from error
    parts = content.get("results", [content]) if isinstance(content, dict) else [content]
    if not isinstance(parts, list):
        raise SedgeError(f"{path}: results: expected a list, found {type(parts).__name__}")
    _check_version(path, content)
    if not parts:
        raise SedgeError(f"{path}: expected results, found none")
    return [_result_of(path, part) for part in parts]


def _check_version(path: Path, content: Any) -> None:
    found = content.get("schema_version") if isinstance(content, dict) else type(content).__name__
    if found != RESULT_SCHEMA_VERSION:
        raise SedgeError(
            f"{path}: schema_version: expected {RESULT_SCHEMA_VERSION} (a result of a benchmark), found {found}"
        )


def _result_of(path: Path, content: Any) -> Result:
    _check_version(path, content)
    missing = [name for name in RESULT_FIELDS if name not in content]
    if missing:
        raise SedgeError(
            f"{path}: expected the fields {', '.join(RESULT_FIELDS)}, missing {', '.join(missing)}"
        )
    try:
        return Result(
            benchmark=str(content["benchmark"]),
            measured_at=str(content["measured_at"]),
            sedge_version=str(content["sedge_version"]),
            machine=Machine(**content["machine"]),
            settings=dict(content["settings"]),
            figures=tuple(Figure(**figure) for figure in content["figures"]),
            details=content["details"],
        )
    except (TypeError, ValueError) as error:
        raise SedgeError(
            f"{path}: expected machine, settings and figures of a result, found: {error}"
        ) from error
    except SedgeError as error:
        raise SedgeError(f"{path}: {error}") from error


def bundle_setting(name: str, graph_sha256: str) -> dict[str, str]:
    """What settings["bundle"] holds: the model that was measured. Several models: a list of these."""
    return {"name": name, "graph_sha256": graph_sha256}
