"""Parquet: typed columns, groups of rows of one size, files of other programs, and what is wrong named."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_app.core.errors import SedgeError
from edge_app.formats import parquet
from edge_app.formats.exchange import Export, ExportEvent, ExportGap
from edge_app.formats.parquet import read_parquet, write_parquet
from edge_app.formats.registry import open_table

pyarrow = pytest.importorskip("pyarrow")
tables = pytest.importorskip("pyarrow.parquet")
WHEN = datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC)
CAT = ExportEvent("mic", "b.wav", 0.5, 2.0, "Cat", 1.0, mean=0.75, onset_utc=WHEN, session_id=3)


def test_columns_have_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, Export([CAT], [ExportGap(1.0, 2.0, "lost", "b.wav")], {"b.wav": 4.0}, {"app": "x"}))
    schema = tables.read_schema(path)
    assert {field.name: str(field.type) for field in schema} == {
        **dict.fromkeys(("filename", "event_label", "source", "state", "review", "note"), "string"),
        **dict.fromkeys(("clip", "model"), "string"),
        **dict.fromkeys(("onset", "offset", "score", "mean", "threshold_on", "threshold_off"), "double"),
        **dict.fromkeys(("session_id", "event_id"), "int64"),
        "onset_utc": "timestamp[us, tz=UTC]",
        "cut": "bool",
    }
    assert json.loads(schema.metadata[b"sedge.about"]) == {"app": "x"}
    row = {name: values[0] for name, values in tables.read_table(path).to_pydict().items()}
    assert (row["filename"], row["onset"], row["offset"], row["event_label"]) == ("b.wav", 0.5, 2.0, "Cat")
    assert (row["mean"], row["onset_utc"], row["session_id"], row["event_id"]) == (0.75, WHEN, 3, None)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.not_analysed.tsv", "a.parquet"]


def test_groups_of_rows_do_not_depend_on_the_chunks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 4)
    with open_table("parquet", tmp_path / "a.parquet") as table:
        for number in range(5):
            events = [ExportEvent("", f"{number}.wav", n, n + 0.5, "Cat", 0.5) for n in range(number)]
            table.write(Export(events, (), {f"{number}.wav": 60.0}))
    held = tables.ParquetFile(tmp_path / "a.parquet").metadata
    assert [held.row_group(n).num_rows for n in range(held.num_row_groups)] == [4, 4, 2]


def test_a_table_of_another_program_needs_four_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"event_label": ["Cat"], "onset": [1], "offset": [2.5], "filename": ["a"], "more": [None]}
    tables.write_table(pyarrow.table(columns), path)
    assert read_parquet(path).events == [ExportEvent("", "a", 1.0, 2.5, "Cat", 1.0)]
    tables.write_table(pyarrow.table({"filename": ["a"]}), path)
    with pytest.raises(SedgeError, match=r"a\.parquet: expected columns .*'onset'.*found \['filename'\]"):
        read_parquet(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"onset": [-1.0]}, "row 1: onset: expected seconds from 0, found -1"),
        ({"onset": [None]}, "row 1: expected \\['onset'\\]"),
        ({"onset": [3.0]}, "row 1: expected an onset before"),
        ({"onset": ["soon"]}, "expected a table as written here"),
        ({"filename": [None]}, "row 1: expected \\['filename'\\]"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, columns: dict, message: str) -> None:
    path = tmp_path / "a.parquet"
    right = {"filename": ["a"], "onset": [1.0], "offset": [2.0], "event_label": ["Cat"]}
    tables.write_table(pyarrow.table(right | columns), path)
    with pytest.raises(SedgeError, match=f"a\\.parquet.*{message}") as caught:
        read_parquet(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, Export([CAT] * 200))
    whole = path.read_bytes()
    for wrong in (b"", b"no table", whole[:-9], whole[: len(whole) // 2] + bytes(len(whole) // 2)):
        path.write_bytes(wrong)
        with pytest.raises(SedgeError, match=r"a\.parquet: ") as caught:
            read_parquet(path)
        assert "\n" not in str(caught.value)


def test_without_its_library_it_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for act in (lambda path: write_parquet(path, Export()), read_parquet):
        with pytest.raises(SedgeError, match=r"a\.parquet: .*pip install pyarrow"):
            act(tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []
