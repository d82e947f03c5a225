"""Runs of `sedge score` that are interrupted, go on, begin anew, and use several processes."""

import errno
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app import cli
from edge_app.core.detect import Detector
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_durations, read_events, write_events
from edge_app.formats.frame_scores import read_frame_scores
from edge_app.formats.score_arrays import read_score_array
from edge_app.scoring.run import Stopped

REPOSITORY = Path(__file__).parent.parent.parent
BANK = REPOSITORY / "tests" / "data" / "bank"
NOT_COMPARED = {"journal.sqlite", "summary.json"}
Run = Callable[..., int]
# Begins a program as a terminal does: Ctrl-C in it reaches all of its processes.
IN_TERMINAL = """
import os, sys
os.login_tty(os.open(sys.argv[1], os.O_RDWR))
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def score(tiny_bundle: Path) -> Run:
    """Runs the command within this process, unless workers are asked for; gives the exit code."""

    def run(*arguments: object) -> int:
        words = ["score", *map(str, arguments), "--bundle", str(tiny_bundle)]
        return cli.main([*words, *([] if "--workers" in arguments else ["--workers", "0"])])

    return run


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Four short ones of a real room, cut differently."""
    folder = tmp_path / "in"
    folder.mkdir()
    samples, sample_rate = soundfile.read(sorted((BANK / "background").glob("*.flac"))[0], dtype="float32")
    for number, name in enumerate(("a", "b", "c", "d")):
        soundfile.write(folder / f"{name}.flac", samples[number * 4000 :], sample_rate)
    return folder


