"""Lists of recordings: one path a line, or a table with a column `filename` or `path`.

Blank lines and lines that begin with # say nothing. Paths are relative to the folder of the list. A table may
name a recording in many rows, as a table of events does; a list names each once.
"""

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_app.core.errors import SedgeError

COLUMNS = ("filename", "path")
"""Names of the column that holds the paths; the first that is there."""


@dataclass(frozen=True)
class Manifest:
    """A list of recordings that has been read."""

    folder: Path
    """Folder above all of them: that of the list where they lie in it."""
    lines: dict[str, int]
    """Line of each recording, by its path within `folder` with `/`; in the order of the list."""


def read_manifest(path: Path) -> Manifest:
    """Read a list of recordings; whether they are there is not looked at.

    Raises SedgeError where the list cannot be read, is no text, names none, or names one twice.
    """
    folder, lines = os.path.normpath(path.parent.absolute()), dict[str, int]()
    for number, text, is_table in _entries(path):
        place = _place(folder, text)
        first = lines.setdefault(place, number)
        if first != number and not is_table:
            raise SedgeError(
                f"{path}, line {number}: expected each recording once, found {text} as in line {first}"
            )
    if not lines:
        raise SedgeError(f"{path}: expected paths of recordings, one a line, found none")
    above = folder
    if not all(place.startswith(folder.rstrip(os.sep) + os.sep) for place in lines):
        above = _above(path, lines)
    start = len(above.rstrip(os.sep)) + 1
    names = {place[start:].replace(os.sep, "/"): number for place, number in lines.items()}
    return Manifest(path.parent if above == folder else Path(above), names)


def _entries(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Line, path as written, and whether the file is a table."""
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        return
    delimiter = "\t" if "\t" in first[1] else ","
    names = [name.strip().lower() for name in _cells(first[1], delimiter)]
    column = next((names.index(name) for name in COLUMNS if name in names), None)
    if column is not None:
        for number, line in lines:
            cells = _cells(line, delimiter)
            if len(cells) <= column or not cells[column]:
                raise SedgeError(f"{path}, line {number}: expected a {names[column]}, found none")
            yield number, cells[column], True
        return
    if path.suffix.lower() in (".tsv", ".csv"):
        raise SedgeError(f"{path}: expected a column {' or '.join(COLUMNS)}, found {', '.join(names)}")
    yield first[0], first[1].strip(), False
    for number, line in lines:
        yield number, line.strip(), False


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers from 1."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as handle:
            for number, line in enumerate(handle, 1):
                if "\0" in line:
                    raise SedgeError(f"{path}: expected a text with paths of recordings, found no text")
                if line.strip() and not line.lstrip().startswith("#"):
                    yield number, line.rstrip("\n")
    except OSError as error:
        raise SedgeError(f"{path}: expected a list that can be read, found: {error.strerror}") from error


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _place(folder: str, text: str) -> str:
    """The whole path of what a line names."""
    place = os.path.join(folder, text)  # noqa: PTH118 - a million of them
    if ".." in text:  # behind a link, `..` leads elsewhere than it reads
        head, name = os.path.split(place)
        place = os.path.join(os.path.realpath(head), name)  # noqa: PTH118
    return os.path.normpath(place)


def _above(path: Path, places: Iterable[str]) -> str:
    try:
        return os.path.commonpath({os.path.dirname(place) for place in places})  # noqa: PTH120
    except ValueError as error:
        raise SedgeError(f"{path}: expected recordings below one folder, found several drives") from error
