"""Runs that are killed at any moment and go on: nothing is lost, nothing is done twice into the results."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_app.core.detect import Detector
from edge_app.scoring.facts import DetectorFacts
from edge_app.scoring.journal import Failure, Journal, Result, has_run
from edge_app.scoring.tables import write_tables
from tests.scoring.planted import IDENTITY, write_recordings
from tests.stream.fakes import FakeRuntime, fake_bundle

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    write_recordings(folder, 60, seconds=2.0)
    (folder / "a" / "bad.wav").write_bytes(b"RIFF, but not sound")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(recordings, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    process = begin(out, recordings, 2)
    output, errors = process.communicate()
    assert (process.returncode, errors, len(output.split())) == (0, "", 62)
    return out


def begin(out: Path, recordings: Path, n_workers: int) -> subprocess.Popen[str]:
    """A run in a process, and processes of that, all in a group of their own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.scoring.planted", str(out), str(recordings), str(n_workers)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_somewhere(process: subprocess.Popen[str], rng: np.random.Generator) -> None:
    """Kill a run some time after it has begun or has done some recordings; all of its processes are then gone."""
    assert process.stdout is not None
    for _ in range(int(rng.integers(1, 5))):
        process.stdout.readline()
    try:
        process.wait(rng.uniform(0, 0.15))
    except subprocess.TimeoutExpired:
        process.kill()
    rest(process)
    assert process.returncode == -signal.SIGKILL


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it writes until the last of its processes has ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        return process.stdout.read(), process.stderr.read()


def held(out: Path) -> tuple[list[Result], list[Failure], dict[str, bytes]]:
    """All that a run has found, and every file in its folder, tables made of it included."""
    facts = DetectorFacts.of(Detector(fake_bundle(), FakeRuntime()))
    with Journal.open(out, IDENTITY) as journal:
        results, failures = list(journal.results()), list(journal.failures())
        assert write_tables(out, ["desed", "json", "audacity"], results, facts).errors == []
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    del files["journal.sqlite"]
    assert [name for name in files if name.endswith(".part")] == []
    assert len(files) == len(results) + len(results) + 3
    return results, failures, files


def check_killed_runs(recordings: Path, uninterrupted: Path, out: Path, n_kills: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    done = []
    for _ in range(n_kills):
        kill_somewhere(begin(out, recordings, int(rng.integers(1, 3))), rng)
        if has_run(out):
            with Journal.open(out, IDENTITY) as journal:
                done.append(journal.counts().done)
    assert done == sorted(done)
    assert done[-1] < 60, "the last kill came after the end"
    assert done[-1] > 0
    last = begin(out, recordings, 2)
    _, errors = last.communicate()
    assert (last.returncode, errors) == (0, "")
    assert held(out) == held(uninterrupted)


def test_run_that_is_killed_goes_on_to_the_same_end(recordings, uninterrupted, tmp_path) -> None:
    check_killed_runs(recordings, uninterrupted, tmp_path, n_kills=2, seed=1)


@pytest.mark.slow
def test_run_that_is_killed_twenty_times_goes_on_to_the_same_end(recordings, uninterrupted, tmp_path) -> None:
    check_killed_runs(recordings, uninterrupted, tmp_path, n_kills=20, seed=2)


def test_interrupt_from_the_keyboard_ends_all_processes_quietly(recordings, tmp_path) -> None:
    process = begin(tmp_path, recordings, 2)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    output, errors = rest(process)
    assert (process.returncode, errors) == (130, "")
    with Journal.open(tmp_path, IDENTITY) as journal:
        counts = journal.counts()
    assert counts.done + counts.failed == 2 + len(output.split())
    assert 0 < counts.waiting < 60
    assert list(tmp_path.rglob(".*")) == []
