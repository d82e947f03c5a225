"""What every benchmark tells: percentiles, the machine, and where the figures go."""

import json
import math
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.recording import SAMPLE_RATE, looped, soundscape, write_long_recording
from benchmarks.report import check_positive, report_console, this_machine, timing, write_report
from edge_app.core.errors import SedgeError


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=50))
def test_percentiles_are_ordered_and_within_the_durations(durations_s):
    figures = timing(durations_s)
    ladder = [1000 * min(durations_s), figures.p50_ms, figures.p95_ms, figures.p99_ms, figures.max_ms]
    assert all(low <= high * (1 + 1e-12) for low, high in pairwise(ladder))
    assert figures.max_ms == 1000 * max(durations_s)
    assert figures.count == len(durations_s)


def test_percentiles_of_a_known_ladder():
    figures = timing([number / 1000 for number in range(101)])
    assert (figures.p50_ms, figures.p95_ms, figures.p99_ms, figures.max_ms) == pytest.approx(
        (50, 95, 99, 100)
    )
    assert figures.cells() == ["50.00", "95.00", "99.00", "100.00"]


def test_machine_is_told_in_one_line():
    machine = this_machine(graph_threads=3)
    assert 1 <= machine.cores_usable <= machine.cores
    assert machine.libraries["numpy"] == version("numpy")
    assert "\n" not in machine.text
    for part in (machine.cpu, f"numpy {version('numpy')}", "threads of the model: 3"):
        assert part in machine.text


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_numbers_that_make_no_sense_are_refused(value):
    with pytest.raises(SedgeError, match="--seconds: expected more than 0, found"):
        check_positive({"threads": 1, "seconds": value})


def test_report_is_written_whole_where_a_path_is_given(tmp_path):
    @dataclass(frozen=True)
    class Report:
        figure: float
        stages: dict[str, float]

    write_report(None, Report(1.0, {}))
    write_report(tmp_path / "report.json", Report(1.5, {"decode": 0.5}))
    assert json.loads((tmp_path / "report.json").read_text()) == {"figure": 1.5, "stages": {"decode": 0.5}}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_tables_are_not_squeezed_in_a_file(capsys):
    console = report_console()
    console.print("x" * 115)
    assert "x" * 115 in capsys.readouterr().out


def test_long_recording_is_the_soundscape_over_and_over(tmp_path):
    signal, path = soundscape(), tmp_path / "long.flac"
    n_samples = len(signal) + 12_345
    write_long_recording(path, n_samples / SAMPLE_RATE)
    written, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == SAMPLE_RATE
    np.testing.assert_allclose(written, looped(signal, 0, n_samples), atol=2**-15)
    np.testing.assert_allclose(written[len(signal) :], signal[:12_345], atol=2**-15)


def test_folder_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(SedgeError, match="expected space for 1 s of sound, found") as caught:
        write_long_recording(tmp_path / "none" / "long.flac", 1)
    assert "\n" not in str(caught.value)


@given(st.integers(-30, 30), st.integers(0, 40))
def test_loop_takes_rows_by_their_index_modulo_the_length(first, count):
    rows = looped(np.arange(7, dtype=np.float32), first, first + count)
    assert rows.tolist() == [index % 7 for index in range(first, first + count)]
