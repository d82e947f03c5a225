"""`sedge evaluate`: measure detections against a ground truth."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from jaxtyping import Float32
from rich.console import Console
from rich.table import Table

from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_durations, read_events
from edge_app.formats.frame_scores import read_frame_scores
from edge_app.formats.whole_file import write_whole
from train.evaluate import check_known_files, event_f1, labels_in, psds, psds_at_operating_points
from train.figures import figures_of, shown

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


def main(argv: Sequence[str]) -> int:
    """`sedge evaluate`; returns 0, or raises SedgeError."""
    description = "Measure detections against a ground truth: event-F1 of events, PSDS of frame scores."
    args = tyro.cli(Evaluate, args=list(argv), prog="sedge evaluate", description=description)
    figures = measure(args)
    if args.out:
        write_whole(args.out, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    _print_figures(figures)
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
    return figures_of(f1, area, labels)


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


def _print_figures(figures: Mapping[str, Any]) -> None:
    table = Table("", "event-F1", "PSDS1", "PSDS2")
    f1, areas = figures["event_f1_macro"], (figures["psds1"], figures["psds2"])
    table.add_row("all (macro)", *map(shown, (f1, *areas)))
    table.add_row("all (micro)", shown(figures["event_f1_micro"]), "", "", end_section=True)
    for label, of_label in figures["per_class"].items():
        table.add_row(label, *(shown(of_label[key]) for key in ("event_f1", "psds1", "psds2")))
    Console().print(table)
