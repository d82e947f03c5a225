"""The tables of a run: the same in any chunks, each apart from the others' failures, in bounded memory."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from edge_app.formats.desed_tsv import read_durations, read_events
from edge_app.formats.registry import EVENT_FORMATS, READERS, SUFFIXES
from edge_app.scoring import tables
from edge_app.scoring.build_export import build_export, export_of
from edge_app.scoring.facts import DetectorFacts
from edge_app.scoring.journal_tables import Failure, Result
from edge_app.scoring.summary import summary
from edge_app.scoring.tables import write_tables
from tests.scoring.made import made_facts, made_result
from tests.stream.fakes import bursts, fake_detector

FACTS = made_facts()
DOG, CAT = "Dog", "Speech"
RESULTS = [
    made_result("b/one.wav", [(0.5, 1.0, DOG), (0.5, 2.0, CAT)]),
    made_result("a.wav"),
    made_result("a.flac", [(3.0, 3.5, DOG)], 12.345),
    made_result("b/two.wav", [(59.0, 61.0, DOG)]),
]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_each_format_tells_of_the_same_events(tmp_path: Path) -> None:
    written = write_tables(tmp_path, EVENT_FORMATS, iter(RESULTS), FACTS)
    assert (written.notes, written.errors) == ([], [])
    expected = [
        (result.filename, event.onset, min(event.offset, result.duration_s), event.event_label)
        for result in RESULTS
        for event in result.events
    ]
    for name in ("csv", "json", "jsonl", "rttm", "parquet"):
        found = READERS[name](tmp_path / f"events{SUFFIXES[name]}")
        assert [(one.file, one.onset, one.offset, one.event_label) for one in found.events] == expected, name
        assert found.about == (FACTS.about() if name in ("json", "parquet") else {})
    assert list(read_events(tmp_path / "events.tsv")) == [result.filename for result in RESULTS]
    durations = {result.filename: result.duration_s for result in RESULTS}
    assert read_durations(tmp_path / "durations.tsv") == durations
    tracks = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("labels/**/*.txt"))
    assert tracks == ["labels/a.flac.txt", "labels/a.wav.txt", "labels/b/one.txt", "labels/b/two.txt"]
    assert not list(tmp_path.rglob(".*"))


def test_chunks_change_no_byte(tmp_path: Path, monkeypatch) -> None:
    folders = [tmp_path / "whole", tmp_path / "cut"]
    for folder in folders:
        folder.mkdir()
    write_tables(folders[0], EVENT_FORMATS, RESULTS, FACTS)
    monkeypatch.setattr(tables, "CHUNK", 1)
    write_tables(folders[1], EVENT_FORMATS, RESULTS, FACTS)
    assert contents(folders[0]) == contents(folders[1])
    assert len(contents(folders[0])) == 8 + 4


def test_a_table_that_cannot_be_written_costs_none_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "events.csv").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "b").touch()
    odd = made_result("half \ud800.wav", [(0.0, 1.0, DOG)])  # only JSON has a place for it
    written = write_tables(tmp_path, ("audacity", "csv", "rttm", "json", "rttm"), [*RESULTS, odd], FACTS)
    assert [error.split(": ")[0] for error in written.errors] == [
        str(tmp_path / "durations.tsv"),
        str(tmp_path / "labels" / "b"),
        str(tmp_path / "events.csv"),
        str(tmp_path / "events.rttm"),
    ]
    assert "more label tracks)" in written.errors[1]
    assert len(READERS["json"](tmp_path / "events.json").events) == 5
    assert {"labels/a.wav.txt", "labels/a.flac.txt"} < set(contents(tmp_path))
    assert not list(tmp_path.rglob(".*"))


def test_what_a_format_cannot_hold_is_told(tmp_path: Path) -> None:
    tabbed = made_result("tab\tname.wav", [(0.0, 1.0, DOG), (2.0, 3.0, DOG)])
    written = write_tables(tmp_path, ("raven", "csv"), [*RESULTS, tabbed], FACTS)
    assert written.notes == ["raven: 2 events left out, which it cannot hold"]


def test_a_full_disk_is_told_in_words(tmp_path: Path, monkeypatch) -> None:
    def is_full(_result: Result) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables, "_event_rows", is_full)
    written = write_tables(tmp_path, ("desed", "jsonl"), RESULTS, FACTS)
    assert written.errors == [f"{tmp_path / 'events.tsv'}: cannot be written (No space left on device)"]
    assert set(contents(tmp_path)) == {"durations.tsv", "events.jsonl"}


def test_an_interrupted_run_leaves_the_former_tables(tmp_path: Path, monkeypatch) -> None:
    def stopped() -> Iterator[Result]:
        yield from RESULTS[:2]
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, "CHUNK", 1)
    write_tables(tmp_path, EVENT_FORMATS, RESULTS, FACTS)
    former = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_tables(tmp_path, EVENT_FORMATS, stopped(), FACTS)
    assert contents(tmp_path) == former


def test_five_thousand_recordings_need_little_memory(tmp_path: Path) -> None:
    results = (made_result(f"{number:05d}.wav", [(0.0, 1.0, DOG)]) for number in range(5_000))
    tracemalloc.start()
    write_tables(tmp_path, ("desed",), results, FACTS)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2_000_000  # a chunk is 0.6 MB, all of them are over 5 MB
    assert len(read_durations(tmp_path / "durations.tsv")) == 5_000


def test_an_export_of_detections_is_one_of_results(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", bursts(96_000), 16_000)
    detector = fake_detector()
    detection = detector.detect_file(tmp_path / "a.wav")
    export = build_export(detector, {"a.wav": tmp_path / "a.wav"}, {"a.wav": detection})
    result = Result("a.wav", tmp_path / "a.wav", detection.duration_s, tuple(detection.events))
    assert detection.events
    assert export == export_of([result], DetectorFacts.of(detector))


def test_the_summary_has_its_fields() -> None:
    found = summary(FACTS, 3, iter([Failure("x.wav", "x.wav: no sound")]), 400.0, 2.0, "raw")
    assert list(found) == [
        *("schema_version", "sedge_version", "bundle", "runtime", "runtimes_passed_over", "settings"),
        *("files", "failures", "audio_s", "wall_s", "real_time_factor"),
    ]
    assert (found["schema_version"], found["files"]) == (1, {"done": 3, "failed": 1})
    assert found["failures"] == [{"filename": "x.wav", "error": "x.wav: no sound"}]
    assert found["runtimes_passed_over"] == [{"name": "cuda", "reason": "no GPU"}]
    settings = {"context": "clip", "hop_frames": None, "decoding_overrides": {}, "frame_scores": "raw"}
    assert found["settings"] == settings
    assert found["real_time_factor"] == 0.005
    assert summary(FACTS, 0, [], 0.0, 2.0)["real_time_factor"] is None