def contents(out: Path) -> dict[str, bytes]:
    """What a run wrote, apart from times."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name not in NOT_COMPARED)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def files_of(out: Path) -> dict[str, int]:
    counted: dict[str, int] = json.loads((out / "summary.json").read_text())["files"]
    return counted


def break_at(monkeypatch: pytest.MonkeyPatch, filename: str, what: Callable[[], object]) -> None:
    """Let something happen in the middle of a recording."""
    detect_file = Detector.detect_file

    def detect(detector, path, on_scores):
        def happen(raw, smoothed):
            on_scores(raw, smoothed)
            what()

        return detect_file(detector, path, happen if path.name == filename else on_scores)

    monkeypatch.setattr(Detector, "detect_file", detect)


def refuse() -> None:
    raise RuntimeError("not today")


def fill_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt() -> None:
    """Press Ctrl-C, and be stopped by it within the recording: otherwise it may be done by then."""
    signal.raise_signal(signal.SIGINT)
    raise Stopped


def test_an_interrupted_run_keeps_what_is_done_and_goes_on(
    score: Run, recordings: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    scores = ["--frame-scores", "raw"]
    wanted = ["--format", "desed,jsonl,parquet,audacity", "--report", *scores]
    assert score(recordings, "--out", whole, *wanted) == 0
    # a shell starts what it runs in the background with Ctrl-C ignored
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patched:
            break_at(patched, "b.flac", interrupt)
            assert score(recordings, "--out", out, *wanted) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, former)
    assert files_of(out) == {"done": 1, "failed": 0}
    assert list(read_events(out / "events.tsv")) == ["a.flac"]
    assert [path.name for path in (out / "scores").iterdir()] == ["a.tsv"]
    first, last = capsys.readouterr().err.splitlines()[-2:]
    assert first.startswith("interrupted: files: 1 done, 3 waiting; ")
    assert last == "sedge: the same command with --resume goes on"
    with closing(sqlite3.connect(out / "journal.sqlite")) as journal, journal:
        journal.execute("UPDATE run SET wall_s = 1000")
    assert score("--out", out, *scores, "--resume") == 0  # what was begun is ended, asked for again or not
    assert files_of(out) == {"done": 4, "failed": 0}
    assert 1000 < json.loads((out / "summary.json").read_text())["wall_s"] < 1100
    goes_on, at_once = contents(out), contents(whole)
    assert at_once.pop("summary.html")
    assert b"<dt>Recordings done</dt><dd>4</dd>" in goes_on.pop("summary.html")
    assert goes_on == at_once


def test_a_second_interrupt_ends_at_once(score: Run, recordings: Path, tmp_path: Path, monkeypatch) -> None:
    def twice() -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    detect_file = Detector.detect_file
    monkeypatch.setattr("edge_app.commands.score.run_batch", lambda *_: twice())
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert score(recordings, "--out", tmp_path / "out") == 130
    finally:
        signal.signal(signal.SIGINT, former)
    assert Detector.detect_file is detect_file
    assert not (tmp_path / "out" / "events.tsv").exists()
    assert not (tmp_path / "out" / "journal.lock").exists()


def test_a_folder_with_a_run_is_neither_mixed_nor_lost(
    score: Run, recordings: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    out = tmp_path / "out"
    assert score(recordings, "--out", out, "--format", "desed,csv", "--frame-scores", "raw") == 0
    before = contents(out)
    capsys.readouterr()
    assert score(recordings / "a.flac", "--out", out) == 2
    message = (
        f"sedge: {out}: expected a folder without a run, found one that was begun: "
        "--resume goes on with it, --overwrite begins anew\n"
    )
    assert capsys.readouterr().err == message
    assert score("--out", out, "--resume", "--frame-scores", "raw", "--context", "live") == 2
    assert "settings.context: expected 'clip', found 'live'" in capsys.readouterr().err
    assert contents(out) == before
    with monkeypatch.context() as patched:
        patched.setattr(Detector, "detect_file", lambda *_: pytest.fail("scored once more"))
        assert score("--out", out, "--resume", "--format", "desed,csv", "--frame-scores", "raw") == 0
        assert contents(out) == before
    for damage in (None, b"not a database, but more than a hundred bytes long" * 9):
        if damage:
            (out / "journal.sqlite").write_bytes(damage)
        assert score(recordings / "a.flac", "--out", out, "--overwrite") == 0
        assert sorted(contents(out)) == ["durations.tsv", "events.tsv"]
    assert not (out / "scores").exists()
    assert list(read_durations(out / "durations.tsv")) == ["a.flac"]


def test_new_and_changed_recordings_are_scored_when_a_run_goes_on(
    score: Run, recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert score(recordings, "--out", out) == 0
    seconds = read_durations(out / "durations.tsv")
    soundfile.write(recordings / "b.flac", np.zeros(32_000), 16_000)
    soundfile.write(recordings / "e.flac", np.zeros(16_000), 16_000)
    assert score(recordings, "--out", out, "--resume") == 0
    assert read_durations(out / "durations.tsv") == {**seconds, "b.flac": 2.0, "e.flac": 1.0}


def test_what_failed_is_tried_again_only_if_that_is_said(
    score: Run, recordings: Path, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        break_at(patched, "c.flac", refuse)
        assert score(recordings, "--out", out) == 1
    assert score("--out", out, "--resume") == 1
    assert files_of(out) == {"done": 3, "failed": 1}
    assert score("--out", out, "--resume", "--retry-failed") == 0
    assert files_of(out) == {"done": 4, "failed": 0}
    assert list(read_events(out / "events.tsv")) == ["a.flac", "b.flac", "c.flac", "d.flac"]


def test_processes_write_what_one_process_writes(score: Run, recordings: Path, tmp_path: Path) -> None:
    (recordings / "empty.wav").touch()
    wanted = ["--frame-scores", "smoothed", "--report"]
    for name, workers in (("here", 0), ("two", 2)):
        assert score(recordings, "--out", tmp_path / name, *wanted, "--workers", workers) == 1
    here, two = (contents(tmp_path / name) for name in ("here", "two"))
    assert here.pop("summary.html").startswith(b"<!doctype html>")
    assert two.pop("summary.html")
    assert sorted(here) == sorted(two)
    tables = [name for name in here if name.startswith("scores/")]
    assert len(tables) == 4
    for name in tables:  # the last bits of a score may be rounded otherwise in another process
        labels, scores = read_frame_scores(tmp_path / "here" / name)
        other_labels, others = read_frame_scores(tmp_path / "two" / name)
        assert labels == other_labels
        np.testing.assert_allclose(others, scores, atol=2e-5)
        del here[name], two[name]
    assert here == two
    assert (
        "an empty file" in json.loads((tmp_path / "two" / "summary.json").read_text())["failures"][0]["error"]
    )


def test_lists_patterns_and_array_files(score: Run, recordings: Path, tmp_path: Path) -> None:
    listed, matched = tmp_path / "listed", tmp_path / "matched"
    (recordings / "list.txt").write_text("# two of them\nb.flac\n\nd.flac\n")
    assert score("--manifest", recordings / "list.txt", "--out", listed) == 0
    assert list(read_durations(listed / "durations.tsv")) == ["b.flac", "d.flac"]
    pattern = recordings.parent / "in" / "[ab].flac"
    assert score(pattern, "--out", matched, "--frame-scores", "raw", "--scores-as", "npz") == 0
    assert list(read_durations(matched / "durations.tsv")) == ["a.flac", "b.flac"]
    labels, scores = read_score_array(matched / "scores" / "a.npz")
    assert (labels, len(scores)) == (
        ("Cat", "Dog", "Speech"),
        int(50 * soundfile.info(recordings / "a.flac").duration),
    )


def test_a_full_disk_ends_the_run_and_fails_no_recording(
    score: Run, recordings: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        break_at(patched, "b.flac", fill_disk)
        assert score(recordings, "--out", out, "--frame-scores", "raw") == 2
    message = f"sedge: {out / 'scores' / 'b.tsv'}: cannot be written (No space left on device)\n"
    assert capsys.readouterr().err == message
    assert score("--out", out, "--resume", "--frame-scores", "raw") == 0
    assert files_of(out) == {"done": 4, "failed": 0}


@pytest.mark.slow
def test_a_ground_truth_prints_figures_at_the_end(
    score: Run, recordings: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    truth, out = tmp_path / "truth.tsv", tmp_path / "out"
    write_events(truth, {f"{name}.flac": [Event(0.5, 1.5, "Cat")] for name in ("a", "b", "c", "d")})
    given = ["--frame-scores", "raw", "--scores-as", "npz", "--ground-truth", truth]
    assert score(recordings, "--out", out, *given) == 0
    said = capfd.readouterr().out
    assert "PSDS1" in said
    assert "Cat" in said
    write_events(truth, {"a.flac": [Event(0.5, 1.5, "Cat")]})  # three recordings have no reference
    assert score(recordings, "--out", out, *given, "--resume") == 2
    assert "3 unknown" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of this kind is not there")
def test_control_c_in_a_terminal(tiny_bundle: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.flac"
    with soundfile.SoundFile(long, "w", 8_000, 1) as sound:
        for _ in range(200):
            sound.write(np.zeros(8_000 * 60, np.float32))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edge_app", "score", long, "--out", tmp_path / "out", "--workers", 1]
    running = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, os.ttyname(theirs), *map(str, command), "--bundle", tiny_bundle],
        cwd=REPOSITORY,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    said = os.read(ours, 1)  # by now it has opened the terminal
    os.close(theirs)
    while b"long.flac" not in said:  # a recording is shown once it is under way
        said += os.read(ours, 65536)
    os.write(ours, b"\x03")
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # the terminal is closed with the last process that has it
        pass
    assert running.wait(timeout=20) == 130
    os.close(ours)
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", said.decode()).splitlines()]
    assert lines[-2].startswith("interrupted: files: 0 done, 1 waiting")
    assert lines[-1] == "sedge: the same command with --resume goes on"
    assert b"Traceback" not in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("durations.tsv", "events.tsv", "journal.sqlite", "summary.json")
    ]
