"""The tables that `sedge score` writes: every format asked for, each read back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app import cli
from edge_app.core.bundle import DEFAULT_BUNDLE, load_bundle
from edge_app.formats.desed_tsv import read_durations, read_events
from edge_app.formats.registry import EVENT_FORMATS, READERS, SUFFIXES

BANK = Path(__file__).parent.parent / "data" / "bank"


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def score(tiny_bundle, out):
    """Runs the command on paths into `out`; gives the exit code."""

    def run(*arguments: object) -> int:
        return cli.main(["score", *map(str, arguments), "--out", str(out), "--bundle", str(tiny_bundle)])

    return run


def noise(path: Path) -> Path:
    soundfile.write(path, 0.1 * np.random.default_rng(1).standard_normal(16_000), 16_000)
    return path


def test_every_format_tells_of_the_same_events(out, tmp_path, capsys) -> None:
    folder = tmp_path / "in"
    for label, name in (("Dog", "room 1"), ("Speech", "room 1"), ("Dishes", "tab\tname")):
        recording = min((BANK / "foreground" / label).glob("*.flac"))
        (folder / label).mkdir(parents=True)
        shutil.copy(recording, folder / label / f"{name}.flac")
    shutil.copy(min((BANK / "distractors").glob("*.flac")), folder / "quiet.flac")
    assert cli.main(["score", str(folder), "--out", str(out), "--format", ",".join(EVENT_FORMATS)]) == 0
    assert list(out.rglob(".*")) == []
    whole = READERS["json"](out / "events.json")
    expected = [(event.file, event.onset, event.offset, event.event_label) for event in whole.events]
    assert {name for name, *_ in expected} >= {"Dog/room 1.flac", "Speech/room 1.flac"}
    assert whole.durations.keys() == read_durations(out / "durations.tsv").keys()
    assert len(whole.durations) == 4
    assert whole.about["model"]["graph_sha256"] == load_bundle(DEFAULT_BUNDLE).manifest.graph.sha256
    for name in ("csv", "rttm", "jsonl", "parquet"):
        found = READERS[name](out / f"events{SUFFIXES[name]}").events
        assert [(event.file, event.onset, event.offset, event.event_label) for event in found] == expected
    rows = read_events(out / "events.tsv").items()
    assert [
        (name, row.onset, row.offset, row.event_label) for name, found in rows for row in found
    ] == expected
    raven = READERS["raven"](out / "events.selections.txt").events
    openable = [(str(folder / name), *rest) for name, *rest in expected if "\t" not in name]
    assert [(event.file, event.onset, event.offset, event.event_label) for event in raven] == openable
    left_out = len(expected) - len(openable)
    assert left_out
    assert f"sedge: raven: {left_out} events left out" in capsys.readouterr().err
    for name in whole.durations:
        track = READERS["audacity"]((out / "labels" / name).with_suffix(".txt")).events
        assert [(event.onset, event.offset, event.event_label) for event in track] == [
            tuple(rest) for file, *rest in expected if file == name
        ]


def test_a_format_that_cannot_be_written_costs_none_of_the_others(score, out, tmp_path, capsys) -> None:
    noise(tmp_path / "a.wav")
    (out / "events.csv").mkdir(parents=True)
    (out / "labels").touch()
    assert score(tmp_path / "a.wav", "--format", "audacity,csv,desed") == 1
    assert json.loads((out / "summary.json").read_text())["files"] == {"done": 1, "failed": 0}
    assert list(read_events(out / "events.tsv")) == ["a.wav"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"sedge: {out / 'labels'}: expected a folder, found: ")
    assert lines[1].startswith(f"sedge: {out / 'events.csv'}: cannot be written (")
