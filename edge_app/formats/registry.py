"""The formats of exports, by the names that commands and menus use."""

from collections.abc import Callable, Mapping
from pathlib import Path

from edge_app.formats.audacity import read_audacity, write_audacity
from edge_app.formats.csv_table import read_csv, write_csv
from edge_app.formats.desed_tsv import read_desed, write_desed
from edge_app.formats.exchange import Export
from edge_app.formats.frame_scores import read_score_export, write_score_export
from edge_app.formats.json_file import read_json, write_json
from edge_app.formats.json_lines import read_json_lines, write_json_lines
from edge_app.formats.raven import read_raven, write_raven
from edge_app.formats.rttm import read_rttm, write_rttm

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
    "frame-scores": ".scores.tsv",
}
EVENT_FORMATS = tuple(name for name in WRITERS if name != "frame-scores")
"""Formats that hold events."""
ONE_RECORDING = frozenset({"audacity", "frame-scores"})
"""Formats that hold one recording a file: `exchange.split` an export of several first."""
