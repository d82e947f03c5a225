"""`sedge bench-compare`: ratios, what their spreads leave open, and which results are refused."""

import dataclasses
import json
import math
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparing import compare as command
from benchmarks.comparing.numbers import number_text
from benchmarks.comparing.ratios import chance_apart, compare, compare_files, ratio_of
from benchmarks.figures import Figure, Result, write_results
from benchmarks.machine import Machine
from edge_app.core.errors import SedgeError

MACHINE = Machine(
    cpu="A Processor",
    cores=4,
    cores_usable=2,
    system="Linux 6",
    python="3.11.7",
    libraries={"numpy": "2.3.5"},
    graph_threads=1,
    blas_threads="not set",
    load_average=0.1,
    memory_bytes=8 * 2**30,
)
SETTINGS = {"threads": 1, "bundle": {"name": "default", "graph_sha256": "a" * 64}, "seconds": 10}


def result(*figures: Figure, benchmark: str = "latency", **changes) -> Result:
    machine = dataclasses.replace(MACHINE, **changes.pop("machine", {}))
    settings = SETTINGS | changes.pop("settings", {})
    return Result(benchmark, "2026-01-02T03:04:05+00:00", "0.1.0", machine, settings, figures, None)


def figure(value: float, low: float | None = None, high: float | None = None, **changes) -> Figure:
    fields: dict[str, Any] = {"name": "step", "unit": "ms", "better": "lower", "count": 9}
    return Figure(**fields | changes, value=value, low=low, high=high)


values = st.floats(0.001, 1000)
measured = st.builds(
    lambda ends, at: figure(min(ends) + at * (max(ends) - min(ends)), min(ends), max(ends)),
    st.tuples(values, values),
    st.floats(0, 1),
)


@given(measured, measured, st.floats(0, 1), st.floats(0, 1))
def test_ratio_holds_every_ratio_that_the_spreads_allow(first, second, at, other):
    ratio: Any = ratio_of(first, second)
    inside = (second.low + other * (second.high - second.low)) / (first.low + at * (first.high - first.low))
    assert ratio.low * (1 - 1e-9) <= inside <= ratio.high * (1 + 1e-9)
    assert ratio.low * (1 - 1e-9) <= ratio.ratio <= ratio.high * (1 + 1e-9)


@given(measured, measured)
def test_no_difference_is_told_exactly_where_spreads_overlap(first, second):
    apart = second.high < first.low or first.high < second.low
    verdict = ratio_of(first, second).verdict
    if first.value == second.value:
        assert verdict == "equal"
    elif not apart:
        assert verdict == "no difference to tell"
    else:
        assert verdict == ("better" if second.value < first.value else "worse")
        upside_down = [dataclasses.replace(each, better="higher") for each in (first, second)]
        assert {verdict, ratio_of(*upside_down).verdict} == {"better", "worse"}


def test_figures_that_were_measured_once_say_so():
    ratio = ratio_of(figure(2.0), figure(3.0))
    assert (ratio.ratio, ratio.low, ratio.verdict) == (1.5, None, "measured once")
    one_sided = ratio_of(figure(2.0), figure(3.0, 2.5, 4.0, count=39))
    assert (one_sided.low, one_sided.high, one_sided.verdict) == (1.25, 2.0, "worse")
    from_zero = ratio_of(figure(0.0), figure(3.0, 2.0, 4.0, count=39))
    assert (from_zero.ratio, from_zero.low, from_zero.verdict) == (None, None, "worse")


