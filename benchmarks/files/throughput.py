"""`sedge bench-throughput`: how many times faster than real time files are scored and a stream is heard."""

import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.files.arguments import BenchThroughput, Sounds
from benchmarks.files.one_core import BASELINE, OneCore, many_files, measure_one_core
from benchmarks.files.scaling import Scaling, measure_scaling
from benchmarks.files.stages import STAGES
from benchmarks.files.throughput_tables import show
from benchmarks.files.untrained import write_untrained
from benchmarks.files.ways import one_core
from benchmarks.report import (
    Figure,
    Machine,
    progress,
    report_console,
    spread_figure,
    this_machine,
    write_result,
)
from edge_app.core.bundle import load_bundle
from edge_app.core.errors import EXIT_DONE

DESCRIPTION = """Measure how much sound goes through in a second. On one core: `sedge score` in both contexts, with
several windows a call and on many short files, and `sedge listen --no-realtime`, for each model, with the baseline
CRNN of DCASE 2021 Task 4 beside them, and where the time of a file goes. Then `sedge score` with several workers, with
the journal and without, and on a Ray cluster if one is given. Medians of several repeats, by turns. The sound is the
bundled soundscape, looped, as mono FLAC; decoding it counts, loading the model does not. One long file is scored in
windows that overlap by half, which is twice the work of files as short as a window; the baseline's clips never overlap.

Exit code 0 means done, 2 wrong use, 3 no usable model or runtime."""


@dataclass(frozen=True, slots=True)
class ThroughputReport:
    """All figures of one run."""

    audio_s: float
    """Seconds of sound that went through each way."""
    one_core: OneCore
    scaling: Scaling
    machine: Machine

    def figures(self, many: str) -> Iterator[Figure]:
        """What results are compared by; `many` is the name of the way through many files."""
        for name, way in self.one_core.ways.items():
            speeds = [self.audio_s / wall_s for wall_s in way.wall_s]
            yield spread_figure(f"one core / {name}", "x real time", "higher", speeds)
        yield from self._ratios(many)
        for stage in STAGES:
            spent = [3600 * times.stages[stage] / times.audio_s for times in self.one_core.stages]
            yield spread_figure(f"one core / stages / {stage}", "s an hour of sound", "lower", spent)
        yield from self._scaling_figures()

    def _ratios(self, many: str) -> Iterator[Figure]:
        """Each model against the baseline, pair by pair of repeats."""
        baseline = self.one_core.ways.get(f"{BASELINE} / {many}")
        for model in self.one_core.models if baseline else ():
            if baseline and model != BASELINE:
                ours = self.one_core.ways[f"{model} / {many}"]
                ratios = [theirs / own for theirs, own in zip(baseline.wall_s, ours.wall_s, strict=True)]
                yield spread_figure(f"one core / {model} / speed by the baseline's", "x", "higher", ratios)

    def _scaling_figures(self) -> Iterator[Figure]:
        scaling = self.scaling
        for count, runs in scaling.workers.items():
            name, speeds = f"workers / {count}", scaling.times_real_time(runs)
            yield spread_figure(f"{name} / speed", "x real time", "higher", speeds)
            if count > 1:
                yield spread_figure(
                    f"{name} / speed by one worker's", "x", "higher", scaling.speed_ups(count)
                )
        shares = {
            "journal / share of the run": scaling.journal_shares(),
            "journal / longer than without": scaling.journal_overheads(),
            "ray / longer than local": scaling.ray_overheads(),
        }
        for name, values in shares.items():
            if values:
                yield spread_figure(name, "%", "lower", [100 * value for value in values])


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-throughput`; returns 0. Raises SedgeError for wrong use and for an unusable model."""
    args = tyro.cli(BenchThroughput, args=list(argv), prog="sedge bench-throughput", description=DESCRIPTION)
    args.check()
    report = measure(args)
    figures = report.figures(many_files(args))
    write_result(args.json, "throughput", report.machine, _settings(args, report), figures, report)
    show(report.one_core, report.scaling, report.machine, args, report_console())
    return EXIT_DONE


def measure(args: BenchThroughput) -> ThroughputReport:
    """Write the sound and go through it, each way as often as asked for."""
    for folder in args.bundles:  # what is wrong with one should be known before a long file is written
        load_bundle(folder)
    with tempfile.TemporaryDirectory(prefix="sedge-") as name:
        folder = Path(name)
        progress(f"writing {args.audio_s:g} s of sound")
        sounds = Sounds.write(folder / "sounds", args)
        labels = load_bundle(args.bundles[0]).manifest.event_labels
        folders = (*args.bundles, *(write_untrained(preset, labels, folder) for preset in args.untrained))
        # A process of its own, pinned before it starts: libraries ask at their start how many cores there are.
        spawn = multiprocessing.get_context("spawn")
        with one_core() as core, ProcessPoolExecutor(1, spawn) as pool:
            single = pool.submit(measure_one_core, args, folders, sounds, folder, core).result()
        scaling = measure_scaling(args, sounds, folder)
    return ThroughputReport(args.audio_s, single, scaling, this_machine(args.threads))


def _settings(args: BenchThroughput, report: ThroughputReport) -> dict[str, Any]:
    return {
        "bundle": report.one_core.bundles,
        "threads": args.threads,
        "runtime": args.runtime,
        "audio_s": args.audio_s,
        "file_s": args.file_seconds,
        "batches": args.batches,
        "workers": args.worker_counts,
        "files_for_workers": args.n_worker_files,
        "repeats": args.repeats,
        "pinned_to_one_core": report.one_core.core is not None,
    }
