"""The training loop that every stage shares: steps, average of the weights, checkpoints, progress.

All randomness of a step comes from (seed, step, shard), so a run that was killed goes on from its last checkpoint and
repeats what it would have done. A step's batch is computed in `shards` parts, each with batch-norm statistics of its
own; processes share the parts out, so one process and several give the same result to rounding.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from train.fitting import distributed
from train.fitting.device import check_compiler, choose_device, memory_errors_named
from train.fitting.loop_settings import LoopSettings
from train.fitting.training import LossTerms, Step, Training
from train.fitting.training_log import TrainingLog


@dataclass(frozen=True)
class Trained:
    """What a training leaves, in evaluation mode on the processor."""

    average: nn.Module
    student: nn.Module


Quality = Callable[[nn.Module], dict[str, float]]


def fingerprint(**parts: Any) -> str:
    """Hash of whatever makes a run what it is."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def train(
    model: nn.Module,
    loss_terms: Callable[[Step], LossTerms],
    settings: LoopSettings,
    folder: Path,
    run_fingerprint: str,
    fast: Sequence[Tensor] = (),
    quality: Quality | None = None,
    frozen: Sequence[Tensor] = (),
) -> Trained:
    """Train `model` on the sum of `loss_terms(step)`, from the last checkpoint in `folder` if there is one.

    `fast` parameters learn at `fast_scale` times the rate of the others, `frozen` ones not at all. `quality`
    measures the average of the
    weights; its first figure decides which is kept. Writes `state.safetensors`, `log.jsonl` and TensorBoard's
    files. Raises SedgeError where the loss is not finite, memory is full or the checkpoint is of another run.
    """
    torch.set_num_threads(settings.threads)
    if settings.compile:
        check_compiler()
    folder.mkdir(parents=True, exist_ok=True)  # what cannot be written is better known now than steps later
    model.to(choose_device(settings.device))
    training = Training(model, settings, folder, run_fingerprint, fast, frozen)
    training.restore()
    with memory_errors_named(folder.parent.name, "batch or set shards higher in its loop"):
        _run(training, loss_terms, quality if settings.validation_steps else None)
    return Trained(training.kept_average().eval().cpu(), training.model.eval().cpu())


def _run(training: Training, loss_terms: Callable[[Step], LossTerms], quality: Quality | None) -> None:
    settings, name = training.settings, training.folder.parent.name
    log = TrainingLog(training.folder, training.step) if distributed.is_first() else None
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[losses]}"), disable=log is None
    ) as progress:
        task = progress.add_task(name, total=settings.steps, completed=training.step, losses="")
        while training.step < settings.steps:
            losses = _interval(training, loss_terms, lambda: progress.advance(task))
            measured = _measure(training, quality)
            training.save()
            if log is None:
                continue
            log.write(training.step, losses, measured)
            text = " ".join(f"{key} {value:.4f}" for key, value in {**losses, **(measured or {})}.items())
            progress.update(task, losses=text)
            if not progress.console.is_terminal:
                print(f"{name} step {training.step}/{settings.steps}: {text}", flush=True)
    if log is not None:
        log.close()


def _interval(
    training: Training, loss_terms: Callable[[Step], LossTerms], advance: Callable[[], None]
) -> dict[str, float]:
    """Steps up to the next checkpoint; the mean of each loss and the speed."""
    settings, started, first = training.settings, time.perf_counter(), training.step
    until = min(settings.steps, (first // settings.checkpoint_steps + 1) * settings.checkpoint_steps)
    history: list[dict[str, Tensor]] = []
    while training.step < until:
        history.append(training.take_step(loss_terms))
        advance()
    losses = training.mean_losses(history, first)
    losses["clips_per_s"] = len(history) * settings.batch.size / (time.perf_counter() - started)
    return losses


def _measure(training: Training, quality: Quality | None) -> dict[str, float] | None:
    """Quality of the average, if it is due; the best so far is remembered."""
    settings = training.settings
    is_last = training.step == settings.steps
    if quality is None or (training.step % settings.validation_steps and not is_last):
        return None
    with torch.no_grad():
        measured = quality(training.average.eval())
    if measured:
        training.remember(next(iter(measured.values())))
    return measured
