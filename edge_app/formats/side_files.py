"""What lies beside a table that has no place for it: the gaps, and what its events were found with."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportGap
from edge_app.formats.rows import escape, read_rows, read_text, seconds
from edge_app.formats.whole_file import write_whole

GAPS_SUFFIX = ".not_analysed.tsv"
ABOUT_SUFFIX = ".about.json"
GAP_COLUMNS = ("filename", "onset", "offset", "kind")
_DOUBLE_SUFFIXES = (".selections.txt",)


def beside(path: str | Path, suffix: str) -> Path:
    """The file of that suffix beside a table: `a.selections.txt` and `a.tsv` both have `a.about.json`."""
    path = Path(path)
    for double in _DOUBLE_SUFFIXES:
        if path.name.endswith(double) and path.name != double:
            return path.with_name(path.name.removesuffix(double) + suffix)
    return path.with_name(path.stem + suffix)


def write_beside(path: str | Path, export: Export) -> None:
    """Write the gaps and `about` of a tidy export beside a table; what is left from a former export goes."""
    write_gaps(path, export.gaps)
    if export.about:
        write_whole(beside(path, ABOUT_SUFFIX), json.dumps(dict(export.about), indent=2) + "\n")
    else:
        remove(beside(path, ABOUT_SUFFIX))


def write_gaps(path: str | Path, gaps: Sequence[ExportGap]) -> None:
    """Write the gaps beside a table; where there are none, those of a former export go."""
    if not gaps:
        remove(beside(path, GAPS_SUFFIX))
        return
    rows = [f"{escape(gap.file)}\t{gap.onset:.6f}\t{gap.offset:.6f}\t{escape(gap.kind)}" for gap in gaps]
    write_whole(beside(path, GAPS_SUFFIX), "\n".join(["\t".join(GAP_COLUMNS), *rows]) + "\n")


def read_beside(path: str | Path) -> tuple[list[ExportGap], dict[str, Any]]:
    """The gaps and `about` beside a table; empty where there are none. Raises SedgeError for damaged files."""
    gaps, about = beside(path, GAPS_SUFFIX), beside(path, ABOUT_SUFFIX)
    return read_gaps(gaps) if gaps.is_file() else [], read_object(about) if about.is_file() else {}


def read_gaps(path: str | Path) -> list[ExportGap]:
    """The gaps in a table of them. Raises SedgeError, naming the row, where one is not as written."""
    return [
        ExportGap(seconds(where, row, "onset"), seconds(where, row, "offset"), row["kind"], row["filename"])
        for where, row in read_rows(path, GAP_COLUMNS)
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
