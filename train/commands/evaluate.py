"""`sedge evaluate`: measure detections against a ground truth."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_durations, read_events
from edge_app.formats.whole_file import write_whole
from train.commands.score_folder import Scores, find_parts, read_scores
from train.measuring.evaluate import (
    F1s,
    Psds,
    check_files,
    check_known_files,
    f1s,
    labels_in,
    psds,
    psds_at_operating_points,
)
from train.measuring.figures import F1_NAMES, all_figures, shown
from train.measuring.measure import Truth, operating_points
from train.report.console import print_table

Events = Mapping[str, Sequence[Event]]
TABLE_SUFFIXES = {".tsv", ".csv", ".txt"}
DEFAULT_THRESHOLD = 0.5
F1_HEADS = ("event-F1", "segment", "inter-\nsection", "clip")


@dataclass(frozen=True)
class Evaluate:
    """Arguments of `sedge evaluate`: a folder, or at least one of --events, --frame-scores and --operating-points."""

    ground_truth: Path
    """Reference events: filename, onset, offset, event_label; a clip without events has a row with empty fields."""
    folder: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = None
    """What `sedge score` wrote: stands for --events FOLDER/events.tsv, --durations FOLDER/durations.tsv and, where
    it has frame scores, --frame-scores FOLDER/scores. An option given beside it holds instead."""
    durations: Path | None = None
    """Durations of the same files: filename, duration. Needed without FOLDER."""
    events: Path | None = None
    """Detected events, for F1 of events (collar 200 ms, offset 200 ms or 20 % of the length), of segments of 1 s,
    of intersections (half of both) and of clips."""
    frame_scores: Path | None = None
    """Folder of frame scores, for exact PSDS 1 and 2: <filename without suffix>.tsv, or .npz, of every file."""
    operating_points: Path | None = None
    """Folder of tables of detected events whose names end in their threshold, as in detections_0.51.tsv: for PSDS 1
    and 2 by psds_eval, and without --events for F1 at the threshold nearest 0.5."""
    fifty_points: bool = True
    """With --frame-scores, also PSDS by psds_eval at the 50 thresholds .01, .03 ... .99. Slow (minutes) where the
    scores flicker."""
    silent_clips: bool = False
    """Clips that only --durations lists are clips without events, and count as duration: DESED's tables list 1210
    clips and annotate 1168. PSDS of the annotated clips alone is given too."""
    out: Path | None = None
    """Where to write the figures as JSON."""


@dataclass(frozen=True)
class Given:
    """What there is to measure, read."""

    labels: tuple[str, ...]
    scores: Scores | None = None
    points: dict[float, Events] | None = None
    events: Events | None = None
    operating_point: float | None = None
    """The threshold that `events` are taken from."""


def main(argv: Sequence[str]) -> int:
    """`sedge evaluate`; returns 0, or raises SedgeError."""
    description = "Measure detections against a ground truth: F1 of events, PSDS of frame scores."
    args = tyro.cli(Evaluate, args=list(argv), prog="sedge evaluate", description=description)
    figures = measure(args)
    if args.out:
        write_whole(args.out, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    _print_figures(figures)
    return EXIT_DONE


def measure(args: Evaluate) -> dict[str, Any]:
    """The figures that the arguments ask for; those of what is not given are None."""
    args = _with_folder(args)
    if not (args.events or args.frame_scores or args.operating_points):
        raise SedgeError(
            "evaluate: expected FOLDER, --events, --frame-scores or --operating-points, found none of them"
        )
    if args.frame_scores and args.operating_points:
        raise SedgeError("evaluate: expected one of --frame-scores and --operating-points, found both")
    annotated, truth = _read_truth(args)
    given = _read_given(args, truth.reference)
    at_50 = None
    if given.scores is not None and args.fifty_points:
        at_50 = _at_points(operating_points(given.scores, given.labels), truth, given)
    figures = all_figures(_f1s(given, truth), _area(given, truth), at_50, given.labels)
    figures["operating_point"] = given.operating_point
    figures["annotated_only"] = None
    if len(annotated.reference) < len(truth.reference):
        alone = _area(given, annotated)
        figures["annotated_only"] = alone and {"psds1": alone.psds1, "psds2": alone.psds2}
    return figures


def _with_folder(args: Evaluate) -> Evaluate:
    """The arguments with those that the folder stands for."""
    if args.folder is None:
        return args
    parts = find_parts(args.folder)
    frame_scores = args.frame_scores or (None if args.operating_points else parts.frame_scores)
    return replace(
        args,
        events=args.events or parts.events,
        durations=args.durations or parts.durations,
        frame_scores=frame_scores,
    )


def read_operating_points(folder: Path) -> dict[float, Events]:
    """Tables of detected events by threshold, lowest first.

    Raises SedgeError for a file whose name does not end in a threshold in 0...1, and for one threshold twice.
    """
    found: dict[float, Path] = {}
    for path in sorted(path for path in folder.glob("*") if path.is_file() and not _is_hidden(path)):
        threshold = threshold_of(path)
        if threshold in found:
            raise SedgeError(
                f"{folder}: expected one table a threshold, found {threshold:g} in both "
                f"{found[threshold].name} and {path.name}"
            )
        found[threshold] = path
    if not found:
        raise SedgeError(f"{folder}: expected tables of detected events, found none")
    return {threshold: read_events(found[threshold], instants=True) for threshold in sorted(found)}


def _is_hidden(path: Path) -> bool:
    """Whether a name begins with a dot, and not with a threshold such as .51."""
    return re.match(r"\.\D", path.name) is not None


def threshold_of(path: Path) -> float:
    """The threshold that a table's name ends in. Raises SedgeError where it ends in none, or one not in 0...1."""
    name = path.stem if path.suffix.lower() in TABLE_SUFFIXES else path.name
    number = re.search(r"(\d*\.)?\d+(e-?\d+)?$", name, re.IGNORECASE)
    threshold = float(number[0]) if number else -1.0
    if not 0 <= threshold <= 1:
        found = number[0] if number else "none"
        raise SedgeError(
            f"{path}: expected a name that ends in a threshold in 0...1, as t_0.51.tsv, found {found}"
        )
    return threshold


