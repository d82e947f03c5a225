"""What lies beside a table that has no place for it: gaps, marks, and what its events were found with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportMark
from edge_app.formats.rows import escape, read_rows, read_text, seconds
from edge_app.formats.whole_file import write_whole

GAPS_SUFFIX = ".not_analysed.tsv"
MARKS_SUFFIX = ".marks.tsv"
ABOUT_SUFFIX = ".about.json"
GAP_COLUMNS = ("filename", "onset", "offset", "kind")
MARK_COLUMNS = ("filename", "at", "note")
_DOUBLE_SUFFIXES = (".selections.txt", ".scores.tsv")


def stem(path: str | Path) -> str:
    """A table's name without its suffix, of which `.selections.txt` is one."""
    path = Path(path)
    for double in _DOUBLE_SUFFIXES:
        if path.name.endswith(double) and path.name != double:
            return path.name.removesuffix(double)
    return path.stem


def beside(path: str | Path, suffix: str) -> Path:
    """The file of that suffix beside a table: `a.selections.txt` and `a.tsv` both have `a.about.json`."""
    return Path(path).with_name(stem(path) + suffix)


def write_beside(path: str | Path, export: Export) -> None:
    """Write the gaps, marks and `about` of a tidy export beside a table; what is left from a former export goes."""
    write_gaps(path, export.gaps)
    _write_marks(path, export.marks)
    if export.about:
        write_whole(beside(path, ABOUT_SUFFIX), json.dumps(dict(export.about), indent=2) + "\n")
    else:
        remove(beside(path, ABOUT_SUFFIX))


def write_gaps(path: str | Path, gaps: Sequence[ExportGap]) -> None:
    """Write the gaps beside a table; where there are none, those of a former export go."""
    rows = [(gap.file, f"{gap.onset:.6f}", f"{gap.offset:.6f}", gap.kind) for gap in gaps]
    _write_table(beside(path, GAPS_SUFFIX), GAP_COLUMNS, rows)


def read_beside(
    path: str | Path, events: Sequence[ExportEvent], durations: Mapping[str, float] | None = None
) -> Export:
    """The export of a table's events, with what lies beside it. Raises SedgeError for damaged files."""
    gaps, marks, about = (beside(path, suffix) for suffix in (GAPS_SUFFIX, MARKS_SUFFIX, ABOUT_SUFFIX))
    return Export(
        events,
        read_gaps(gaps) if gaps.is_file() else [],
        durations or {},
        read_object(about) if about.is_file() else {},
        marks=read_marks(marks) if marks.is_file() else [],
    )


def read_gaps(path: str | Path) -> list[ExportGap]:
    """The gaps in a table of them. Raises SedgeError, naming the row, where one is not as written."""
    return [
        ExportGap(seconds(where, row, "onset"), seconds(where, row, "offset"), row["kind"], row["filename"])
        for where, row in read_rows(path, GAP_COLUMNS)
    ]


def read_marks(path: str | Path) -> list[ExportMark]:
    """The marks in a table of them. Raises SedgeError, naming the row, where one is not as written."""
    return [
        ExportMark(seconds(where, row, "at"), row["note"], row["filename"])
        for where, row in read_rows(path, MARK_COLUMNS)
    ]


def read_object(path: str | Path) -> dict[str, Any]:
    """The one JSON object in a file, or SedgeError."""
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise SedgeError(f"{path}: expected JSON, found: {error}") from error
    if not isinstance(found, dict):
        raise SedgeError(f"{path}: expected a JSON object, found {type(found).__name__}")
    return found


def remove(path: Path) -> None:
    """Remove a file if it is there. Raises SedgeError where that is refused."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SedgeError(f"{path}: cannot be removed ({error.strerror or error})") from error


def _write_marks(path: str | Path, marks: Sequence[ExportMark]) -> None:
    rows = [(mark.file, f"{mark.at:.6f}", mark.note) for mark in marks]
    _write_table(beside(path, MARKS_SUFFIX), MARK_COLUMNS, rows)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table, or take away a former one where there is nothing to write."""
    if not rows:
        remove(path)
        return
    lines = ["\t".join(columns), *("\t".join(map(escape, row)) for row in rows)]
    write_whole(path, "\n".join(lines) + "\n")
