"""What scores the recordings of `sedge score`: processes, threads before a GPU, or a cluster."""

import os

from edge_app.commands.detector import chosen_runtime
from edge_app.commands.score_args import ScoreArgs
from edge_app.core.detect import Detector
from edge_app.scoring.batch import Workers
from edge_app.scoring.local_workers import LocalWorkers
from edge_app.scoring.task import ScoreSettings
from edge_app.scoring.threads import ThreadWorkers
from edge_app.store.places import engine_folder


def usable_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def settings_of(args: ScoreArgs, detector: Detector) -> ScoreSettings:
    """What a worker needs, with the runtime and the hop that the detector has."""
    return ScoreSettings(
        bundle=None if args.bundle is None else args.bundle.absolute(),
        runtime=chosen_runtime(args.runtime, detector.passed_over),
        engines=engine_folder(),
        context=args.context,
        hop_frames=detector.hop_frames if args.context == "live" else None,
        threads=args.threads,
        frame_scores=args.frame_scores,
        score_format=args.scores_as,
        stall_s=args.stall_s,
    )


def worker_count(args: ScoreArgs, n_waiting: int) -> int:
    """Workers to start, never more than there are recordings."""
    wanted = usable_cores() // args.threads if args.workers == "auto" else args.workers
    least = 0 if args.workers == 0 else 1
    return max(least, min(wanted, n_waiting))


def make_workers(args: ScoreArgs, settings: ScoreSettings, detector: Detector, n_waiting: int) -> Workers:
    """The workers that the arguments ask for. Processes and clusters open the model by themselves."""
    if args.ray is not None:
        from edge_app.scoring.cluster import RayWorkers

        return RayWorkers(settings, args.ray)
    count = worker_count(args, n_waiting)
    if settings.runtime != "cpu" or count == 0:
        return ThreadWorkers(settings, detector.runtime, max(1, count), args.batch)
    return LocalWorkers(settings, count)
