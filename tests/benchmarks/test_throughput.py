"""`sedge bench-throughput`: that it runs, on one core, and that its figures agree with each other."""

import json
import os
from statistics import median

import pytest

from benchmarks.files.throughput import one_core, throughput
from edge_app import cli


def test_factor_is_of_the_median_run():
    figures = throughput([4.0, 1.0, 2.0], audio_s=100, events=5)
    assert figures.real_time_factor == pytest.approx(0.02)
    assert figures.times_real_time == pytest.approx(50)
    assert figures.wall_s == (4.0, 1.0, 2.0)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin processes")
def test_one_core_is_kept_and_given_back():
    former = os.sched_getaffinity(0)
    with one_core() as core:
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == former


def test_system_that_cannot_pin_says_so(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with one_core() as core:
        assert core is None


def test_figures_agree(tiny_bundle, tmp_path, capsys):
    path = tmp_path / "throughput.json"
    words = ["--bundle", tiny_bundle, "--seconds-of-audio", 12, "--repeats", 2, "--json", path]
    assert cli.main(["bench-throughput", *map(str, words)]) == 0
    report, out = json.loads(path.read_text()), capsys.readouterr().out
    assert list(report["ways"]) == ["score, context clip", "score, context live", "listen"]
    for name, figures in report["ways"].items():
        assert len(figures["wall_s"]) == 2
        assert figures["real_time_factor"] == pytest.approx(median(figures["wall_s"]) / 12)
        assert figures["times_real_time"] == pytest.approx(1 / figures["real_time_factor"])
        assert name in out
        assert f"{figures['real_time_factor']:.4f}" in out
    assert report["ways"]["listen"]["events"] == report["ways"]["score, context live"]["events"]
    pinned = report["core"] is not None
    assert ("; pinned to one core" in out) == pinned
    assert not pinned or report["machine"]["cores_usable"] == 1


def test_wrong_use_is_told_in_one_line(tiny_bundle, capsys):
    assert cli.main(["bench-throughput", "--bundle", str(tiny_bundle), "--repeats", "0"]) == 2
    assert capsys.readouterr().err == "sedge: --repeats: expected more than 0, found 0\n"
