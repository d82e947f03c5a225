"""`sedge bench-training`: clips per second of each model's training, and how long a whole recipe takes."""

import dataclasses
import difflib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import (
    Figure,
    Machine,
    check_positive,
    progress,
    report_console,
    say,
    this_machine,
    write_result,
)
from benchmarks.training.forecast import (
    LABELLING,
    Forecast,
    Hours,
    clip_counts,
    forecast,
    labelling_hours,
    training_hours,
)
from benchmarks.training.trainees import seeds_of, soundscape_clips, stage_recipe
from benchmarks.training.training_speed import WARM_UP_STEPS, LabellingSpeed, ModelSpeed, Spread, model_speed
from edge_app.core.errors import EXIT_DONE, SedgeError
from edge_app.core.labels import DESED_LABELS
from train.data.waveforms import N_SAMPLES
from train.fitting.checkpoint import MODELS
from train.fitting.device import choose_device
from train.fitting.loop_settings import LoopSettings
from train.pipeline.recipe import Recipe, find_recipe, read_recipe

NO_GPU, NOT_MEASURED = "no GPU", "not measured"
GIGABYTE = 1e9
SAMPLE_BYTES = 2

DESCRIPTION = """Time real training steps of a recipe's models, at its widths and batches and on its device, on the
bundled soundscape cut into clips with random events, read as in training from a memory-mapped array (on a GPU, from
its memory). What is not the network is timed as well: making batches and, on a GPU, waiting for the processor. The
medians say how long the recipe takes on this device."""


