"""The sections made of drawings: PSD-ROC curves, training curves, example clips."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from markupsafe import Markup

from edge_app.core.events import Event
from train.report.blocks import Block, Fold, Heading, Missing, Picture, Section, Sound, TableBlock, Text
from train.report.clips import ClipView, draw_clip, sound_uri
from train.report.curves import (
    SCENARIOS,
    SPEED,
    PsdRoc,
    Series,
    draw_psd_roc,
    draw_training,
    is_quality,
    psd_roc,
    training_panels,
)
from train.report.evaluated import Evaluated
from train.report.folder import MODELS, Log, read_log, seed_folders
from train.report.matches import Example, choose_examples, count_matches
from train.report.rows import FIGURES, Row, row_of
from train.report.tables import Cell, Table, shown

LOG = "log.jsonl"
_AREA_TOLERANCE = 5e-4  # half of the last digit that is shown


def roc_section(evaluated: Evaluated | str, rows: Sequence[Row]) -> Section:
    """PSD-ROC curves of Result 1."""
    if isinstance(evaluated, str):
        return Section("psd-roc", "PSD-ROC curves", [Missing(evaluated)])
    scores = evaluated.smoothed or evaluated.scores
    curves = {
        name: psd_roc(scores, evaluated.reference, evaluated.durations, evaluated.event_labels, scenario)
        for name, scenario in SCENARIOS.items()
    }
    areas = {name: found.effective.area for name, found in curves.items()}
    titles = {name: f"{FIGURES[name]}: area {shown(area)}" for name, area in areas.items()}
    sentence = "; ".join(f"{FIGURES[name]}: area {shown(area)} of 1" for name, area in areas.items())
    filtered = "after" if evaluated.smoothed else "before"
    filtered += " each label's median filter"
    picture = Picture(
        Markup(draw_psd_roc(curves, titles)),
        f"PSD-ROC curves of Result 1 on {evaluated.set_name}: true-positive rate over effective false positives per "
        f"hour, 0 to 100. {sentence}.",
        f"Result 1 on {evaluated.set_name}, every threshold, {filtered}. Thin: each label. Thick: all labels, "
        "their mean less their standard deviation, whose area is the PSDS.",
    )
    blocks: list[Block] = [picture, *_area_remarks(areas, row_of(rows, "ensemble/result1"))]
    return Section(
        "psd-roc", "PSD-ROC curves", [*blocks, TableBlock(_area_table(curves, evaluated.event_labels))]
    )


def training_section(run: Path) -> Section:
    """Losses, quality and speed of every model over its training."""
    section = Section("training", "Training curves")
    for folder, name in MODELS.items():
        logs = {seed: read_log(path / LOG) for seed, path in seed_folders(run / folder, LOG).items()}
        panels = training_panels(logs)
        section.blocks.append(Heading(name))
        if panels:
            section.blocks.extend(_training_blocks(folder, name, logs))
        else:
            section.blocks.append(Missing(f"There is no log of this model ({folder}/<seed>/{LOG})."))
    return section


def examples_section(evaluated: Evaluated | str) -> Section:
    """Six clips: the best, the median and the worst two by matched events."""
    section = Section("examples", "Example clips")
    if isinstance(evaluated, str):
        section.blocks.append(Missing(evaluated))
        return section
    if evaluated.detections is None:
        section.blocks.append(
            Missing("There is no table of Result 1's detections (ensemble/result1/events.tsv).")
        )
        return section
    found = {name: evaluated.detections.get(name, ()) for name in evaluated.reference}
    examples = choose_examples(count_matches(evaluated.reference, found, evaluated.event_labels))
    section.blocks.append(
        Text(
            "Clips ranked by the event-based F1 of Result 1 on each alone (onset within 200 ms, offset within 200 ms "
            "or 20 % of the length). Clips without events and detections are left out."
        )
    )
    for number, example in enumerate(examples, start=1):
        section.blocks.extend(_example_blocks(evaluated, example, f"clip-{number}"))
    return section


def _area_remarks(areas: dict[str, float], result: Row) -> list[Block]:
    """A remark for each area that is not the figure in the table."""
    remarks: list[Block] = []
    for name, area in areas.items():
        measured = result.spread(name)
        if measured is not None and abs(measured.mean - area) > _AREA_TOLERANCE:
            remarks.append(
                Text(
                    f"{FIGURES[name]} in the tables is {shown(measured.mean)}, not {shown(area)}: there it is the mean "
                    "over the parts of the set that are decoded alike, of filtered scores; here all clips are in one."
                )
            )
    return remarks


def _area_table(curves: dict[str, PsdRoc], event_labels: Sequence[str]) -> Table:
    body = [
        [
            Cell(label),
            *(
                Cell(shown(found.per_label[label].area) if label in found.per_label else "–")
                for found in curves.values()
            ),
        ]
        for label in event_labels
    ]
    heads = [f"Area, {FIGURES[name]}" for name in curves]
    return Table("Area under each label's own curve, as a share of 1", ["Label", *heads], body)


def _training_blocks(folder: str, name: str, logs: dict[str, Log]) -> list[Block]:
    seeds = ", ".join(logs)
    cut = sum(log.unreadable for log in logs.values())
    caption = f"{name}, seeds {seeds}: means between checkpoints." + (
        f" {cut} unreadable lines left out." if cut else ""
    )
    titles = ", ".join(title.replace("_", " ") for title in training_panels(logs))
    picture = Picture(
        Markup(draw_training(logs, folder.replace("_", "-"))),
        f"Training curves of {name}, a panel each: {titles}. The values at the end stand in the table below.",
        caption,
    )
    return [picture, TableBlock(_end_table(name, logs))]


def _end_table(name: str, logs: Mapping[str, Log]) -> Table:
    body = []
    for title, by_seed in training_panels(logs).items():
        kind, summary = _summary(title)
        cells = [Cell(f"{summary(by_seed[seed]):.3g}" if seed in by_seed else "–") for seed in logs]
        body.append([Cell(title.replace("_", " "), kind), *cells])
    return Table(f"{name} at the end of its training", ["Value", *(f"Seed {seed}" for seed in logs)], body)


def _summary(title: str) -> tuple[str, Callable[[Series], float]]:
    """What a table says of a curve: the highest quality, the mean speed, the last loss."""
    if is_quality(title):
        return "highest", lambda series: max(series.values())
    if title == SPEED:
        return "mean", lambda series: fmean(series.values())
    return "last", lambda series: list(series.values())[-1]


def _example_blocks(evaluated: Evaluated, example: Example, name: str) -> list[Block]:
    counts = example.matches
    truth = evaluated.reference[counts.filename]
    detections = (evaluated.detections or {}).get(counts.filename, ())
    waveform = evaluated.waveforms[counts.filename]
    view = ClipView(waveform, truth, detections, evaluated.scores[counts.filename], evaluated.event_labels)
    false = counts.detected - counts.hits
    words = f"{counts.hits} of {counts.expected} events matched, {false} detections without a match"
    picture = Picture(
        Markup(draw_clip(view, name)),
        f"Log-mel spectrogram, events and frame scores of {counts.filename}: {words}. The events stand in the table.",
        f"{words}; event-based F1 of this clip {shown(counts.f1)}.",
    )
    return [
        Heading(f"{example.kind}: {counts.filename}"),
        picture,
        Sound(sound_uri(waveform), f"Sound of {counts.filename}"),
        Fold("Events of this clip", [TableBlock(_events_table(counts.filename, truth, detections))]),
    ]


def _events_table(filename: str, truth: Sequence[Event], detections: Sequence[Event]) -> Table:
    rows = sorted(
        [(event, "truth") for event in truth] + [(event, "detected") for event in detections],
        key=lambda row: (row[0].event_label, row[0].onset, row[1]),
    )
    body = [
        [Cell(event.event_label), Cell(kind), Cell(f"{event.onset:.3f}"), Cell(f"{event.offset:.3f}")]
        for event, kind in rows
    ]
    return Table(f"Events of {filename}, in seconds", ["Label", "From", "Onset", "Offset"], body)
