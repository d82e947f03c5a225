"""Parquet: one row an event, with typed columns, for data tools.

Bytes of names that are no UTF-8 stand as U+FFFD and two hexadecimal digits, since a text column has no place
for them; U+FFFD itself is doubled.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, ExportEvent
from edge_app.formats.growing_table import GrowingTable, write_once
from edge_app.formats.rows import seconds
from edge_app.formats.side_files import read_beside
from edge_app.formats.whole_file import encoded

ROW_GROUP = 50_000
"""Rows that are held and written at once."""
ABOUT_KEY = b"sedge.about"
"""The file's metadata under this key are what the events were found with, as JSON."""
_KINDS: Mapping[str, type] = {
    "filename": str,
    "onset": float,
    "offset": float,
    "event_label": str,
    "score": float,
    "mean": float,
    "onset_utc": datetime,
    "session_id": int,
    "event_id": int,
    "source": str,
    "state": str,
    "cut": bool,
    "review": str,
    "note": str,
    "clip": str,
    "model": str,
    "threshold_on": float,
    "threshold_off": float,
}
_NAMES = {"filename": "file"}  # of the fields that have another name in events
COLUMNS = tuple(_KINDS)
REQUIRED = ("filename", "onset", "offset", "event_label")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNREADABLE = re.compile("[\udc80-\udcff\ufffd]")
_WRITTEN = re.compile("\ufffd(\ufffd|[89A-F][0-9A-F])")


class ParquetTable(GrowingTable):
    """One row an event in full precision; files without events have no place here, gaps and marks lie beside.

    Raises SedgeError, where it is opened, if the library for it is not installed.
    """

    about_beside = False

    @contextmanager
    def opened(self) -> Iterator[Self]:
        """Open for writing, as any table."""
        self._library = _library(self.path)
        from pyarrow.parquet import ParquetWriter

        metadata = {ABOUT_KEY: _json(self.path, self.about)}
        self._schema = self._library.schema(_fields(self._library).items(), metadata)
        self._rows: list[tuple[object, ...]] = []
        with (
            super().opened(),
            ParquetWriter(self.handle, self._schema, compression="zstd") as self._writer,
        ):
            yield self
            self._write_group()

    def append(self, kept: Export) -> None:
        """Hold the rows of an export, and write those that fill a group."""
        for event in kept.events:
            self._rows.append(_row(self.path, event))
            if len(self._rows) == ROW_GROUP:
                self._write_group()

    def _write_group(self) -> None:
        if not self._rows:
            return
        columns = [
            self._library.array(column, field.type)
            for column, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(self._library.table(columns, schema=self._schema), ROW_GROUP)
        self._rows = []


def write_parquet(path: str | Path, export: Export) -> int:
    """Write one row an event; returns how many events were left out.

    Raises SedgeError as `tidy` does, and where the library for it is not installed.
    """
    return write_once(ParquetTable, path, export)


def read_parquet(path: str | Path) -> Export:
    """The export in a file and what lies beside it; a file of another program needs the first four columns.

    Raises SedgeError, naming the row, where something is not as written, and where the library is not installed.
    """
    library = _library(path)
    from pyarrow.parquet import ParquetFile

    try:
        with Path(path).open("rb") as handle, ParquetFile(handle) as file:
            columns, metadata = _columns(library, path, file), file.schema_arrow.metadata or {}
        about = json.loads(metadata.get(ABOUT_KEY, b"{}"))
    except OSError as error:
        raise SedgeError(f"{path}: cannot be read ({error.strerror or _words(error)})") from error
    except (library.ArrowException, ValueError) as error:
        raise SedgeError(f"{path}: expected a table as written here, found: {_words(error)}") from error
    rows = zip(*columns.values(), strict=True)
    events = [
        _event(f"{path}, row {number}", dict(zip(columns, row, strict=True)))
        for number, row in enumerate(rows, start=1)
    ]
    return replace(read_beside(path, events), about=about)


def _library(path: str | Path) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise SedgeError(
            f"{path}: Parquet needs a library that is not installed: pip install pyarrow"
        ) from error
    return pyarrow


def _fields(library: Any) -> dict[str, Any]:
    """The type of each column."""
    types = {
        str: library.string(),
        float: library.float64(),
        int: library.int64(),
        bool: library.bool_(),
        datetime: library.timestamp("us", "UTC"),
    }
    return {name: types[kind] for name, kind in _KINDS.items()}


def _json(path: Path, about: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(about, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise SedgeError(f"{path}: expected what JSON can hold, found: {error}") from error


def _row(path: Path, event: ExportEvent) -> tuple[object, ...]:
    """The values of an event in the order of the columns."""
    return tuple(_value(path, getattr(event, _NAMES.get(name, name))) for name in COLUMNS)


def _value(path: Path, value: object) -> object:
    if isinstance(value, str):
        text = _UNREADABLE.sub(_escaped, value)
        encoded(path, text)  # what is still no Unicode is refused in words
        return text
    # Whole microseconds from 1970: the library would ask the system for its table of time zones.
    return (value - _EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value


def _columns(library: Any, path: str | Path, file: Any) -> dict[str, list[Any]]:
    """The values of each column that is there, by name."""
    fields, names = _fields(library), file.schema_arrow.names
    if not set(REQUIRED) <= set(names):
        raise SedgeError(f"{path}: expected columns {list(REQUIRED)}, found {names}")
    table = file.read([name for name in COLUMNS if name in names])
    columns = {name: table.column(name).cast(fields[name]) for name in table.column_names}
    if "onset_utc" in columns:
        columns["onset_utc"] = columns["onset_utc"].cast(library.int64())
    return {name: column.to_pylist() for name, column in columns.items()}


def _event(where: str, row: Mapping[str, Any]) -> ExportEvent:
    missing = [name for name in REQUIRED if row[name] in (None, "")]
    if missing:
        raise SedgeError(f"{where}: expected {missing}, found nothing there")
    onset, offset = seconds(where, row, "onset"), seconds(where, row, "offset")
    if onset >= offset:
        raise SedgeError(f"{where}: expected an onset before the offset, found {onset} and {offset}")
    fields = {name: value for name, value in row.items() if value is not None}
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = _WRITTEN.sub(_unescaped, value)
    if "onset_utc" in fields:
        fields["onset_utc"] = _EPOCH + timedelta(microseconds=fields["onset_utc"])
    known: dict[str, Any] = {"source": "", "score": 1.0, **fields}
    return ExportEvent(**{_NAMES.get(name, name): value for name, value in known.items()})


def _escaped(match: re.Match[str]) -> str:
    """A byte that is no UTF-8, or the character that stands for one, as text."""
    return "\ufffd\ufffd" if match[0] == "\ufffd" else f"\ufffd{ord(match[0]) - 0xDC00:02X}"


def _unescaped(match: re.Match[str]) -> str:
    return "\ufffd" if match[1] == "\ufffd" else chr(0xDC00 + int(match[1], 16))


def _words(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())
