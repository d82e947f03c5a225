"""What one core does: files and a stream through every model and the baseline, and where a file's time goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.files.arguments import BenchThroughput, Sounds
from benchmarks.files.stages import StagedScoring, StageTimes
from benchmarks.files.ways import Throughput, Way, listen, run_by_turns, score_files
from benchmarks.report import bundle_setting, progress
from edge_app.core.bundle import Bundle, load_bundle
from edge_app.core.detect import Detector
from edge_app.core.runtimes import open_runtime
from edge_app.store.places import engine_folder

BASELINE = "baseline CRNN"
ONE_FILE = "score, context clip"


@dataclass(frozen=True, slots=True)
class OneCore:
    """All figures of one core."""

    core: int | None
    """The core that everything ran on; None where this system cannot say which."""
    models: dict[str, str]
    """What runs each model, in words; the baseline last, if it was measured."""
    bundles: list[dict[str, str]]
    ways: dict[str, Throughput]
    """By model and way: `model / way`."""
    stages: list[StageTimes]
    """Of each repeat, of the first model: many files as recorders write them, with their tables of frame scores."""


def measure_one_core(
    args: BenchThroughput, folders: Sequence[Path | None], sounds: Sounds, folder: Path, core: int | None
) -> OneCore:
    """Go every way as often as asked for, by turns. `folder` is for what is written meanwhile."""
    bundles = [load_bundle(each) for each in folders]
    ways: dict[str, Way] = {}
    models: dict[str, str] = {}
    opened = {name: _Opened(args, bundle) for name, bundle in zip(_names(bundles), bundles, strict=True)}
    for name, model in opened.items():
        models[name] = model.name
        ways |= {f"{name} / {way}": run for way, run in model.ways(sounds).items()}
    if args.baseline:
        name, baseline_ways = _baseline(args, sounds, len(bundles[0].manifest.event_labels))
        models[BASELINE] = name
        ways |= {f"{BASELINE} / {way}": run for way, run in baseline_ways.items()}
    measured = run_by_turns(ways, args.audio_s, args.repeats)
    progress("stages of scoring")
    staged, files = next(iter(opened.values())).detector(1), list(sounds.recorder_files.values())
    stages = [StagedScoring(staged, folder).run(files) for _ in range(args.repeats)]
    settings = [bundle_setting(each.manifest.name, each.manifest.graph.sha256) for each in bundles]
    return OneCore(core, models, settings, measured, stages)


def many_files(args: BenchThroughput) -> str:
    """The name of the way through many files."""
    return f"score, {args.n_files} files of {args.file_seconds:g} s"


class _Opened:
    """A model that is ready to run."""

    def __init__(self, args: BenchThroughput, bundle: Bundle) -> None:
        self._args, self._bundle = args, bundle
        open_context = partial(open_runtime, bundle, args.runtime, args.threads, engine_folder())
        self._clip = open_context("clip").runtime
        # an engine may take only whole clips or only live steps; elsewhere one runtime does both
        self._live = open_context("live").runtime if args.runtime == "tensorrt" else self._clip

    @property
    def name(self) -> str:
        """What runs, in words."""
        return self._clip.name

    def detector(self, batch: int) -> Detector:
        """Of the clip context."""
        return Detector(self._bundle, self._clip, "clip", batch=batch)

    def ways(self, sounds: Sounds) -> dict[str, Way]:
        """All of them by name."""
        clip, live = self.detector(1), Detector(self._bundle, self._live, "live")
        files = list(sounds.files.values())
        batched = {batch: self.detector(batch) for batch in self._args.batches if batch > 1}
        for detector in (clip, live):  # the first call takes longer
            score_files(detector, files[:1])
        if (
            self._args.runtime != "cpu"
        ):  # so does the first of each shape: a GPU's library looks for the fastest way
            for detector in batched.values():
                score_files(detector, [sounds.recording])
        return {
            ONE_FILE: lambda: score_files(clip, [sounds.recording]),
            "score, context live": lambda: score_files(live, [sounds.recording]),
            "listen": lambda: listen(live, sounds.recording),
            many_files(self._args): lambda: score_files(clip, files),
            **{
                batch_name(batch): partial(score_files, detector, [sounds.recording])
                for batch, detector in batched.items()
            },
        }


def batch_name(batch: int) -> str:
    """The name of the way through one file with several windows a call."""
    return ONE_FILE if batch == 1 else f"{ONE_FILE}, batch {batch}"


def _baseline(args: BenchThroughput, sounds: Sounds, n_labels: int) -> tuple[str, dict[str, Way]]:
    """What runs the baseline, and its ways by the names that those of the models have."""
    import torch

    from benchmarks.files.baseline_scorer import BaselineScorer

    torch.set_num_threads(args.threads)
    one = BaselineScorer(n_labels)
    files = list(sounds.files.values())
    one.count_events(files[0])  # the first call takes longer
    ways: dict[str, Way] = {
        many_files(args): lambda: sum(map(one.count_events, files)),
        **{
            batch_name(batch): partial(BaselineScorer(n_labels, batch).count_events, sounds.recording)
            for batch in sorted({1, *args.batches})
        },
    }
    return one.name, ways


def _names(bundles: Sequence[Bundle]) -> list[str]:
    """A name for each model: its own, with its folder where two have one name."""
    names = [bundle.manifest.name for bundle in bundles]
    return [
        name if names.count(name) == 1 else f"{name} ({bundle.folder})"
        for name, bundle in zip(names, bundles, strict=True)
    ]
