"""What the commands that train a model share: their arguments, and the clips."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.progress import track

from train.data.clips import ClipSet, find_set, prepare_clips
from train.fitting.device import Precision, check_compiler
from train.fitting.loop_settings import BatchSettings, LoopSettings
from train.fitting.schedule import ScheduleSettings
from train.settings import checked


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """What every stage takes."""

    clips: tyro.conf.Positional[Path]
    """Folder of training clips: the output of `sedge mix-soundscapes`, or audio/ with ground_truth.tsv. Their
    waveforms are decoded once, into its folder `prepared`."""
    out: Path
    """Folder of the run. A run that was stopped goes on from its last checkpoint here."""
    preset: Literal["small", "full"] = "small"
    """Widths: `full` as published, `small` with a fraction of the arithmetic, for a CPU."""
    steps: int = 3000
    """Optimiser steps."""
    batch_size: int = 24
    """Clips a step."""
    learning_rate: float = 2e-3
    """Highest learning rate."""
    seed: int = 0
    """Seed of weights, order and augmentation; the model's folder has its name."""
    checkpoint_steps: int = 100
    """Steps between checkpoints: the most that a kill can cost."""
    precision: Precision = "auto"
    """Arithmetic of the network; `auto` takes bfloat16 where the processor has instructions for it."""
    threads: int = 2
    """Processor threads."""
    compile: bool = False
    """Compile the network first (needs a C++ compiler): pays in runs of more than a few minutes."""


def loop_settings(args: TrainArguments) -> LoopSettings:
    """Settings of the training loop. Raises SedgeError for what is out of range or cannot be had here."""
    batch = checked(BatchSettings, {"synthetic": "batch-size"}, synthetic=args.batch_size)
    schedule = checked(ScheduleSettings, {"peak": "learning-rate"}, peak=args.learning_rate)
    if args.compile:
        check_compiler()
    return checked(
        LoopSettings,
        steps=args.steps,
        batch=batch,
        schedule=schedule,
        checkpoint_steps=args.checkpoint_steps,
        precision=args.precision,
        seed=args.seed,
        threads=args.threads,
        compile=args.compile,
    )


def prepared_clips(folder: Path) -> ClipSet:
    """The clips of a folder as one array, made on first use."""
    return prepare_clips(find_set(folder), folder / "prepared", track=_shown)


def _shown(clips: Iterable[Any], count: int) -> Iterable[Any]:
    return track(clips, "decoding clips", count)
