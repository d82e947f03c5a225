"""Many files through one worker and through several, with the journal and without, and through a Ray cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from benchmarks.files.arguments import BenchThroughput, Sounds
from benchmarks.files.worker_runs import Consume, WorkerRun, run_once, with_journal, without_journal
from benchmarks.report import progress
from edge_app.core.bundle import load_bundle
from edge_app.core.runtimes import open_runtime
from edge_app.scoring.batch import Workers
from edge_app.scoring.local_workers import LocalWorkers
from edge_app.scoring.task import ScoreSettings

Run = Callable[[], WorkerRun]


@dataclass(frozen=True, slots=True)
class Scaling:
    """Figures of workers. All runs are by turns, so that their repeats belong together."""

    audio_s: float
    workers: dict[int, list[WorkerRun]]
    """By number of workers, each repeat, with the journal."""
    without_journal: list[WorkerRun]
    """Of the most workers."""
    ray: list[WorkerRun]
    """Of as many workers on the cluster, without the journal; empty where none was asked for."""

    @property
    def most(self) -> int:
        """The most workers."""
        return max(self.workers)

    def times_real_time(self, runs: Sequence[WorkerRun]) -> list[float]:
        """Of each repeat, without starting and ending processes."""
        return [self.audio_s / run.steady_s for run in runs]

    def speed_ups(self, n_workers: int) -> list[float]:
        """How many times as fast as one worker, of each repeat."""
        pairs = zip(self.workers[1], self.workers[n_workers], strict=True)
        return [one.steady_s / several.steady_s for one, several in pairs]

    def journal_shares(self) -> list[float]:
        """Of the whole run with the most workers, what this process spent on the journal, of each repeat."""
        return [run.aside_s / run.wall_s for run in self.workers[self.most]]

    def journal_overheads(self) -> list[float]:
        """How much longer the most workers took with the journal than without it, of each repeat."""
        pairs = zip(self.without_journal, self.workers[self.most], strict=True)
        return [journaled.steady_s / bare.steady_s - 1 for bare, journaled in pairs]

    def ray_overheads(self) -> list[float]:
        """How much longer the cluster took than as many workers of this machine, of each repeat."""
        pairs = zip(self.without_journal, self.ray, strict=False)
        return [there.steady_s / here.steady_s - 1 for here, there in pairs]


def measure_scaling(args: BenchThroughput, sounds: Sounds, folder: Path) -> Scaling:
    """Score many files with each number of workers, as often as asked for, by turns."""
    counts, settings = args.worker_counts, args.settings
    open_workers = _opener(settings, max(args.batches))
    paths = cycle(sounds.files.values())
    recordings = {f"{number:06d}.flac": next(paths) for number in range(args.n_worker_files)}
    journaled, bare = with_journal(settings, recordings, folder), without_journal(recordings)
    runs: dict[str, Run] = {
        f"{count} workers": lambda count=count: run_once(open_workers(count), count, journaled)  # type: ignore[misc]
        for count in counts
    }
    most = counts[-1]
    runs["without journal"] = lambda: run_once(open_workers(most), most, bare)
    if args.ray is not None:
        runs["Ray"] = _ray_run(settings, args.ray, most, bare)
    measured = _by_turns(runs, args.repeats)
    return Scaling(
        args.n_worker_files * args.file_seconds,
        {count: measured[f"{count} workers"] for count in counts},
        measured["without journal"],
        measured.get("Ray", []),
    )


def _by_turns(runs: Mapping[str, Run], repeats: int) -> dict[str, list[WorkerRun]]:
    measured: dict[str, list[WorkerRun]] = {name: [] for name in runs}
    for repeat in range(repeats):
        for name, run in runs.items():
            progress(f"{name}, run {repeat + 1} of {repeats}")
            measured[name].append(run())
    return measured


def _opener(settings: ScoreSettings, batch: int) -> Callable[[int], Workers]:
    """What makes so many workers: processes, or threads around one runtime and `batch` windows a call on a GPU."""
    if settings.runtime == "cpu":
        return lambda count: LocalWorkers(settings, count)
    from edge_app.scoring.threads import ThreadWorkers

    bundle = load_bundle(settings.bundle)
    runtime = open_runtime(bundle, settings.runtime, settings.threads, settings.engines, "clip").runtime
    return lambda count: ThreadWorkers(settings, runtime, count, batch)


def _ray_run(settings: ScoreSettings, address: str, most: int, consume: Consume) -> Run:
    from edge_app.scoring.cluster import RayWorkers

    workers = RayWorkers(settings, address)
    return lambda: run_once(workers, most, consume)
