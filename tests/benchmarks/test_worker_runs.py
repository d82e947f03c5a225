"""Workers under the stopwatch: what is theirs, what is the journal's, and what several are worth."""

import pytest

from benchmarks.files.scaling import Scaling
from benchmarks.files.throughput_tables import notes
from benchmarks.files.worker_runs import WorkerRun, run_once
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.scoring.task import Outcome, Task


class Clock:
    """Stands still unless it is moved."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class TwoWorkers:
    """Start in 5 s, then score two recordings at a time, 2 s each, and end in 1 s."""

    def __init__(self, clock, error=""):
        self.clock, self.error = clock, error

    def run(self, tasks, tell, is_stopped):
        self.clock.now_s += 5
        remaining = list(tasks)
        while remaining:
            self.clock.now_s += 2
            for task in remaining[:2]:
                yield Outcome(task.position, (Event(0.0, 1.0, "Dog", 0.5),), 10.0, self.error, wall_s=2.0)
            remaining = remaining[2:]
        self.clock.now_s += 1


def consumer(tmp_path, clock, before_s, between_s, after_s):
    tasks = [Task(position, f"{position}.wav", tmp_path / f"{position}.wav", 1, 1) for position in range(4)]

    def consume(workers):
        clock.now_s += before_s
        for _ in workers.run(iter(tasks), print, lambda: False):
            clock.now_s += between_s
        clock.now_s += after_s

    return consume


def test_time_is_the_workers_or_the_journal_s(tmp_path):
    clock = Clock()
    run = run_once(TwoWorkers(clock), 2, consumer(tmp_path, clock, 0.5, 0.0, 0.25), clock)
    assert run == WorkerRun(wall_s=0.5 + 5 + 4 + 1 + 0.25, steady_s=4, busy_share=1.0, aside_s=0.75, events=4)


def test_what_is_done_with_each_outcome_counts_aside(tmp_path):
    clock = Clock()
    run = run_once(TwoWorkers(clock), 2, consumer(tmp_path, clock, 0.0, 0.5, 0.0), clock)
    assert run.aside_s == pytest.approx(4 * 0.5)
    assert run.steady_s == pytest.approx(4 + 3 * 0.5)  # the last one comes after the third was kept


def test_recording_that_fails_is_an_error(tmp_path):
    clock = Clock()
    with pytest.raises(SedgeError, match=r"expected every recording to be scored, found: 0\.wav: damaged"):
        run_once(TwoWorkers(clock, "0.wav: damaged"), 2, consumer(tmp_path, clock, 0, 0, 0), clock)


def run_of(steady_s, aside_s=0.0):
    return WorkerRun(steady_s + 1, steady_s, 1.0, aside_s, 0)


def test_scaling_compares_repeat_by_repeat():
    scaling = Scaling(
        audio_s=100,
        workers={1: [run_of(10), run_of(20)], 2: [run_of(5.05, 0.121), run_of(16)]},
        without_journal=[run_of(5), run_of(10)],
        ray=[run_of(5.5), run_of(10)],
    )
    assert scaling.most == 2
    assert scaling.speed_ups(2) == pytest.approx([10 / 5.05, 20 / 16])
    assert scaling.times_real_time(scaling.workers[1]) == pytest.approx([10, 5])
    assert scaling.journal_shares() == pytest.approx([0.02, 0])
    assert scaling.journal_overheads() == pytest.approx([0.01, 0.6])
    assert scaling.ray_overheads() == pytest.approx([0.1, 0])
    assert notes(scaling) == [
        "Journal: 1.00 % of the run with 2 worker(s) is spent on it; "
        "with it +30.5 % (+1.0 to +60.0) longer than without.",
        "Ray: +5.0 % (+0.0 to +10.0) longer than as many workers of this machine.",
    ]
