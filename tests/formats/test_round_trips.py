"""P9: what each format's writer writes, its own reader reads back; clipped, sorted and whole."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.formats.desed_tsv import read_events
from edge_app.formats.exchange import Export, ExportEvent, ExportGap, ExportMark, split, tidy
from edge_app.formats.registry import EVENT_FORMATS, ONE_RECORDING, READERS, SUFFIXES, WRITERS
from edge_app.formats.side_files import GAPS_SUFFIX, MARKS_SUFFIX, read_gaps, read_marks
from tests.formats.exports import expected_events, exports

FORMATS = EVENT_FORMATS
DEMO = Path(__file__).parent.parent.parent / "edge_app" / "demo"
once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)


def sort_key(event: ExportEvent) -> str:
    return repr(event)


@pytest.mark.parametrize("name", FORMATS)
@once
@given(random=st.data())
def test_every_export_is_read_back(tmp_path: Path, name: str, random: st.DataObject) -> None:
    export = random.draw(exports(most_files=1 if name in ONE_RECORDING else 3))
    path = tmp_path / f"one{SUFFIXES[name]}"
    left_out = WRITERS[name](path, export)
    found, expected = READERS[name](path), expected_events(export, name)
    assert left_out == len(export.events) - len(expected)
    # events that agree in file, onset, label and offset have no order among themselves
    assert sorted(found.events, key=sort_key) == sorted(expected, key=sort_key)
    times = [(event.file, event.onset, event.event_label) for event in found.events]
    assert times == [(event.file, event.onset, event.event_label) for event in expected]
    assert found.about == export.about
    kept, _ = tidy(export)
    assert [replace(gap, onset=round(gap.onset, 6), offset=round(gap.offset, 6)) for gap in found.gaps] == [
        replace(gap, onset=round(gap.onset, 6), offset=round(gap.offset, 6)) for gap in kept.gaps
    ]
    assert [replace(mark, at=round(mark.at, 6)) for mark in found.marks] == [
        replace(mark, at=round(mark.at, 6)) for mark in kept.marks
    ]
    if name in ("desed", "json"):
        assert found.durations == export.durations
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("name", FORMATS)
def test_writing_what_was_read_changes_no_byte(tmp_path: Path, name: str) -> None:
    found = read_events(DEMO / "soundscape.tsv")
    events = [
        ExportEvent("file", file, event.onset, event.offset, event.event_label, 0.25)
        for file, rows in found.items()
        for event in rows
    ]
    assert events
    durations = dict.fromkeys(found, 10000.0)
    path = tmp_path / f"one{SUFFIXES[name]}"
    assert WRITERS[name](path, Export(events, (), durations)) == 0
    first = path.read_bytes()
    again = replace(READERS[name](path), durations=durations if name not in ONE_RECORDING else {"one": 1e4})
    assert WRITERS[name](path, again) == 0
    assert path.read_bytes() == first


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("label", ["Dog\tCat", "Dog\nCat", "Dog\rCat", "", " "])
def test_labels_that_break_tables_are_refused(tmp_path: Path, name: str, label: str) -> None:
    export = Export([ExportEvent("", "a.wav", 0.0, 1.0, label, 0.5)], (), {"a.wav": 2.0})
    with pytest.raises(SedgeError, match="event label"):
        WRITERS[name](tmp_path / "a", export)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_times_are_clipped_and_sorted(tmp_path: Path, name: str) -> None:
    rows = [(3.0, 9.0, "Dog"), (-1.0, 0.5, "Dog"), (3.0, 4.0, "Cat"), (5.0, 6.0, "Dog"), (2.0, 2.0, "Cat")]
    export = Export([ExportEvent("", "one", *row, 0.5) for row in rows], (), {"one": 5.0})
    path = tmp_path / f"one{SUFFIXES[name]}"
    assert WRITERS[name](path, export) == 2
    assert [(event.onset, event.offset, event.event_label) for event in READERS[name](path).events] == [
        (0.0, 0.5, "Dog"),
        (3.0, 4.0, "Cat"),
        (3.0, 5.0, "Dog"),
    ]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
def test_gaps_lie_beside_and_go_with_their_table(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"night.3{SUFFIXES[name]}"
    gaps = (ExportGap(2.0, 30.0, "lost"), ExportGap(0.5, 1.25, "skipped"))
    WRITERS[name](path, Export((), gaps, {"live": 20.0}))
    beside = tmp_path / f"night.3{GAPS_SUFFIX}"
    assert beside.read_text() == (
        "filename\tonset\toffset\tkind\nlive\t0.500000\t1.250000\tskipped\nlive\t2.000000\t20.000000\tlost\n"
    )
    assert read_gaps(beside) == [
        ExportGap(0.5, 1.25, "skipped", "live"),
        ExportGap(2.0, 20.0, "lost", "live"),
    ]
    WRITERS[name](path, Export((), (), {"live": 20.0}))
    assert not beside.exists()


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
def test_marks_lie_beside_and_go_with_their_table(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"night.3{SUFFIXES[name]}"
    marks = (ExportMark(30.0, "late"), ExportMark(0.5, "a\tb"))
    WRITERS[name](path, Export((), (), {"live": 20.0}, marks=marks))
    beside = tmp_path / f"night.3{MARKS_SUFFIX}"
    assert beside.read_text() == ("filename\tat\tnote\nlive\t0.500000\ta\\tb\nlive\t20.000000\tlate\n")
    assert read_marks(beside) == [ExportMark(0.5, "a\tb", "live"), ExportMark(20.0, "late", "live")]
    WRITERS[name](path, Export((), (), {"live": 20.0}))
    assert not beside.exists()


def test_gaps_are_in_the_json(tmp_path: Path) -> None:
    WRITERS["json"](tmp_path / "a.json", Export((), (ExportGap(1.0, 2.0, "lost"),), {"live": 20.0}))
    assert json.loads((tmp_path / "a.json").read_text())["gaps"] == [
        {"onset": 1.0, "offset": 2.0, "kind": "lost", "file": "live"}
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_one_export_falls_into_one_for_each_file() -> None:
    events = [ExportEvent("", name, 0.0, 1.0, "Dog", 0.5) for name in ("b", "a", "b")]
    marks = [ExportMark(0.5, "", "b")]
    gaps, unrecorded = (ExportGap(0.0, 1.0, "lost", "a"),), frozenset("ab")
    parts = split(Export(events, gaps, {"c": 1.0, "b": 2.0}, {}, unrecorded, marks, {"c": "/c.wav"}))
    assert list(parts) == ["c", "b", "a"]
    assert [len(part.events) for part in parts.values()] == [0, 2, 1]
    assert [len(part.gaps) for part in parts.values()] == [0, 0, 1]
    assert parts["c"].durations == {"c": 1.0}
    assert parts["a"].durations == {}
    assert [len(part.marks) for part in parts.values()] == [0, 1, 0]
    assert [part.unrecorded for part in parts.values()] == [frozenset(), {"b"}, {"a"}]
    assert parts["c"].recordings == {"c": "/c.wav"}


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_times_that_are_no_numbers_are_refused(tmp_path: Path, broken: float) -> None:
    with pytest.raises(SedgeError, match=r"a\.wav: expected numbers"):
        tidy(Export([ExportEvent("", "a.wav", 0.0, broken, "Dog", 0.5)]))


def test_a_refused_export_leaves_the_former_file(tmp_path: Path) -> None:
    event = ExportEvent("", "a.wav", 0.0, 1.0, "Dog", 0.5)
    for name in FORMATS:
        write, path = WRITERS[name], tmp_path / f"a{SUFFIXES[name]}"
        write(path, Export([event], (), {"a.wav": 2.0}))
        former = path.read_bytes()
        with pytest.raises(SedgeError):
            write(path, Export([replace(event, event_label="a\tb")], (), {"a.wav": 2.0}))
        assert path.read_bytes() == former