@dataclass(frozen=True)
class BenchTraining:
    """Arguments of `sedge bench-training`."""

    recipe: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE.toml")]
    """A recipe's file, or one that is shipped: desed.toml, household.toml, household-cpu.toml, smoke.toml."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Steps of each model that are timed."""
    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODEL ...")] = tuple(MODELS)
    """Models to time: fbcrnn (with its windowed detection), mlfl, tag_cnn, baseline_crnn."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to write the figures as JSON as well."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 2
    """Processor threads."""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """All figures of one run."""

    recipe: str
    gpu: str | None
    """Its name; None where training ran on the processor."""
    event_labels: int
    """Number of labels."""
    warm_up_steps: int
    """Steps before those that count."""
    models: dict[str, ModelSpeed]
    labelling: LabellingSpeed | None
    """None where no FBCRNN was measured."""
    waveform_bytes: int
    """All clips of the recipe; on a GPU they lie in its memory."""
    forecast: Forecast
    machine: Machine


def main(argv: Sequence[str]) -> int:
    """Run `sedge bench-training`; returns 0. Raises SedgeError for wrong use and for an unusable recipe."""
    args = tyro.cli(BenchTraining, args=list(argv), prog="sedge bench-training", description=DESCRIPTION)
    check_positive({"steps": args.steps, "threads": args.threads})
    check_models(args.models)
    report = measure(args, read_recipe(find_recipe(args.recipe)))
    settings = {"recipe": report.recipe, "steps": args.steps, "threads": args.threads, "gpu": report.gpu}
    write_result(args.json, "training", report.machine, settings, figures_of(report), report)
    show(report, report_console())
    return EXIT_DONE


def check_models(names: Sequence[str]) -> None:
    """Raise SedgeError where no model is named, and for one that there is not, with the nearest."""
    known = ", ".join(MODELS)
    if not names:
        raise SedgeError(f"--models: expected some of {known}, found none")
    for name in names:
        if name not in MODELS:
            (nearest,) = difflib.get_close_matches(name, MODELS, 1, 0)
            raise SedgeError(f"--models: expected some of {known}, found {name!r}; did you mean {nearest}?")


def measure(args: BenchTraining, recipe: Recipe) -> TrainingReport:
    """Time one model after the other."""
    torch.set_num_threads(args.threads)
    event_labels = recipe.data.event_labels or DESED_LABELS
    models: dict[str, ModelSpeed] = {}
    parts: dict[str, Hours] = {}
    labelling = None
    with tempfile.TemporaryDirectory(prefix="sedge-") as folder:
        clips = soundscape_clips(event_labels, Path(folder))
        for name in dict.fromkeys(args.models):
            progress(f"{name}: {WARM_UP_STEPS} steps to warm up, {args.steps} to time")
            loop, n_seeds = _loop(recipe, name, args.threads), len(seeds_of(recipe, name))
            models[name], detection = model_speed(name, recipe, clips, loop, args.steps)
            parts[name] = training_hours(loop, n_seeds, models[name].clips_per_s.median)
            if detection is not None:
                labelling = detection
                parts[LABELLING] = labelling_hours(recipe, n_seeds, detection.clips_per_s)
    return TrainingReport(
        recipe=recipe.name,
        gpu=_gpu_name(recipe, args.models),
        event_labels=len(event_labels),
        warm_up_steps=WARM_UP_STEPS,
        models=models,
        labelling=labelling,
        waveform_bytes=sum(clip_counts(recipe.data).values()) * N_SAMPLES * SAMPLE_BYTES,
        forecast=forecast(parts),
        machine=_machine(args.threads),
    )


def figures_of(report: TrainingReport) -> Iterator[Figure]:
    """What runs are compared by."""
    for name, speed in report.models.items():
        clips, step = speed.clips_per_s, speed.step_ms
        yield Figure(f"{name} / clips", "1/s", "higher", clips.median, clips.min, clips.max, speed.steps)
        yield Figure(f"{name} / step", "ms", "lower", step.median, step.min, step.max, speed.steps)
        yield Figure(f"{name} / outside the network", "%", "lower", 100 * speed.outside_share)
        if speed.peak_gpu_bytes is not None:
            yield Figure(f"{name} / GPU memory", "GB", "lower", speed.peak_gpu_bytes / GIGABYTE)
    if report.labelling is not None:
        yield Figure("windowed detection / clips", "1/s", "higher", report.labelling.clips_per_s)
    yield Figure("the recipe, of the models measured", "h", "lower", report.forecast.total_hours)


def _loop(recipe: Recipe, name: str, threads: int) -> LoopSettings:
    seed = seeds_of(recipe, name)[0]
    return stage_recipe(recipe, name).loop.model_copy(update={"threads": threads, "seed": seed})


def _gpu_name(recipe: Recipe, names: Sequence[str]) -> str | None:
    devices = [choose_device(stage_recipe(recipe, name).loop.device) for name in names]
    gpus = [device for device in devices if device.type == "cuda"]
    return torch.cuda.get_device_name(gpus[0]) if gpus else None


def _machine(threads: int) -> Machine:
    machine = this_machine(threads)
    return dataclasses.replace(machine, libraries={**machine.libraries, "torch": torch.__version__})


def show(report: TrainingReport, console: Console) -> None:
    """Print the tables and the lines around them."""
    where = report.gpu or "the processor; GPU figures are not measured here"
    say(console, f"{report.recipe}: {report.event_labels} labels, on {where}")
    console.print(_speed_table(report), _share_table(report))
    say(
        console,
        f"Median (least - most) of the steps after {report.warm_up_steps} to warm up. Outside the network: making the "
        "batch and, on a GPU, waiting for the processor; mixing, the teacher and the optimiser count as network.",
    )
    if report.gpu is not None:
        waveforms = _gigabytes(report.waveform_bytes)
        say(console, f"GPU memory: in training, {waveforms} of waveforms come on top.")
    if report.labelling is not None:
        say(console, _labelling_text(report.labelling))
    console.print(_forecast_table(report))
    say(
        console,
        "At these medians, on this device alone. Not in it: mixing and decoding, checks on development clips, MLFL's "
        "tags, scores, measures and the report.",
    )
    say(console, report.machine.text)


def _speed_table(report: TrainingReport) -> Table:
    table = Table("model", "preset", "precision", "clips a step", "steps", "clips/s", "ms a step")
    for name, speed in report.models.items():
        counts = (str(speed.batch_clips), str(speed.steps))
        table.add_row(
            name, speed.preset, speed.precision, *counts, _spread(speed.clips_per_s), _spread(speed.step_ms)
        )
    return table


def _share_table(report: TrainingReport) -> Table:
    table = Table("model", "batch making ms", "of the step", "GPU waits", "outside the network", "GPU memory")
    for name, speed in report.models.items():
        waits, memory = _gpu_cells(speed)
        shares = (f"{speed.batch_share:.1%}", waits, f"{speed.outside_share:.1%}")
        table.add_row(name, _spread(speed.batch_ms), *shares, memory)
    return table


def _gpu_cells(speed: ModelSpeed) -> tuple[str, str]:
    if speed.peak_gpu_bytes is None:
        return NOT_MEASURED, NO_GPU
    waits = NOT_MEASURED if speed.gpu_wait_share is None else f"{speed.gpu_wait_share:.1%}"
    return waits, _gigabytes(speed.peak_gpu_bytes)


def _spread(spread: Spread) -> str:
    return f"{_figure(spread.median)} ({_figure(spread.min)} - {_figure(spread.max)})"


def _figure(value: float) -> str:
    """Three digits, more where they are whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _labelling_text(labelling: LabellingSpeed) -> str:
    contexts = ", ".join(map(str, labelling.contexts))
    return (
        f"Windowed detection by one FBCRNN: {_figure(labelling.clips_per_s)} clips/s through the contexts {contexts} "
        f"(float32, {labelling.rows} windows at once, {labelling.clips} clips timed)."
    )


def _forecast_table(report: TrainingReport) -> Table:
    table = Table(f"{report.recipe} on this device", "work", "times", "hours")
    for name, part in report.forecast.parts.items():
        table.add_row(name, part.work, str(part.times), _figure(part.hours))
    table.add_section()
    left_out = [name for name in MODELS if name not in report.models]
    total = f"all but {', '.join(left_out)}" if left_out else "all of it"
    table.add_row(total, "", "", _figure(report.forecast.total_hours))
    return table


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / GIGABYTE:.2f} GB"
