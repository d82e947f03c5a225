"""`sedge evaluate` and `sedge tune-decoding`: measure detections, and fit a bundle's decoding to annotated clips."""

import json
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
from edge_app.core.events import Event
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.formats.desed_tsv import read_durations, read_events
from edge_app.formats.frame_scores import read_frame_scores
from edge_app.formats.whole_file import write_whole
from train.evaluate import (
    EventF1,
    Psds,
    check_known_files,
    event_f1,
    labels_in,
    psds,
    psds_at_operating_points,
)
from train.tune import CrossTuned, Decoding, decode_all, halves_of, score_halves, smooth_all, tune_groups
from train.validation_set import ValidationSet, read_validation_set, score_clips

Events = Mapping[str, Sequence[Event]]
Scores = dict[str, Float32[np.ndarray, "frame label"]]


@dataclass(frozen=True)
class Evaluate:
    """Arguments of `sedge evaluate`: at least one of --events, --frame-scores and --operating-points."""

    ground_truth: Path
    """Reference events: filename, onset, offset, event_label; a clip without events has a row with empty fields."""
    durations: Path
    """Durations of the same files: filename, duration."""
    events: Path | None = None
    """Detected events, for the event-F1 (collar 200 ms, offset 200 ms or 20 % of the length)."""
    frame_scores: Path | None = None
    """Folder of frame-score tables, for exact PSDS 1 and 2: <filename without suffix>.tsv of every file."""
    operating_points: Path | None = None
    """Folder of tables of detected events, one for each threshold, for PSDS 1 and 2 by psds_eval."""
    out: Path | None = None
    """Where to write the figures as JSON."""


@dataclass(frozen=True)
class TuneDecoding:
    """Arguments of `sedge tune-decoding`."""

    bundle: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BUNDLE")]
    """Bundle whose manifest gets the new `decoding` and `metrics`."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Annotated clips: audio/, ground_truth.tsv, durations.tsv. None of them may have been trained on."""
    halves: bool = True
    """Also record what to expect on unseen clips: tune on the files a_... and score b_..., and the other way.
    Without, the figures are of the clips that were tuned on, and the manifest says so."""
    context: Literal["clip", "live", "both"] = "both"
    """Scores to tune on: whole clips, the live stream, or one decoding that serves both."""
    threads: int = 1
    """Threads of the runtime."""


