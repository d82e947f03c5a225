"""The formats of exports, by the names that commands and menus use."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_app.formats.audacity import LabelTrack, read_audacity, write_audacity
from edge_app.formats.csv_table import CsvTable, read_csv, write_csv
from edge_app.formats.desed_tsv import DesedTable, read_desed, write_desed
from edge_app.formats.exchange import Export
from edge_app.formats.frame_scores import read_score_export, write_score_export
from edge_app.formats.growing_table import GrowingTable, TableWriter
from edge_app.formats.json_file import JsonFile, read_json, write_json
from edge_app.formats.json_lines import JsonLinesTable, read_json_lines, write_json_lines
from edge_app.formats.parquet import ParquetTable, read_parquet, write_parquet
from edge_app.formats.raven import RavenTable, read_raven, write_raven
from edge_app.formats.rttm import RttmTable, read_rttm, write_rttm

Writer = Callable[[Path, Export], int]
"""Writes a whole file, with what it cannot hold beside it; returns how many events had to be left out."""
Reader = Callable[[Path], Export]

WRITERS: Mapping[str, Writer] = {
    "desed": write_desed,
    "csv": write_csv,
    "json": write_json,
    "audacity": write_audacity,
    "raven": write_raven,
    "rttm": write_rttm,
    "jsonl": write_json_lines,
    "parquet": write_parquet,
    "frame-scores": write_score_export,
}
READERS: Mapping[str, Reader] = {
    "desed": read_desed,
    "csv": read_csv,
    "json": read_json,
    "audacity": read_audacity,
    "raven": read_raven,
    "rttm": read_rttm,
    "jsonl": read_json_lines,
    "parquet": read_parquet,
    "frame-scores": read_score_export,
}
SUFFIXES: Mapping[str, str] = {
    "desed": ".tsv",
    "csv": ".csv",
    "json": ".json",
    "audacity": ".txt",
    "raven": ".selections.txt",
    "rttm": ".rttm",
    "jsonl": ".jsonl",
    "parquet": ".parquet",
    "frame-scores": ".scores.tsv",
}
_TABLES: Mapping[str, type[GrowingTable]] = {
    "desed": DesedTable,
    "csv": CsvTable,
    "json": JsonFile,
    "audacity": LabelTrack,
    "raven": RavenTable,
    "rttm": RttmTable,
    "jsonl": JsonLinesTable,
    "parquet": ParquetTable,
}
EVENT_FORMATS = tuple(_TABLES)
"""Formats that hold events."""
ONE_RECORDING = frozenset({"audacity", "frame-scores"})
"""Formats that hold one recording a file: `exchange.split` an export of several first."""
_LIBRARIES: Mapping[str, str] = {"parquet": "pyarrow"}


def open_table(
    format_name: str, path: Path, about: Mapping[str, Any] | None = None
) -> AbstractContextManager[TableWriter]:
    """A table of events that takes exports one after the other, whole recordings each, in bounded memory.

    The file appears under its name when the table is left; leaving it through an error leaves the former one.
    It has the bytes that the format's writer gives for all exports in one. `about` is as in Export.
    """
    return _TABLES[format_name](path, about).opened()


def is_at_hand(format_name: str) -> bool:
    """Whether the library that a format needs, if it needs one, is installed."""
    library = _LIBRARIES.get(format_name)
    return library is None or find_spec(library) is not None
