"""`sedge bench-accuracy`: a bundle's detections on annotated clips, scored whole and live, side by side."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from benchmarks.accuracy.accuracy_tables import (
    comparison_table,
    group_table,
    result_figures,
    robustness_table,
)
from benchmarks.accuracy.levels import ClipLevel, set_levels
from benchmarks.accuracy.measuring import by_polyphony, by_snr, measure
from benchmarks.accuracy.perturbations import Perturbation, PerturbationName, perturbations
from benchmarks.accuracy.robustness import robustness
from benchmarks.report import bundle_setting, check_positive, report_console, this_machine, write_result
from edge_app.core.bundle import Bundle, load_bundle
from edge_app.core.detect import Context, Detector
from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.core.runtime_onnx import OnnxRuntime
from train.measuring.validation_set import ValidationSet, read_validation_set, score_clips

DESCRIPTION = """Detect in annotated clips, scored whole and live, and measure event-F1 and PSDS: of all clips, by how
far events stand out of the rest (SNR) and by how many sound at once, and with --perturb after each of several
perturbations.

The SNR of an event is estimated from the audio: the power of the frames in which it sounds alone, less the clip's
frames without any event, over the latter. Events that never sound alone, and clips that are never without an event,
have none. A clip's SNR is the median of its events'."""


@dataclass(frozen=True)
class BenchAccuracy:
    """Arguments of `sedge bench-accuracy`."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Annotated clips: audio/, ground_truth.tsv, durations.tsv, or what `sedge mix-soundscapes --split validation`
    wrote."""
    bundle: Path | None = None
    """Bundle to measure; by default the one that comes with the program."""
    context: str = "clip,live"
    """Contexts to compare, with commas: clip (whole windows), live (hop by hop, as a microphone is heard)."""
    hop_frames: int | None = None
    """Frames of a live step; by default the bundle's."""
    threads: int = 1
    """Threads of the runtime."""
    clips: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Take this many clips only, spread evenly over the table."""
    perturb: tuple[PerturbationName, ...] | None = None
    """Measure once more after each of these perturbations; alone, after all of them."""
    noise_snr_db: Annotated[tuple[float, ...], tyro.conf.arg(metavar="DB")] = (20.0, 10.0)
    """How far the noise of white and pink is under the clip's RMS."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON."""

    def check(self) -> None:
        """Raise SedgeError for arguments that mean nothing."""
        check_positive({"threads": self.threads, "clips": 1 if self.clips is None else self.clips})
        if not all(map(math.isfinite, self.noise_snr_db)):
            raise SedgeError(f"--noise-snr-db: expected finite numbers, found {self.noise_snr_db}")

    @property
    def changes(self) -> list[Perturbation]:
        """The perturbations asked for."""
        wanted = () if self.perturb is None else perturbations(self.perturb, self.noise_snr_db)
        return list({change.name: change for change in wanted}.values())


def main(argv: Sequence[str]) -> int:
    """`sedge bench-accuracy`; returns 0, or raises SedgeError."""
    args = tyro.cli(BenchAccuracy, args=list(argv), prog="sedge bench-accuracy", description=DESCRIPTION)
    args.check()
    contexts = _contexts(args.context)
    clips, bundle = spread_clips(read_validation_set(args.folder), args.clips), load_bundle(args.bundle)
    runtime = OnnxRuntime(bundle, args.threads)
    levels = set_levels(clips)
    results: dict[str, dict[str, Any]] = {}
    for context in contexts:
        detector = Detector(bundle, runtime, context, args.hop_frames)
        results[context] = _measured(detector, clips, levels, args.changes)
    details = {"set": args.folder.name, "clips": len(clips.reference), "contexts": results}
    settings = {
        "threads": args.threads,
        "bundle": bundle_setting(bundle.manifest.name, bundle.manifest.graph.sha256),
        "runtime": runtime.name,
        "set": args.folder.name,
        "clips": len(clips.reference),
    }
    write_result(
        args.json,
        "accuracy",
        this_machine(args.threads),
        settings,
        result_figures(results, len(clips.reference)),
        details,
    )
    _print(results, bundle)
    return EXIT_DONE


def _measured(
    detector: Detector,
    clips: ValidationSet,
    levels: Mapping[str, ClipLevel],
    changes: Sequence[Perturbation],
) -> dict[str, Any]:
    scores, bundle = score_clips(detector, clips), detector.bundle
    return {
        **measure(scores, clips, bundle),
        "hop_frames": detector.hop_frames if detector.context == "live" else None,
        "by_snr": by_snr(scores, clips, bundle, levels),
        "by_polyphony": by_polyphony(scores, clips, bundle, levels),
        "robustness": list(robustness(detector, clips, changes)),
    }


def _print(results: Mapping[str, Mapping[str, Any]], bundle: Bundle) -> None:
    console = report_console()
    console.print(comparison_table(results, bundle.manifest.event_labels))
    for table in _context_tables(results):
        console.print(table)


def _context_tables(results: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
    for context, result in results.items():
        yield group_table(f"{context}, by SNR", result["by_snr"])
        yield group_table(f"{context}, by events at once", result["by_polyphony"])
        if result["robustness"]:
            yield robustness_table(
                f"{context}, perturbed, shipped decoding", result["shipped"], result["robustness"]
            )


def spread_clips(clips: ValidationSet, wanted: int | None) -> ValidationSet:
    """Every clip, or `wanted` of them at even distances in the table, in its order."""
    filenames = list(clips.reference)
    if wanted is None or wanted >= len(filenames):
        return clips
    kept = [filenames[place * len(filenames) // wanted] for place in range(wanted)]
    reference = {filename: clips.reference[filename] for filename in kept}
    return replace(
        clips, reference=reference, durations={filename: clips.durations[filename] for filename in kept}
    )


def _contexts(names: str) -> list[Context]:
    known: tuple[Literal["clip", "live"], ...] = get_args(Context)
    wanted = [name.strip() for name in names.split(",")]
    if not set(wanted) <= set(known):
        raise SedgeError(f"context: expected some of {', '.join(known)}, found {names!r}")
    return [context for context in known if context in wanted]