def evaluate(argv: Sequence[str]) -> int:
    """`sedge evaluate`; returns 0, or raises SedgeError."""
    description = "Measure detections against a ground truth: event-F1 of events, PSDS of frame scores."
    args = tyro.cli(Evaluate, args=list(argv), prog="sedge evaluate", description=description)
    figures = measure(args)
    if args.out:
        write_whole(args.out, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    _print_figures(figures)
    return EXIT_DONE


def tune_decoding(argv: Sequence[str]) -> int:
    """`sedge tune-decoding`; returns 0, or raises SedgeError."""
    description = (
        "Choose median, thresholds and minimum lengths for each label, and write them into a bundle."
    )
    args = tyro.cli(TuneDecoding, args=list(argv), prog="sedge tune-decoding", description=description)
    clips, bundle = read_validation_set(args.folder), load_bundle(args.bundle)
    contexts: tuple[Context, ...] = ("clip", "live") if args.context == "both" else (args.context,)
    if args.halves:
        halves_of(clips.reference)
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


def measure(args: Evaluate) -> dict[str, Any]:
    """The figures that the arguments ask for; those of what is not given are None."""
    if not (args.events or args.frame_scores or args.operating_points):
        raise SedgeError(
            "evaluate: expected --events, --frame-scores or --operating-points, found none of them"
        )
    if args.frame_scores and args.operating_points:
        raise SedgeError("evaluate: expected one of --frame-scores and --operating-points, found both")
    reference, durations = read_events(args.ground_truth), read_durations(args.durations)
    labels = tuple(sorted(labels_in(reference)))
    f1, area = None, None
    if args.frame_scores:
        labels, scores = _read_scores(args.frame_scores, reference)
        area = psds(scores, reference, durations, labels)
    elif args.operating_points:
        points = [read_events(table, instants=True) for table in sorted(args.operating_points.glob("*.tsv"))]
        if not points:
            raise SedgeError(f"{args.operating_points}: expected tables *.tsv, found none")
        labels = tuple(sorted(set(labels).union(*map(labels_in, points))))
        area = psds_at_operating_points(points, reference, durations, labels)
    if args.events:
        estimate = _read_estimate(args.events, reference)
        labels = labels if args.frame_scores else tuple(sorted({*labels, *labels_in(estimate)}))
        f1 = event_f1(reference, estimate, labels)
    return _figures(f1, area, labels)


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


def cross_figures(found: CrossTuned) -> dict[str, Any]:
    """Cross-tuned figures under their names in JSON."""
    return {
        "event_f1_macro": found.event_f1_macro,
        "event_f1_micro": found.event_f1_micro,
        "psds1": found.psds1,
        "psds2": found.psds2,
        "event_f1_per_class": found.per_label,
    }


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
        figures = _figures(f1, area, event_labels)
        contexts[name] = {key: value for key, value in figures.items() if key != "per_class"}
    honest = "each half scored with the decoding tuned on the other, mean of both"
    method = honest if len(decodings) == 3 else "scored on the clips that were tuned on"
    return {"method": method, "contexts": contexts}


def _rewrite(bundle: Bundle, decoding: Decoding, metrics: dict[str, Any]) -> None:
    fields = {"decoding": decoding, "metrics": {**bundle.manifest.metrics, "validation": metrics}}
    write_manifest(bundle.folder, bundle.manifest.model_copy(update=fields))


def _read_scores(folder: Path, reference: Events) -> tuple[tuple[str, ...], Scores]:
    """Labels and scores of every reference file; a table that belongs to none of them is refused."""
    left = {path for path in folder.rglob("*.tsv") if path.is_file()}
    labels, scores = None, {}
    for filename in reference:
        kept, bare = folder / f"{filename}.tsv", (folder / filename).with_suffix(".tsv")
        path = kept if kept in left else bare
        of_file, scores[filename] = read_frame_scores(path)
        if labels not in (None, of_file):
            raise SedgeError(f"{path}: expected labels {list(labels or ())}, found {list(of_file)}")
        labels = of_file
        left.discard(path)
    if left or labels is None:
        raise SedgeError(
            f"{folder}: expected tables of the {len(reference)} reference files, found {len(left)} others"
        )
    return labels, scores


def _read_estimate(path: Path, reference: Events) -> Events:
    """Detected events of every reference file. Files that it leaves out are said to be silent."""
    found = read_events(path, instants=True)
    check_known_files(str(path), found, reference)
    missing = len(reference) - len(found)
    if missing:
        notice = f"{path}: {missing} of {len(reference)} files are not in it: taken as without events"
        Console(stderr=True).print(notice, soft_wrap=True, highlight=False)
    return {filename: found.get(filename, []) for filename in reference}


def _figures(f1: EventF1 | None, area: Psds | None, labels: Sequence[str]) -> dict[str, Any]:
    per_class = {
        label: {
            "event_f1": f1.per_label.get(label) if f1 else None,
            "psds1": area.psds1_per_label.get(label) if area else None,
            "psds2": area.psds2_per_label.get(label) if area else None,
        }
        for label in labels
    }
    return {
        "psds1": area.psds1 if area else None,
        "psds2": area.psds2 if area else None,
        "event_f1_macro": f1.macro if f1 else None,
        "event_f1_micro": f1.micro if f1 else None,
        "per_class": per_class,
        "repeated_operating_points": area.repeated_operating_points if area else None,
    }


def _print_figures(figures: Mapping[str, Any]) -> None:
    table = Table("", "event-F1", "PSDS1", "PSDS2")
    f1, areas = figures["event_f1_macro"], (figures["psds1"], figures["psds2"])
    table.add_row("all (macro)", *map(shown, (f1, *areas)))
    table.add_row("all (micro)", shown(figures["event_f1_micro"]), "", "", end_section=True)
    for label, of_label in figures["per_class"].items():
        table.add_row(label, *(shown(of_label[key]) for key in ("event_f1", "psds1", "psds2")))
    Console().print(table)


def shown(figure: float | None) -> str:
    """A figure as a table shows it."""
    return "-" if figure is None else f"{figure:.4f}"


def _decoding_table(decoding: Decoding) -> Table:
    table = Table("label", "on", "off", "median (frames)", "min on (s)", "min off (s)")
    for label, of in decoding.items():
        numbers = (f"{of.threshold_on:.3f}", f"{of.off:.3f}", of.median_frames, of.min_on_s, of.min_off_s)
        table.add_row(label, *map(str, numbers))
    return table
