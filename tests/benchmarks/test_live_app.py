"""The bench of the desktop app: its books of threads, its figures, and one short run in the real window."""

import os
import threading
import time

import numpy as np
import pytest

from benchmarks.app.app_report import lateness
from benchmarks.app.live_app import BenchApp, check_args, main
from benchmarks.report import read_result
from benchmarks.thread_times import OTHER, TASKS, ThreadTimes, resident_bytes, thread_seconds
from edge_app.core.delay import algorithmic_delay
from edge_app.core.errors import SedgeError
from edge_app.stream.stamps import Delay
from tests.stream.fakes import fake_bundle

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded: these windows need no screen


def test_shares_are_of_the_time_that_a_thread_was_seen():
    looks = iter([(0.0, {1: 5.0, 2: 1.0}), (10.0, {1: 6.0, 2: 3.0, 3: 0.0}), (20.0, {1: 7.0, 3: 5.0})])
    now, used = 0.0, {}
    times = ThreadTimes(lambda: used, lambda: now, lambda: {1: "MainThread", 2: "worker"})
    for now, used in looks:  # noqa: B007 (read by the functions above)
        times.look()
    assert times.shares() == pytest.approx({OTHER: 0.5, "worker": 0.2, "MainThread": 0.1})
    assert next(iter(times.shares())) == OTHER


@pytest.mark.skipif(not TASKS.is_dir(), reason="this system does not list threads")
def test_a_thread_that_works_is_seen_working():
    work, over = threading.Event(), threading.Event()

    def burn() -> None:
        end = time.thread_time() + 0.15
        while time.thread_time() < end:
            pass
        work.set()
        over.wait(10)

    before = sum(thread_seconds().values())
    thread = threading.Thread(target=burn)
    thread.start()
    assert work.wait(10)
    assert thread.native_id in thread_seconds()
    assert thread_seconds()[thread.native_id] >= 0.1
    assert sum(thread_seconds().values()) - before >= 0.1
    over.set()
    thread.join()
    assert (resident_bytes() or 0) > 2**20


def test_lateness_is_taken_against_the_label_s_own_delay():
    computed = algorithmic_delay(fake_bundle().manifest, 10)
    most_s = computed.labels[0].confirmed.most_ms / 1000
    delays = [Delay("Cat", "confirmed", most_s + late_s) for late_s in np.linspace(-0.2, 0.1, 50)]
    late = lateness([*delays, Delay("Dog", "provisional", 0.3)], "confirmed", computed)
    assert late is not None
    assert late.count == 50
    assert late.computed_most_s == pytest.approx(most_s)
    assert late.beyond_p95_s == pytest.approx(np.percentile(np.linspace(-0.2, 0.1, 50), 95))
    assert late.p95_s == pytest.approx(most_s + late.beyond_p95_s)
    first = lateness([Delay("Dog", "provisional", 0.3)], "provisional", computed)
    assert first is not None
    assert first.beyond_p95_s == pytest.approx(0.3 - computed.scored.most_ms / 1000)
    assert lateness([], "confirmed", computed) is None


@pytest.mark.parametrize(
    "fields", [{"seconds": 2.0}, {"seconds": float("nan")}, {"starts": -1}, {"threads": 0}]
)
def test_wrong_use_is_a_sentence(fields):
    with pytest.raises(SedgeError, match="expected"):
        check_args(BenchApp(**fields))


@pytest.mark.slow
def test_the_real_window_is_measured(tmp_path, qapp, capsys, monkeypatch):
    monkeypatch.setenv(
        "QT_QPA_PLATFORM", os.environ["QT_QPA_PLATFORM"]
    )  # the bench sets it: put back afterwards
    report, picture = tmp_path / "app.json", tmp_path / "app.png"
    argv = ["--seconds", "6", "--hop-frames", "10", "--starts", "1", "--runtime", "cpu"]
    assert main([*argv, "--json", str(report), "--screenshot", str(picture)]) == 0
    result = read_result(report)
    figures, compared = result.details, {figure.name: figure for figure in result.figures}
    assert result.settings["hop_frames"] == 10
    assert compared["painting the timeline / p50"].count == figures["paint"]["count"]
    assert compared["start to a painted window"].value == figures["start_s"][0]
    assert figures["hop_frames"] == 10
    assert figures["paint"]["count"] > 20
    assert figures["loop"]["count"] > 100
    assert 0 < figures["start_s"][0] < 60
    assert {"MainThread", "sedge-inference", "sedge-capture"} <= set(figures["share_of_a_core"])
    assert figures["first_mark"]["count"] >= 1  # someone speaks
    assert figures["not_analysed_s"] < 0.1
    assert picture.stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "onset to screen" in printed
    assert "GUI (MainThread)" in printed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sedge-")]
