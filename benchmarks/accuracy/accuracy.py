"""`sedge bench-accuracy`: a bundle's detections on annotated clips, scored whole and live, side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro
from rich.console import Console
from rich.table import Table

from edge_app.core.bundle import Bundle, load_bundle
from edge_app.core.detect import Context, Detector
from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.formats.whole_file import write_whole
from train.measuring.evaluate import FrameScores, event_f1, psds
from train.measuring.figures import cross_figures, shown
from train.measuring.tune import cross_tuned, decode_all, halves_of, smooth_all
from train.measuring.validation_set import ValidationSet, read_validation_set, score_clips

ROWS = {
    "event-F1 macro, shipped decoding": ("shipped", "event_f1_macro"),
    "event-F1 micro, shipped decoding": ("shipped", "event_f1_micro"),
    "PSDS1, shipped medians": ("shipped", "psds1"),
    "PSDS2, shipped medians": ("shipped", "psds2"),
    "event-F1 macro, cross-tuned": ("cross_tuned", "event_f1_macro"),
    "event-F1 micro, cross-tuned": ("cross_tuned", "event_f1_micro"),
    "PSDS1, cross-tuned medians": ("cross_tuned", "psds1"),
    "PSDS2, cross-tuned medians": ("cross_tuned", "psds2"),
}


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
    out: Path | None = None
    """Where to write the figures as JSON."""


def main(argv: Sequence[str]) -> int:
    """`sedge bench-accuracy`; returns 0, or raises SedgeError."""
    description = "Detect in annotated clips, scored whole and live, and measure event-F1 and PSDS."
    args = tyro.cli(BenchAccuracy, args=list(argv), prog="sedge bench-accuracy", description=description)
    contexts = _contexts(args.context)
    clips, bundle = read_validation_set(args.folder), load_bundle(args.bundle)
    runtime = OnnxRuntime(bundle, args.threads)
    results: dict[str, dict[str, Any]] = {}
    for context in contexts:
        detector = Detector(bundle, runtime, context, args.hop_frames)
        results[context] = measure(score_clips(detector, clips), clips, bundle)
        results[context]["hop_frames"] = detector.hop_frames if context == "live" else None
    report = {
        "set": args.folder.name,
        "clips": len(clips.reference),
        "bundle": bundle.manifest.name,
        "runtime": runtime.name,
        "contexts": results,
    }
    if args.out:
        write_whole(args.out, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    Console().print(_table(results, bundle.manifest.event_labels))
    return EXIT_DONE


def measure(scores: FrameScores, clips: ValidationSet, bundle: Bundle) -> dict[str, Any]:
    """Figures of one context: with the shipped decoding and, where the clips come in halves, cross-tuned.

    PSDS is taken of the scores after the decoding's median filter.
    """
    labels, decoding = bundle.manifest.event_labels, bundle.manifest.decoding
    f1 = event_f1(clips.reference, decode_all(scores, labels, decoding), labels)
    area = psds(smooth_all(scores, labels, decoding), clips.reference, clips.durations, labels)
    shipped = {
        "event_f1_macro": f1.macro,
        "event_f1_micro": f1.micro,
        "psds1": area.psds1,
        "psds2": area.psds2,
        "event_f1_per_class": f1.per_label,
    }
    if not _has_halves(clips):
        return {"shipped": shipped, "cross_tuned": None}
    tuned = cross_tuned(scores, clips.reference, clips.durations, labels)
    return {"shipped": shipped, "cross_tuned": cross_figures(tuned)}


def _contexts(names: str) -> list[Context]:
    known: tuple[Literal["clip", "live"], ...] = get_args(Context)
    wanted = [name.strip() for name in names.split(",")]
    if not set(wanted) <= set(known):
        raise SedgeError(f"context: expected some of {', '.join(known)}, found {names!r}")
    return [context for context in known if context in wanted]


def _has_halves(clips: ValidationSet) -> bool:
    try:
        halves_of(clips.reference)
    except SedgeError:
        return False
    return True


def _table(results: Mapping[str, Mapping[str, Any]], labels: Sequence[str]) -> Table:
    both = len(results) == 2
    table = Table("", *results, *(["live / clip"] if both else []))
    rows = [(title, *path) for title, path in ROWS.items()]
    rows += [(f"event-F1 {label}, {of}", of, label) for of in ("shipped", "cross_tuned") for label in labels]
    for title, section, figure in rows:
        values = [_figure(result[section], figure) for result in results.values()]
        clip, live = values[0], values[-1]
        ratio = f"{live / clip:.2f}" if clip and live is not None else "-"
        table.add_row(
            title.replace("cross_tuned", "cross-tuned"), *map(shown, values), *([ratio] if both else [])
        )
    return table


def _figure(figures: Mapping[str, Any] | None, name: str) -> float | None:
    if figures is None:
        return None
    value: float | None = figures.get(name, figures["event_f1_per_class"].get(name))
    return value