def test_only_shared_figures_have_ratios():
    first = result(figure(1.0), figure(2.0, name="old"))
    second = result(figure(1.0), figure(2.0, name="new"))
    found = compare(first, second)
    assert [ratio.first.name for ratio in found.ratios] == ["step"]
    assert (found.only_first, found.only_second) == (("old",), ("new",))
    assert not found.unlike
    assert not found.told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"machine": {"cpu": "B Processor"}}, "processor: A Processor against B Processor"),
        ({"machine": {"cores_usable": 1}}, "cores: 2 of 4 against 1 of 4"),
        ({"machine": {"memory_bytes": 2**34}}, "memory: 8 GiB against 16 GiB"),
        ({"machine": {"gpu": "A GPU"}}, "GPU: none against A GPU"),
        ({"machine": {"kind": "container"}}, "kind of machine: not known against container"),
        ({"machine": {"graph_threads": 2}}, "threads of the model: 1 against 2"),
        ({"machine": {"blas_threads": "1 (OMP_NUM_THREADS)"}}, "NumPy's products: not set against 1"),
        ({"settings": {"threads": 2}}, "threads: 1 against 2"),
        ({"settings": {"bundle": {"name": "default", "graph_sha256": "b" * 64}}}, "bundle: default (aaaaaaaaaaaa) ag"),
        ({"settings": {"bundle": None}}, "bundle: default (aaaaaaaaaaaa) against not told"),
    ],
)  # fmt: skip
def test_unlike_results_are_refused_unless_asked_for(changes, told, tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    write_results(tmp_path / "a.json", [result(figure(1.0))])
    write_results(tmp_path / "b.json", [result(figure(2.0), **changes)])
    with pytest.raises(SedgeError, match="--across-machines compares them all the same") as caught:
        command.main(paths)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert command.main([*paths, "--across-machines"]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith("UNLIKE: these figures are of different things")
    assert told in second


def test_the_variable_that_sets_the_threads_is_no_difference():
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    first, second = (result(figure(1.0), machine={"blas_threads": f"1 ({name})"}) for name in names)
    assert not compare(first, second).unlike


def test_other_settings_and_versions_are_told_without_refusal(tmp_path, capsys):
    write_results(tmp_path / "a.json", [result(figure(2.0, 1.9, 2.1))])
    other = result(figure(1.0, 0.9, 1.1), settings={"seconds": 20}, machine={"libraries": {"numpy": "2.4"}})
    write_results(tmp_path / "b.json", [other])
    assert command.main([str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    out = capsys.readouterr().out
    assert "UNLIKE" not in out
    assert "setting seconds: 10 against 20" in out
    assert "numpy: 2.3.5 against 2.4" in out
    assert "0.50" in out
    assert "0.43 – 0.58" in out
    assert "better" in out


def test_few_repeats_tell_no_difference():
    spreads = {n: (figure(1.0, 0.9, 1.1, count=n), figure(2.0, 1.9, 2.1, count=n)) for n in (2, 3, 4)}
    verdicts = {n: ratio_of(*pair).verdict for n, pair in spreads.items()}
    assert verdicts == {2: "too few repeats", 3: "too few repeats", 4: "worse"}
    assert ratio_of(figure(0.1, count=99), figure(1.0, 0.9, 1.1, count=9)).verdict == "too few repeats"


@given(st.integers(1, 5), st.integers(1, 5))
def test_chance_that_repeats_lie_apart_is_that_of_all_orders(first, second):
    orders = list(combinations(range(first + second), first))
    apart = [each for each in orders if max(each) == first - 1 or min(each) == second]
    assert chance_apart(first, second) == pytest.approx(len(apart) / len(orders))


def test_figures_below_zero_have_no_ratio():
    for first, second in ((-1.0, 2.0), (1.0, -2.0), (-1.0, -2.0)):
        ratio = ratio_of(figure(first, first - 0.1, first + 0.1), figure(second, second - 0.1, second + 0.1))
        assert (ratio.ratio, ratio.low, ratio.high) == (None, None, None)
        assert ratio.verdict == ("better" if second < first else "worse")


def test_benchmarks_that_one_file_has_alone_are_told(tmp_path, capsys):
    write_results(tmp_path / "a.json", [result(figure(1.0)), result(figure(1.0), benchmark="memory")])
    write_results(tmp_path / "b.json", [result(figure(1.0), benchmark="live"), result(figure(1.0))])
    assert command.main([str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    out = capsys.readouterr().out
    assert "Only in A, not compared: memory\n" in out
    assert "Only in B, not compared: live\n" in out


def test_names_with_brackets_are_printed_as_they_are(tmp_path, capsys):
    write_results(tmp_path / "a.json", [result(figure(2.0, name="step [/red] [bold]"))])
    assert command.main([str(tmp_path / "a.json")] * 2) == 0
    assert "step [/red] [bold]" in capsys.readouterr().out


def test_files_share_benchmarks_or_are_refused(tmp_path):
    latency, live = result(figure(1.0)), result(figure(1.0), benchmark="live")
    assert [each.benchmark for each in compare_files([live, latency], [latency, live])] == ["live", "latency"]
    with pytest.raises(SedgeError, match="expected results of the same benchmarks, found latency and live"):
        compare_files([latency], [live])
    with pytest.raises(SedgeError, match="found several of latency"):
        compare_files([latency, latency], [latency])
    with pytest.raises(SedgeError, match=r"step: expected one unit and direction, found ms .* and s "):
        compare(latency, result(figure(1.0, unit="s")))


def test_another_schema_is_refused(tmp_path):
    write_results(tmp_path / "a.json", [result(figure(1.0))])
    content = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "b.json").write_text(json.dumps(content | {"schema_version": 2}))
    with pytest.raises(SedgeError, match=r"b\.json: schema_version: expected 1 .*, found 2"):
        command.main([str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--across-machines"])


@given(st.floats(1e-9, 1e9))
def test_numbers_keep_three_digits(value):
    shown = float(number_text(value).replace(",", ""))
    assert math.isclose(shown, value, rel_tol=0.006)
    assert number_text(-value) == f"-{number_text(value)}"
