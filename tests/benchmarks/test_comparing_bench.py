"""`sedge bench`: its clips, its parts as processes, and the one file that their results go into."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from benchmarks.comparing import bench
from benchmarks.comparing.bench import NAMES, RESULTS, Bench, check_args, main, merged, run_parts
from benchmarks.comparing.demo_clips import cuts, write_demo_clips
from benchmarks.comparing.parts import CLIPS, PARTS, Part, command_words
from benchmarks.comparing.sources import read_sources
from benchmarks.figures import read_results
from edge_app import cli
from edge_app.commands.demo import ANNOTATION, RECORDING
from edge_app.core.bundle import load_bundle
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_durations, read_events
from tests.benchmarks.test_comparing import figure, result
from train.measuring.validation_set import read_validation_set


def test_clips_are_the_soundscape_cut_where_nothing_sounds(tmp_path):
    write_demo_clips(tmp_path / "clips")
    clips = read_validation_set(tmp_path / "clips")
    parts, begin, events = [], 0.0, []
    for name, duration_s in read_durations(tmp_path / "clips" / "durations.tsv").items():
        part, sample_rate = soundfile.read(clips.audio / name, dtype="int16")
        parts.append(part)
        assert len(part) / sample_rate == pytest.approx(duration_s, abs=1e-3)
        events += [
            (begin + event.onset, begin + event.offset, event.event_label) for event in clips.reference[name]
        ]
        begin += len(part) / sample_rate
    whole = [
        (event.onset, event.offset, event.event_label) for event in read_events(ANNOTATION)[RECORDING.name]
    ]
    for found, expected in zip(sorted(events), sorted(whole), strict=True):
        assert (
            found == pytest.approx(expected, abs=2e-3) if found[2] == expected[2] else pytest.fail(found[2])
        )
    np.testing.assert_array_equal(np.concatenate(parts), soundfile.read(RECORDING, dtype="int16")[0])
    assert 8 <= len(parts) <= 10


def test_cuts_keep_away_from_events():
    events = [
        Event(8.0, 10.5, "Cat"),
        Event(9.0, 9.5, "Dog"),
        Event(12.0, 19.0, "Dog"),
        Event(19.2, 21.0, "Cat"),
    ]
    assert cuts(events, 30.0) == [11.25]
    assert cuts([Event(0.0, 30.0, "Cat")], 30.0) == []


def test_new_results_take_the_place_of_old_ones():
    old = [
        result(figure(1.0)),
        result(figure(2.0), benchmark="memory"),
        result(figure(3.0), benchmark="other"),
    ]
    new = [result(figure(9.0), benchmark="memory"), result(figure(8.0), benchmark="live")]
    found = [(each.benchmark, each.figures[0].value) for each in merged(old, new)]
    assert found == [("latency", 1.0), ("live", 8.0), ("memory", 9.0), ("other", 3.0)]


@pytest.mark.parametrize("part", PARTS, ids=NAMES)
def test_part_is_a_command_with_options_that_it_has(part, tmp_path, capsys):
    words = command_words(part, tmp_path, tmp_path, 1, tmp_path / "a.json")
    assert CLIPS not in words
    assert cli.main([words[0], "--help"]) == 0
    options = capsys.readouterr().out
    for word in words:
        if word.startswith("--"):
            assert re.search(rf"{word}\b", options), word


def test_failed_part_is_told_and_the_others_go_on(capfd):
    parts = [
        Part("latency", ("bench-latency", "--seconds", "0")),
        Part("live", ("--version",)),
        Part("memory", ("bench-memory", "--seconds", "1")),
    ]
    errors = run_parts(Bench(only=("latency", "live")), parts, lambda _: pytest.fail("nothing to keep"))
    assert errors[0] == "sedge bench-latency: expected exit code 0, found 2"
    assert len(errors) == 2
    assert "--seconds: expected more than 0" in capfd.readouterr().err


@pytest.mark.parametrize(
    "stop", [KeyboardInterrupt(), SedgeError("sedge live: expected exit code 0, found 1")]
)
def test_results_found_before_an_interrupt_or_a_failure_are_kept(stop, tmp_path, monkeypatch, capsys):
    def run_part(part, *_):
        if part.benchmark == "live":
            raise stop
        return result(figure(7.0), benchmark=part.benchmark)

    monkeypatch.setattr(bench, "run_part", run_part)
    out = tmp_path / "results" / "here.json"
    is_interrupt = isinstance(stop, KeyboardInterrupt)
    only = ("latency", "live") if is_interrupt else ("latency", "live", "memory")
    assert cli.main(["bench", "--out", str(out), "--only", *only]) == (130 if is_interrupt else 1)
    kept = [name for name in only if name != "live"]
    assert [each.benchmark for each in read_results(out)] == kept
    assert f"{out}: {', '.join(kept)}, measured in" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals go to a group of processes")
def test_interrupt_lets_the_command_end_by_itself(tmp_path):
    sub = [sys.executable, "-m", "edge_app", "bench", "--only", "live", "--out", str(tmp_path / "a.json")]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        sub,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        while not list(tmp_path.glob("*/recording.wav")):  # the part has begun
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.count("sedge: interrupted") == 2  # the part's line, and ours
    assert "Traceback" not in said
    assert not list(tmp_path.glob("[!.]*"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell a process's peak")
def test_benchmark_becomes_a_result_of_the_file(tmp_path, tiny_bundle, capfd, monkeypatch):
    part = Part(
        "memory", ("bench-memory", "--minutes", "0.2", "--short-minutes", "0.1", "--commands", "listen")
    )
    monkeypatch.setattr(bench, "PARTS", [part])
    out = tmp_path / "results" / "here.json"
    words = ["bench", "--only", "memory", "--bundle", str(tiny_bundle), "--out", str(out)]
    for _ in range(2):  # the second takes the first one's place
        assert cli.main(words) == 0
        (found,) = read_results(out)
    assert found.benchmark == "memory"
    assert found.settings["threads"] == found.machine.graph_threads == 1
    assert found.settings["bundle"]["graph_sha256"] == load_bundle(tiny_bundle).manifest.graph.sha256
    assert f"{out}: memory, measured in" in capfd.readouterr().out
    page = tmp_path / "page.html"
    assert cli.main(["bench-report", str(out), "--out", str(page)]) == 0
    assert cli.main(["bench-compare", str(out), str(out)]) == 0
    assert "equal" in capfd.readouterr().out


@pytest.mark.parametrize(
    "fields", [{"only": ("latency", "latencies")}, {"only": ()}, {"threads": 0}, {"threads": -1}]
)
def test_wrong_use_is_told(fields):
    with pytest.raises(SedgeError, match=r"--(only|threads): expected"):
        check_args(Bench(**fields))


def test_file_that_is_no_result_is_not_overwritten(tmp_path):
    out = tmp_path / "notes.json"
    out.write_text("{}")
    with pytest.raises(SedgeError, match="schema_version"):
        main(["--only", "memory", "--out", str(out)])
    assert out.read_text() == "{}"


def test_kept_results_are_readable():
    for source in read_sources(sorted(RESULTS.glob("*.json"))):
        assert len({each.benchmark for each in source.results}) == len(source.results)
        assert all(each.figures for each in source.results)
