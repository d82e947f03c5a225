"""Rows of a table without a store behind it, written in every format and read back."""

from datetime import UTC, datetime

import pytest

pytest.importorskip("PyQt6")
from edge_app.formats.exchange import ExportGap, ExportMark
from edge_app.formats.export_files import write_export
from edge_app.formats.registry import EVENT_FORMATS, READERS
from edge_app.views.tables.event_rows import EventRow
from edge_app.views.tables.table_export import rows_export

ROWS = [
    EventRow(
        2, "Cat", 4.0, 5.5, 0.75, 0.5, datetime(2026, 3, 1, tzinfo=UTC), state="open", note="in the hall"
    ),
    EventRow(1, "Dog", 0.5, 1.0, 0.5, source="kitchen", review="rejected", cut=True),
]
EXPORT = rows_export(
    ROWS,
    "live",
    10.0,
    [ExportGap(6.0, 7.0, "lost")],
    [ExportMark(8.0, "who?")],
    {"app": "sedge"},
    "USB microphone",
)


@pytest.mark.parametrize("format_name", EVENT_FORMATS)
def test_every_format_takes_the_rows(tmp_path, format_name):
    [path] = write_export(tmp_path / "live.txt", format_name, EXPORT).files
    read = READERS[format_name](path)
    expected = (
        [] if format_name == "raven" else [("Dog", 0.5, 1.0), ("Cat", 4.0, 5.5)]
    )  # no sound behind them
    assert [(event.event_label, event.onset, event.offset) for event in read.events] == expected
    assert [(gap.onset, gap.offset) for gap in read.gaps] == [(6.0, 7.0)]
    assert [(mark.at, mark.note) for mark in read.marks] == [(8.0, "who?")]


def test_nothing_of_a_row_is_lost_in_json(tmp_path):
    write_export(tmp_path / "a.json", "json", EXPORT)
    dog, cat = READERS["json"](tmp_path / "a.json").events
    assert (dog.source, dog.review, dog.cut, dog.score, dog.mean) == ("kitchen", "rejected", True, 0.5, None)
    assert (cat.source, cat.note, cat.state, cat.mean) == ("USB microphone", "in the hall", "open", 0.5)
    assert cat.onset_utc == ROWS[0].at
