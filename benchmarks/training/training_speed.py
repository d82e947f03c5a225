"""The speed of one model's training steps, and of the FBCRNN's windowed detection."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.device_time import busy_s, lap_s
from benchmarks.training.trainees import stage_recipe, trainee
from train.data.clips import ClipSet
from train.fitting.batches import BatchMaker
from train.fitting.device import check_compiler, choose_device, is_bfloat16, memory_errors_named
from train.fitting.loop_settings import LoopSettings
from train.fitting.training import Training
from train.models.fbcrnn import FBCRNN
from train.pipeline.recipe import Recipe
from train.pseudo.labels import Ensemble, PseudoLabelSettings
from train.pseudo.windowed import mean_window_scores

WARM_UP_STEPS = 2
PROFILED_STEPS = 3
CLIPS_ON_PROCESSOR, CLIPS_ON_GPU = 2, 64


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over steps."""

    median: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Laps:
    """Seconds of each step, and of making each step's batch alone; on a GPU, what it has to do for them as well."""

    step_s: tuple[float, ...]
    batch_s: tuple[float, ...]
    step_busy_s: float | None = None
    batch_busy_s: float | None = None
    peak_gpu_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ModelSpeed:
    """A model's training steps."""

    preset: str
    batch_clips: int
    precision: str
    """Arithmetic of the network."""
    steps: int
    clips_per_s: Spread
    step_ms: Spread
    batch_ms: Spread
    """Making a step's batch alone: drawing, features and augmentation."""
    batch_share: float
    """Batch making of the median step."""
    gpu_wait_share: float | None
    """Of the median step, the time in which the GPU has nothing to do; None where that is not measured."""
    outside_share: float
    """Of the median step, all but the network and the update of its weights: making the batch and, on a GPU,
    waiting for the processor."""
    peak_gpu_bytes: int | None
    """Allocated at most, the benchmark's few waveforms included; None where there is no GPU."""


@dataclass(frozen=True, slots=True)
class LabellingSpeed:
    """Windowed detection by one FBCRNN, every clip in all contexts."""

    contexts: tuple[int, ...]
    """Frames to either side."""
    rows: int
    """Windows at once."""
    clips: int
    """That were timed."""
    clips_per_s: float


def model_speed(
    name: str, recipe: Recipe, clips: ClipSet, loop: LoopSettings, n_steps: int
) -> tuple[ModelSpeed, LabellingSpeed | None]:
    """Time a model's steps and, of an FBCRNN, windowed detection. Raises SedgeError where GPU memory is full."""
    stage, device = stage_recipe(recipe, name), choose_device(loop.device)
    if loop.compile:
        check_compiler()
    with memory_errors_named(name, "batch or set shards higher in its loop"):
        learner = trainee(name, recipe, clips, loop, device)
        training = Training(learner.model, loop, Path(), "", learner.fast)
        batches = BatchMaker(clips, stage.augment, loop)
        laps = _laps(
            lambda: training.take_step(learner.losses), _maker(batches, loop.shards), n_steps, device
        )
    precision = "bfloat16" if is_bfloat16(loop.precision, device) else "float32"
    speed = speed_of(laps, stage.preset, precision, loop.batch.size)
    if not isinstance(learner.model, FBCRNN):
        return speed, None
    with memory_errors_named("windowed detection", "rows"):
        return speed, _labelling_speed(learner.model, clips, recipe.pseudo_label, device)


def speed_of(laps: Laps, preset: str, precision: str, batch_clips: int) -> ModelSpeed:
    """Figures of a model from its laps."""
    step_s, batch_share = median(laps.step_s), median(laps.batch_s) / median(laps.step_s)
    waits, outside = None, batch_share
    if laps.step_busy_s is not None and laps.batch_busy_s is not None:
        waits = max(0.0, 1 - laps.step_busy_s / step_s)
        outside = max(0.0, 1 - (laps.step_busy_s - laps.batch_busy_s) / step_s)
    return ModelSpeed(
        preset=preset,
        batch_clips=batch_clips,
        precision=precision,
        steps=len(laps.step_s),
        clips_per_s=_spread([batch_clips / seconds for seconds in laps.step_s]),
        step_ms=_spread([1000 * seconds for seconds in laps.step_s]),
        batch_ms=_spread([1000 * seconds for seconds in laps.batch_s]),
        batch_share=batch_share,
        gpu_wait_share=waits,
        outside_share=outside,
        peak_gpu_bytes=laps.peak_gpu_bytes,
    )


def _spread(figures: list[float]) -> Spread:
    return Spread(median(figures), min(figures), max(figures))


def _maker(batches: BatchMaker, n_shards: int) -> Callable[[], None]:
    """Makes the batch of the next step, shard after shard."""
    numbers = count()

    def make() -> None:
        number = next(numbers)
        for shard in range(n_shards):
            batches.batch(number, shard)

    return make


def _laps(step: Callable[[], object], make: Callable[[], None], n_steps: int, device: torch.device) -> Laps:
    if device.type == "cuda":
        return _gpu_laps(step, make, n_steps, device)
    for work in (step, make):
        lap_s(work, WARM_UP_STEPS, device)
    step_s: list[float] = []
    batch_s: list[float] = []
    for _ in range(n_steps):  # by turns, so that whatever else the machine does hits both
        step_s += lap_s(step, 1, device)
        batch_s += lap_s(make, 1, device)
    return Laps(tuple(step_s), tuple(batch_s))


def _gpu_laps(
    step: Callable[[], object], make: Callable[[], None], n_steps: int, device: torch.device
) -> Laps:
    """Steps without a pause between them, as in training; batches after the peak is known, as they hold waveforms."""
    torch.cuda.reset_peak_memory_stats(device)
    lap_s(step, WARM_UP_STEPS, device)
    step_s = lap_s(step, n_steps, device)
    peak = torch.cuda.max_memory_allocated(device)
    lap_s(make, WARM_UP_STEPS, device)
    batch_s = lap_s(make, n_steps, device)
    step_busy_s, batch_busy_s = busy_s(step, PROFILED_STEPS), busy_s(make, PROFILED_STEPS)
    return Laps(tuple(step_s), tuple(batch_s), step_busy_s, batch_busy_s, peak)


def _labelling_speed(
    model: FBCRNN, clips: ClipSet, settings: PseudoLabelSettings, device: torch.device
) -> LabellingSpeed:
    rows, contexts = Ensemble([model], clips, settings).rows, settings.contexts
    n_clips = CLIPS_ON_GPU if device.type == "cuda" else CLIPS_ON_PROCESSOR

    def detect(n_clips: int, contexts: tuple[int, ...]) -> None:
        needed = {context: np.ones(n_clips, bool) for context in contexts}
        mean_window_scores([model], clips, np.arange(n_clips), needed, rows)

    detect(1, contexts[:1])
    (seconds,) = lap_s(lambda: detect(n_clips, contexts), 1, device)
    return LabellingSpeed(contexts, rows, n_clips, n_clips / seconds)
