"""Archives through the command line: a day of sound in one file, ten thousand short ones."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.files import peak
from benchmarks.files.memory import MIB
from benchmarks.files.process_tree import watch
from benchmarks.recording import write_long_recording
from edge_app.core.events import FRAME_S
from edge_app.formats.desed_tsv import read_durations, read_events
from edge_app.formats.score_arrays import read_score_array

REPOSITORY = Path(__file__).resolve().parents[2]
DAY_S = 24 * 3600
MOST_MIB = 600
"""Memory of all processes together."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def score(report: Path, *words: str | Path) -> float:
    """Run `sedge score` and give the most memory that its processes held together, in MiB."""
    command = [sys.executable, "-S", peak.__file__, report, sys.executable, "-m", "edge_app", "score", *words]
    with subprocess.Popen([str(word) for word in command], cwd=REPOSITORY, text=True) as process:
        seen = watch(process)
    figures = json.loads(report.read_text())
    assert (process.returncode, figures["exit_code"]) == (0, 0)
    return max(seen.peak_bytes, figures["peak_bytes"]) / MIB


def test_a_day_of_sound_in_one_file_needs_little_memory(tiny_bundle, tmp_path) -> None:
    recording, out = tmp_path / "day.flac", tmp_path / "out"
    write_long_recording(recording, DAY_S)
    options = (
        "--bundle",
        tiny_bundle,
        "--frame-scores",
        "raw",
        "--scores-as",
        "npz",
        "--format",
        "desed,json",
    )
    held_mib = score(tmp_path / "peak.json", recording, "--out", out, *options)
    print(f"24 h of sound: {held_mib:.0f} MiB")
    assert held_mib < MOST_MIB
    assert read_durations(out / "durations.tsv") == {"day.flac": DAY_S}
    _, scores = read_score_array(out / "scores/day.npz")
    assert len(scores) == round(DAY_S / FRAME_S)
    assert np.isfinite(scores).all()
    assert scores[-500:].std() > 0  # to the end: the sound is no silence


def test_ten_thousand_short_files(tiny_bundle, tmp_path) -> None:
    kinds = [tmp_path / f"{number}.flac" for number in range(10)]
    for number, kind in enumerate(kinds):
        write_long_recording(kind, 0.5 + number / 10)
    archive, out = tmp_path / "archive", tmp_path / "out"
    for number in range(10_000):
        folder = archive / f"{number // 500:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04d}.flac").hardlink_to(kinds[number % 10])
    held_mib = score(tmp_path / "peak.json", archive, "--out", out, "--bundle", tiny_bundle, "--workers", "2")
    print(f"10,000 files: {held_mib:.0f} MiB with two workers")
    assert held_mib < MOST_MIB
    durations, events = read_durations(out / "durations.tsv"), read_events(out / "events.tsv")
    names = [f"{number // 500:02d}/{number:04d}.flac" for number in range(10_000)]
    assert list(durations) == list(events) == names
    assert [durations[name] for name in names] == [
        round(0.5 + number % 10 / 10, 3) for number in range(10_000)
    ]
    assert [events[name] for name in names] == [events[name] for name in names[:10]] * 1000
