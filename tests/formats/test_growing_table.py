"""Tables that grow have the bytes of those written at once, whole or not at all, in bounded memory."""

import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.formats import parquet, spool
from edge_app.formats.exchange import Export, ExportEvent, ExportGap, split
from edge_app.formats.registry import (
    EVENT_FORMATS,
    ONE_RECORDING,
    READERS,
    SUFFIXES,
    WRITERS,
    is_at_hand,
    open_table,
)
from tests.formats.exports import exports

MANY = [name for name in EVENT_FORMATS if name not in ONE_RECORDING]
once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def some(n_files: int, first: int = 0) -> Export:
    names = [f"site/{number:06d}.wav" for number in range(first, first + n_files)]
    events = [ExportEvent("", name, 0.5 * n, 0.5 * n + 1, "Dog", 0.25) for name in names for n in range(5)]
    return Export(events, (), dict.fromkeys(names, 60.0), recordings={name: f"/{name}" for name in names})


@pytest.mark.parametrize("name", MANY)
@once
@given(export=exports(), cuts=st.lists(st.integers(0, 3), max_size=2))
def test_chunks_give_the_bytes_of_one_export(
    tmp_path_factory, name: str, export: Export, cuts: list[int]
) -> None:
    folders = [tmp_path_factory.mktemp("table") for _ in range(2)]
    paths = [folder / f"one{SUFFIXES[name]}" for folder in folders]
    left_out = WRITERS[name](paths[0], export)
    parts = list(split(export).values())
    edges = [0, *sorted(min(cut, len(parts)) for cut in cuts), len(parts)]
    with open_table(name, paths[1], export.about) as table:
        found = 0
        for first, end in pairwise(edges):
            found += table.write(joined(parts[first:end]))
    assert contents(folders[1]) == contents(folders[0])
    assert found == left_out


def grow(name: str, path: Path, parts: Iterable[Export]) -> None:
    with open_table(name, path, {"app": "new"}) as table:
        for part in parts:
            table.write(part)


def interrupted() -> Iterator[Export]:
    yield some(3)
    raise KeyboardInterrupt


def joined(parts: list[Export]) -> Export:
    """Several recordings as one export; what each is about is not said again."""
    return Export(
        [event for part in parts for event in part.events],
        [gap for part in parts for gap in part.gaps],
        {name: length for part in parts for name, length in part.durations.items()},
        unrecorded=frozenset().union(*(part.unrecorded for part in parts)),
        marks=[mark for part in parts for mark in part.marks],
    )


@pytest.mark.parametrize("name", MANY)
def test_a_table_that_fails_leaves_the_former_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"one{SUFFIXES[name]}"
    WRITERS[name](path, replace(some(2), gaps=[ExportGap(0.0, 1.0, "lost", "site/000001.wav")]))
    former = contents(tmp_path)
    broken = Export([ExportEvent("", "b.wav", 0.0, 1.0, "Dog\tCat", 0.5)])
    with pytest.raises(SedgeError, match="event label"):
        grow(name, path, [some(3), broken])
    assert contents(tmp_path) == former
    with pytest.raises(KeyboardInterrupt):
        grow(name, path, interrupted())
    assert contents(tmp_path) == former


def test_a_label_track_takes_no_second_recording(tmp_path: Path) -> None:
    with pytest.raises(SedgeError, match="one recording, found 2"):
        grow("audacity", tmp_path / "a.txt", [some(1), some(1, first=1)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", MANY)
def test_a_table_holds_little_however_long_it_is(tmp_path: Path, name: str, monkeypatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 1 << 13)
    monkeypatch.setattr(parquet, "ROW_GROUP", 100)
    path, chunk, n_chunks = tmp_path / f"one{SUFFIXES[name]}", 10, 60
    with open_table(name, path) as table:
        table.write(some(chunk))
        tracemalloc.start()
        for number in range(1, n_chunks):
            table.write(some(chunk, number * chunk))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 600_000  # the events alone take 0.8 MB
    assert len(READERS[name](path).events) == 5 * chunk * n_chunks


def test_formats_without_a_library_are_at_hand(monkeypatch) -> None:
    assert all(map(is_at_hand, WRITERS))
    monkeypatch.setattr("edge_app.formats.registry.find_spec", lambda _name: None)
    assert [name for name in WRITERS if not is_at_hand(name)] == ["parquet"]
