"""Rows of a table with a header: TAB-separated, or comma-separated with quotes."""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge_app.core.errors import SedgeError

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {written: character for character, written in _ESCAPES.items()}


def escape(name: str) -> str:
    """A name as it stands in a table: without tabs and line breaks."""
    return re.sub(r"[\\\t\n\r]", lambda match: _ESCAPES[match[0]], name)


def unescape(name: str) -> str:
    """The name that `escape` was given; other backslashes stay."""
    return re.sub(r"\\[\\tnr]", lambda match: _UNESCAPES[match[0]], name)


def read_text(path: str | Path) -> str:
    """A whole text file in UTF-8; bytes that are none come back as they are. Raises SedgeError if it cannot be read."""
    try:
        return Path(path).read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise SedgeError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_rows(
    path: str | Path, columns: Sequence[str], escaped: bool = True
) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row that is not empty, with the place it stands in, reduced to the columns asked for.

    `escaped` undoes `escape` in tables with tabs. Raises SedgeError for missing columns and short rows.
    """
    lines = _fields(read_text(path), escaped)
    header = [name.strip() for name in next(lines, [])]
    missing = [column for column in columns if column not in header]
    if missing:
        raise SedgeError(f"{path}: expected columns {list(columns)}, found {header}")
    places = {column: header.index(column) for column in columns}
    for number, fields in enumerate(lines, start=2):
        where = f"{path}, row {number}"
        if not any(fields):
            continue
        if len(fields) <= max(places.values()):
            raise SedgeError(f"{where}: expected {len(header)} fields, found {len(fields)}")
        yield where, {column: fields[place] for column, place in places.items()}


def number(where: str, row: Mapping[str, str], column: str) -> float:
    """The finite number in a column, or SedgeError."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SedgeError(f"{where}: {column}: expected a number, found {row[column]!r}")
    return value


def seconds(where: str, row: Mapping[str, str], column: str) -> float:
    """The time from 0 in a column, or SedgeError."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise SedgeError(f"{where}: {column}: expected seconds from 0, found {row[column]!r}")
    return value


def _fields(text: str, escaped: bool) -> Iterator[list[str]]:
    """Fields of each line. The header says whether commas separate: tables with tabs have no quotes."""
    header = text.partition("\n")[0]
    if "\t" not in header and "," in header:
        yield from csv.reader(io.StringIO(text, newline=""))
        return
    for line in text.split("\n"):
        fields = line.removesuffix("\r").split("\t")
        yield [unescape(field) for field in fields] if escaped else fields