def nearest_half(thresholds: Sequence[float]) -> float:
    """The threshold nearest 0.5; of two as near the higher one, which the field's published figures take (0.51)."""
    return min(thresholds, key=lambda threshold: (round(abs(threshold - DEFAULT_THRESHOLD), 9), -threshold))


def _read_truth(args: Evaluate) -> tuple[Truth, Truth]:
    """The annotated clips, and those to measure on."""
    if args.durations is None:
        raise SedgeError("evaluate: expected FOLDER or --durations, found neither")
    reference, durations = read_events(args.ground_truth), read_durations(args.durations)
    silent = [filename for filename in durations if filename not in reference]
    if not (silent and args.silent_clips):
        hint = "; --silent-clips takes them as clips without events"
        _check_with_hint("durations", durations, reference, hint if silent else "")
        return Truth(reference, durations), Truth(reference, durations)
    check_files("durations", durations, [*reference, *silent])
    alone = {filename: durations[filename] for filename in reference}
    return Truth(reference, alone), Truth({**reference, **dict.fromkeys(silent, ())}, durations)


def _check_with_hint(name: str, files: Mapping[str, Any], reference: Events, hint: str) -> None:
    try:
        check_files(name, files, reference)
    except SedgeError as error:
        raise SedgeError(f"{error}{hint}") from error


def _read_given(args: Evaluate, reference: Events) -> Given:
    labels: set[str] = labels_in(reference)
    scores, points, events, chosen = None, None, None, None
    order: tuple[str, ...] | None = None
    if args.frame_scores:
        order, scores = read_scores(args.frame_scores, reference)
    if args.operating_points:
        points = read_operating_points(args.operating_points)
        for point in points.values():
            check_known_files(str(args.operating_points), point, reference)
            labels |= labels_in(point)
    if args.events:
        events = _read_estimate(args.events, reference)
        labels |= labels_in(events)
    elif points:
        chosen = nearest_half(list(points))
        events = {filename: points[chosen].get(filename, []) for filename in reference}
    return Given(order or tuple(sorted(labels)), scores, points, events, chosen)


def _f1s(given: Given, truth: Truth) -> F1s | None:
    if given.events is None:
        return None
    return f1s(truth.reference, given.events, truth.durations, given.labels)


def _area(given: Given, truth: Truth) -> Psds | None:
    """PSDS of the clips of `truth` alone."""
    if given.scores is not None:
        clips = {filename: given.scores[filename] for filename in truth.reference}
        return psds(clips, truth.reference, truth.durations, given.labels)
    return _at_points(list(given.points.values()), truth, given) if given.points else None


def _at_points(points: Sequence[Events], truth: Truth, given: Given) -> Psds:
    known = [{f: events for f, events in point.items() if f in truth.reference} for point in points]
    return psds_at_operating_points(known, truth.reference, truth.durations, given.labels)


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
    point = figures["operating_point"]
    names = [*(f"{name}_f1" for name in F1_NAMES), "psds1", "psds2"]
    caption = None if point is None else f"F1 at the operating point {point:g}"
    table = Table("", *F1_HEADS, "PSDS1", "PSDS2", caption=caption)
    areas = [shown(figures[name]) for name in ("psds1", "psds2")]
    for mean in ("macro", "micro"):
        of_mean = [shown(figures.get(f"{name}_f1_{mean}")) for name in F1_NAMES]
        table.add_row(f"all ({mean})", *of_mean, *(areas if mean == "macro" else ["", ""]))
    if figures["psds1_50"] is not None:
        at_50 = [shown(figures[name]) for name in ("psds1_50", "psds2_50")]
        table.add_row("at 50 points", *[""] * len(F1_NAMES), *at_50)
    table.add_section()
    for label, of_label in figures["per_class"].items():
        table.add_row(label, *(shown(of_label[name]) for name in names))
    print_table(table)
