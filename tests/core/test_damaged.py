"""A thousand damaged recordings: each is read or refused with a reason, in time; the process lives on."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.core.damage import LONGEST_S, damaged, read, write_whole_ones

pytest.importorskip("av")

REPOSITORY = Path(__file__).resolve().parents[2]
MOST_MEMORY_MB = 500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "whole").mkdir()
    write_whole_ones(folder / "whole")
    return folder


def read_damaged(folder: Path, first: int, last: int) -> tuple[list[dict], str]:
    """What came of each file, and all that the process wrote. A crash or a hang fails the test."""
    command = [sys.executable, "-m", "tests.core.damage", str(folder), str(first), str(last)]
    child = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280)
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert child.returncode == 0, (lines[-1:], child.stderr[-2_000:])
    return [line for line in lines if "error" in line], child.stderr + child.stdout


def check(folder: Path, results: list[dict], count: int) -> None:
    assert len(results) == count
    for result in results:
        assert result["wall_s"] < LONGEST_S, result
        if error := result["error"]:
            assert error.startswith(f"{folder / result['name']}: expected "), result
            assert ", found" in error, result
            assert "\n" not in error, result
            assert "Errno" not in error, result


def test_whole_recordings_are_read(folder) -> None:
    assert {path.name: read(path) for path in (folder / "whole").iterdir() if read(path)} == {}


def test_damaged_recordings_are_read_or_refused(folder) -> None:
    results, said = read_damaged(folder, 0, 120)
    check(folder, results, 120)
    assert "Traceback" not in said
    assert 40 < sum(bool(result["error"]) for result in results) < 115


@pytest.mark.slow
def test_a_thousand_damaged_recordings_are_read_or_refused(folder) -> None:
    results, said = read_damaged(folder, 120, 1_120)
    check(folder, results, 1_000)
    assert "Traceback" not in said
    refused = Counter(result["name"].split("-")[0] for result in results if result["error"])
    assert refused["cut"] > 100
    assert refused["lie"] > 150
    assert json.loads(said.splitlines()[-1])["peak_mb"] < MOST_MEMORY_MB


def test_damage_is_the_same_at_every_call(folder) -> None:
    whole = sorted((folder / "whole").iterdir())
    assert damaged(whole, 77) == damaged(whole, 77) != damaged(whole, 77 + len(whole))


@pytest.mark.parametrize(
    ("channels", "sample_rate"), [(1_024, 768_000), (1_024, 16_000), (1, 767_999), (2, 1_000), (1, 1_009)]
)
def test_a_header_that_promises_much_costs_little(tmp_path, channels, sample_rate) -> None:
    """The library allows 1,024 channels: a second of them at the highest rate would be 3 GB."""
    path = tmp_path / "wide.wav"
    data = bytes(2 * 1_024 * 300)
    fields = (channels, sample_rate, min(sample_rate * channels * 2, 2**32 - 1), channels * 2 % 2**16, 16)
    widths = (2, 4, 4, 2, 2)
    form = b"\1\0" + b"".join(
        field.to_bytes(width, "little") for field, width in zip(fields, widths, strict=True)
    )
    chunks = b"fmt \x10\0\0\0" + form + b"data" + len(data).to_bytes(4, "little") + data
    path.write_bytes(b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WAVE" + chunks)
    command = [sys.executable, "-m", "tests.core.damage", str(path)]
    child = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout)["error"] == ""
    assert json.loads(child.stdout)["peak_mb"] < MOST_MEMORY_MB
