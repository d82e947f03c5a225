"""`sedge tune-decoding`: fit a bundle's decoding to annotated clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from jaxtyping import Float32
from rich.console import Console
from rich.table import Table

from edge_app.core.bundle import Bundle, load_bundle, write_manifest
from edge_app.core.detect import Context, Detector
from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.core.runtime_onnx import OnnxRuntime
from train.measuring.evaluate import event_f1, psds
from train.measuring.figures import cross_figures, figures_of
from train.measuring.tune import Decoding, decode_all, halves_of, score_halves, smooth_all, tune_groups
from train.measuring.validation_set import ValidationSet, read_validation_set, score_clips

Scores = dict[str, Float32[np.ndarray, "frame label"]]


@dataclass(frozen=True)
class TuneDecoding:
    """Arguments of `sedge tune-decoding`."""

    bundle: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BUNDLE")]
    """Bundle whose manifest gets the new `decoding` and `metrics`."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Annotated clips: audio/, ground_truth.tsv, durations.tsv, or what `sedge mix-soundscapes --split validation`
    wrote. None of them may have been trained on."""
    halves: bool = True
    """Also record what to expect on unseen clips: tune on the files a_... and score b_..., and the other way.
    Without, the figures are of the clips that were tuned on, and the manifest says so."""
    context: Literal["clip", "live", "both"] = "both"
    """Scores to tune on: whole clips, the live stream, or one decoding that serves both."""
    threads: int = 1
    """Threads of the runtime."""


def main(argv: Sequence[str]) -> int:
    """`sedge tune-decoding`; returns 0, or raises SedgeError."""
    description = (
        "Choose median, thresholds and minimum lengths for each label, and write them into a bundle."
    )
    args = tyro.cli(TuneDecoding, args=list(argv), prog="sedge tune-decoding", description=description)
    clips, bundle = read_validation_set(args.folder), load_bundle(args.bundle)
    contexts: tuple[Context, ...] = ("clip", "live") if args.context == "both" else (args.context,)
    if args.halves:
        _check_halves(clips)
    runtime = OnnxRuntime(bundle, args.threads)
    scores = {name: score_clips(Detector(bundle, runtime, name), clips) for name in contexts}
    decodings = tune_contexts(scores, clips, bundle.manifest.event_labels, args.halves)
    metrics: dict[str, Any] = {
        "set": args.folder.name,
        "clips": len(clips.reference),
        "tuned_on": list(contexts),
    }
    metrics |= _tuned_metrics(scores, clips, bundle.manifest.event_labels, decodings)
    _rewrite(bundle, decodings[0], metrics)
    Console().print(_decoding_table(decodings[0]))
    for name, of_context in metrics["contexts"].items():
        figures = {figure: value for figure, value in of_context.items() if isinstance(value, float)}
        Console().print(f"{name} ({metrics['method']}):", *(f"{k} {v:.4f}" for k, v in figures.items()))
    return EXIT_DONE


def tune_contexts(
    scores: Mapping[Context, Scores], clips: ValidationSet, event_labels: Sequence[str], halves: bool
) -> tuple[Decoding, ...]:
    """Decoding tuned on all clips in all contexts given; with `halves`, also on `a_` and on `b_` alone."""
    joined = {
        f"{name}/{file}": clip for name, of_context in scores.items() for file, clip in of_context.items()
    }
    reference = {
        f"{name}/{file}": clips.reference[file] for name, of_context in scores.items() for file in of_context
    }
    groups = halves_of(joined) if halves else [0] * len(joined)
    unions = [[0, 1], [0], [1]] if halves else [[0]]
    return tuple(tune_groups(joined, reference, event_labels, groups, unions))


def _check_halves(clips: ValidationSet) -> None:
    """Better before the scoring than after it."""
    try:
        halves_of(clips.reference)
    except SedgeError as error:
        raise SedgeError(f"{error}; --no-halves tunes on all of them at once") from error


def _tuned_metrics(
    scores: Mapping[Context, Scores],
    clips: ValidationSet,
    event_labels: Sequence[str],
    decodings: tuple[Decoding, ...],
) -> dict[str, Any]:
    reference, durations = clips.reference, clips.durations
    contexts: dict[str, dict[str, Any]] = {}
    for name, of_context in scores.items():
        if len(decodings) == 3:
            halves = score_halves(
                of_context, reference, durations, event_labels, (decodings[1], decodings[2])
            )
            contexts[name] = cross_figures(halves)
            continue
        f1 = event_f1(reference, decode_all(of_context, event_labels, decodings[0]), event_labels)
        area = psds(smooth_all(of_context, event_labels, decodings[0]), reference, durations, event_labels)
        figures = figures_of(f1, area, event_labels)
        contexts[name] = {key: value for key, value in figures.items() if key != "per_class"}
    honest = "each half scored with the decoding tuned on the other, mean of both"
    method = honest if len(decodings) == 3 else "scored on the clips that were tuned on"
    return {"method": method, "contexts": contexts}


def _rewrite(bundle: Bundle, decoding: Decoding, metrics: dict[str, Any]) -> None:
    fields = {"decoding": decoding, "metrics": {**bundle.manifest.metrics, "validation": metrics}}
    write_manifest(bundle.folder, bundle.manifest.model_copy(update=fields))


def _decoding_table(decoding: Decoding) -> Table:
    table = Table("label", "on", "off", "median (frames)", "min on (s)", "min off (s)")
    for label, of in decoding.items():
        numbers = (f"{of.threshold_on:.3f}", f"{of.off:.3f}", of.median_frames, of.min_on_s, of.min_off_s)
        table.add_row(label, *map(str, numbers))
    return table
