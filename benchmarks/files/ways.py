"""Ways through recordings on one core: scoring and listening with each model, and the baseline beside them."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.report import progress
from edge_app.core.detect import Detector
from edge_app.stream.engine import Engine
from edge_app.stream.messages import EventNews
from edge_app.stream.sources import FileSource

Way = Callable[[], int]
"""Goes through the sound once and gives the number of events."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """One way through the sound."""

    wall_s: tuple[float, ...]
    """Of each repeat."""
    real_time_factor: float
    """Of the median repeat."""
    times_real_time: float
    hours_per_s: float
    """Hours of sound in a second of work."""
    events: int
    """Found in the sound."""

    def times_faster_than(self, other: "Throughput") -> float:
        """How many times as much sound this takes in the same time."""
        return other.real_time_factor / self.real_time_factor


def throughput(wall_s: Sequence[float], audio_s: float, events: int) -> Throughput:
    """Figures of several runs of `wall_s` seconds each over `audio_s` seconds of sound."""
    factor = median(wall_s) / audio_s
    return Throughput(tuple(wall_s), factor, 1 / factor, 1 / factor / 3600, events)


@contextmanager
def one_core() -> Iterator[int | None]:
    """Keep this process, and those it starts, on one core, and give its number; None where this cannot be done."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    former = os.sched_getaffinity(0)
    core = max(former)  # the first core serves most interrupts
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, former)


def run_by_turns(
    ways: Mapping[str, Way],
    audio_s: float,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Throughput]:
    """Go each way `repeats` times, one after the other, so that whatever else the machine does hits all of them."""
    wall_s: dict[str, list[float]] = {name: [] for name in ways}
    events: dict[str, int] = {}
    for repeat in range(repeats):
        for name, run in ways.items():
            progress(f"{name}, run {repeat + 1} of {repeats}")
            begin = clock()
            events[name] = run()
            wall_s[name].append(clock() - begin)
    return {name: throughput(wall_s[name], audio_s, events[name]) for name in ways}


def score_files(detector: Detector, paths: Sequence[Path]) -> int:
    """Events of recordings, scored one after the other."""
    # The command follows the frame scores to show how far it is, so this does too.
    return sum(len(detector.detect_file(path, lambda *_: None).events) for path in paths)


def listen(detector: Detector, path: Path) -> int:
    """Events of one recording through the live engine."""
    with Engine(FileSource(path), detector) as engine:
        return sum(isinstance(news, EventNews) and news.type == "closed" for news in engine)
