"""What every benchmark tells: percentiles, the machine, and where the figures go."""

import json
import math
import re
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.recording import SAMPLE_RATE, looped, soundscape, write_long_recording
from benchmarks.report import (
    Figure,
    bundle_setting,
    check_positive,
    machine_key,
    plain,
    read_result,
    read_results,
    report_console,
    spread,
    spread_figure,
    this_machine,
    timing,
    write_result,
    write_results,
)
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


def test_percentiles_of_too_few_durations_are_not_shown():
    for count, known in (
        (19, ["p50"]),
        (20, ["p50", "p95"]),
        (99, ["p50", "p95"]),
        (100, ["p50", "p95", "p99"]),
    ):
        times = timing([number / 1000 for number in range(count)])
        assert [figure.name for figure in times.tail_figures("step")] == [f"step / {each}" for each in known]
        assert times.cells()[1:3].count("–") == 3 - len(known)


def test_few_repeats_range_from_the_least_to_the_most():
    few, many = ([float(number) for number in range(count)] for count in (19, 101))
    assert spread(few) == (0, 18)
    assert spread(many) == pytest.approx((5, 95))
    figure = timing([0.001]).figure("step")
    assert (figure.low, figure.high) == (None, None)


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


@pytest.fixture
def written(tmp_path):
    """A result's file."""
    path = tmp_path / "latency.json"
    figures = [Figure("step", "ms", "lower", 1.5), spread_figure("clip", "x", "higher", [1.0, 2.0, 4.0])]
    settings = {"threads": 1, "bundle": bundle_setting("default", "a" * 64), "folder": Path("a/b")}
    details = {"stages": timing([0.001, 0.002]), "shape": np.zeros(2), "n": np.int64(3)}
    write_result(path, "latency", this_machine(1), settings, figures, details)
    return path


def test_result_is_read_as_it_was_written(written):
    result = read_result(written)
    assert result.benchmark == "latency"
    assert result.machine == replace(this_machine(1), load_average=result.machine.load_average)
    assert result.settings["bundle"] == {"name": "default", "graph_sha256": "a" * 64}
    assert result.settings["folder"] == "a/b"
    assert result.figures[0] == Figure("step", "ms", "lower", 1.5)
    clip = result.figures[1]
    assert (clip.value, clip.low, clip.high, clip.count) == (2.0, 1.0, 4.0, 3)
    assert result.details["stages"]["p50_ms"] == pytest.approx(1.5)
    assert result.details["shape"] == [0, 0]
    assert result.details["n"] == 3
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", result.measured_at)
    assert [path.name for path in written.parent.iterdir()] == ["latency.json"]


def test_several_results_are_one_file(written, tmp_path):
    result = read_result(written)
    write_results(tmp_path / "both.json", [result, replace(result, benchmark="live")])
    assert read_results(tmp_path / "both.json") == [result, replace(result, benchmark="live")]
    with pytest.raises(SedgeError, match="expected one result, found 2"):
        read_result(tmp_path / "both.json")
    write_results(tmp_path / "none.json", [])
    with pytest.raises(SedgeError, match=r"none\.json: expected results, found none"):
        read_results(tmp_path / "none.json")


def test_result_without_a_path_is_given_and_not_written(tmp_path):
    content = write_result(None, "live", this_machine(2), {}, [])
    assert content["schema_version"] == 1
    assert content["machine"]["graph_threads"] == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version: expected 1 .*, found 2"),
        ({"schema_version": None}, "schema_version: expected 1 .*, found None"),
        ({"machine": {"cpu": "x"}}, "expected machine, settings and figures of a result, found: "),
        ({"figures": [{"name": "x"}]}, "expected machine, settings and figures of a result, found: "),
        (
            {"figures": [{"name": "x", "unit": "s", "better": "lower", "value": "1"}]},
            "figure x: expected finite",
        ),
        ({"settings": 3}, "expected machine, settings and figures"),
        ({"results": 3}, "results: expected a list, found int"),
        ({"results": [3]}, "schema_version: expected 1 .*, found int"),
    ],
)
def test_what_is_no_result_is_told_in_one_line(change, message, written):
    written.write_text(json.dumps(json.loads(written.read_text()) | change))
    with pytest.raises(SedgeError, match=message) as caught:
        read_result(written)
    assert str(caught.value).startswith(f"{written}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "expected JSON"), ("[]", "schema_version"), ('{"schema_version": 1}', "missing benchmark")],
)
def test_file_that_is_no_result_at_all_is_told(text, message, written):
    written.write_text(text)
    with pytest.raises(SedgeError, match=message):
        read_result(written)
    with pytest.raises(SedgeError, match="cannot be read"):
        read_result(written / "none")


@pytest.mark.parametrize(
    "fields",
    [
        {"value": math.nan},
        {"high": math.inf},
        {"low": None},
        {"low": 3.0, "high": 2.0},
        {"better": "more"},
    ],
)
def test_figure_that_cannot_be_compared_is_refused(fields):
    good: dict[str, Any] = {
        "name": "step",
        "unit": "ms",
        "better": "lower",
        "value": 1.0,
        "low": 0.5,
        "high": 2.0,
    }
    Figure(**good)
    with pytest.raises(SedgeError, match="figure step: expected"):
        Figure(**good | fields)


def test_result_with_one_name_twice_or_no_json_is_refused(tmp_path):
    figures = [Figure("step", "ms", "lower", 1.5)] * 2
    with pytest.raises(SedgeError, match="found twice: step"):
        write_result(None, "latency", this_machine(1), {}, figures)
    with pytest.raises(SedgeError, match="expected a value that JSON has, found object"):
        plain({"details": [object()]})
    with pytest.raises(SedgeError, match="expected finite numbers"):
        write_result(tmp_path / "a.json", "latency", this_machine(1), {}, [], {"value": math.nan})
    assert not list(tmp_path.iterdir())


def test_timing_gives_figures_with_its_own_spread():
    times = timing([number / 1000 for number in range(101)])
    p50, p95, p99 = times.tail_figures("step")
    assert [figure.name for figure in (p50, p95, p99)] == ["step / p50", "step / p95", "step / p99"]
    assert (p50.value, p50.low, p50.high, p50.count) == pytest.approx((50, 5, 95, 101))
    assert (p95.value, p95.low, p99.value) == (pytest.approx(95), None, pytest.approx(99))


def test_machines_are_named_by_what_makes_them_fast():
    machine = replace(this_machine(1), cpu="Intel(R) Xeon(R) Gold 6248", cores_usable=2, gpu=None)
    assert machine_key(machine) == "intel-r-xeon-r-gold-6248-2-cores"
    with_gpu = replace(machine, gpu="NVIDIA H100 80GB")
    assert machine_key(with_gpu) == "intel-r-xeon-r-gold-6248-2-cores-nvidia-h100-80gb"
    assert "NVIDIA H100 80GB" in with_gpu.text


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
