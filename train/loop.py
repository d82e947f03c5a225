"""The training loop that every stage shares: steps, average of the weights, checkpoints, progress.

All randomness of a step comes from (seed, step), so a run that was killed goes on from its last
checkpoint and repeats what it would have done.
"""

import copy
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Generator, Tensor, nn

from edge_app.core.errors import SedgeError
from train.checkpoint import optimiser_tensors, read_tensors, restore_optimiser, write_tensors


class LoopSettings(BaseModel):
    """How long and how a model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(3000, ge=1)
    """Optimiser steps."""
    batch_size: int = Field(24, ge=2)
    """Clips a step."""
    learning_rate: float = Field(2e-3, gt=0, allow_inf_nan=False)
    """Highest learning rate; it rises over the warm-up and falls to zero along a half cosine."""
    fast_scale: float = 10.0
    """Factor on the learning rate of the parameters that a stage names as fast."""
    warmup_steps: int = 100
    weight_decay: float = 1e-4
    gradient_norm: float = 5.0
    """Gradients are cut to this norm."""
    average_decay: float = 0.998
    """Decay of the exponential average of the weights, which is the model that is kept."""
    checkpoint_steps: int = Field(100, ge=1)
    """Steps between checkpoints: the most that a kill can cost."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network; bfloat16 is several times faster on processors that have it."""
    seed: int = Field(0, ge=0)
    threads: int = Field(2, ge=1)
    """Processor threads."""
    compile: bool = False
    """Compile the network before training: minutes less for long runs, a minute more for short ones."""


LossTerms = dict[str, Tensor]


def step_generator(seed: int, step: int) -> Generator:
    """The source of all randomness of one step."""
    digest = hashlib.sha256(f"{seed}:{step}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def learning_rate(settings: LoopSettings, step: int) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    left = torch.cos(torch.tensor(step / settings.steps * torch.pi / 2)).item() ** 2
    return settings.learning_rate * warm * left


class Training:
    """A model, its average, its optimiser and the step they have reached."""

    def __init__(
        self,
        model: nn.Module,
        settings: LoopSettings,
        folder: Path,
        fingerprint: str,
        fast: Sequence[nn.Parameter] = (),
    ) -> None:
        # channels last is the layout that the processor's convolutions are fastest in
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.settings = settings
        self.folder = folder
        self.fingerprint = fingerprint
        slow = [parameter for parameter in model.parameters() if not any(parameter is one for one in fast)]
        groups = [{"params": slow, "scale": 1.0}, {"params": list(fast), "scale": settings.fast_scale}]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        self.step = 0

    @property
    def state_path(self) -> Path:
        """Where the state to go on from is kept."""
        return self.folder / "state.safetensors"

    def restore(self) -> None:
        """Go on from the last checkpoint, if there is one; SedgeError if it is of another run."""
        if not self.state_path.exists():
            return
        tensors, about = read_tensors(self.state_path)
        if about["fingerprint"] != self.fingerprint:
            raise SedgeError(
                f"{self.state_path}: expected a run with the same data and settings ({self.fingerprint[:12]}), "
                f"found {about['fingerprint'][:12]}; train into another folder, or delete {self.folder} to train anew"
            )
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimiser": {}}
        for key, tensor in tensors.items():
            group, name = key.split("/", 1)
            groups[group][name] = tensor
        self.model.load_state_dict(groups["model"])
        self.average.load_state_dict(groups["average"])
        restore_optimiser(self.optimiser, groups["optimiser"])
        self.step = about["step"]

    def save(self) -> None:
        """Write a checkpoint."""
        groups = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": optimiser_tensors(self.optimiser),
        }
        tensors = {
            f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()
        }
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        write_tensors(self.state_path, tensors, {"step": self.step, "fingerprint": self.fingerprint})

    def take_step(self, loss_terms: Callable[[int], LossTerms]) -> dict[str, float]:
        """One optimiser step; the value of each loss term."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.settings, self.step) * group["scale"]
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            terms = loss_terms(self.step)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            raise SedgeError(
                f"step {self.step}: expected a finite loss, found {total.item()}; lower the learning rate"
            )
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_norm)
        self.optimiser.step()
        self._update_average()
        self.step += 1
        return {name: term.item() for name, term in terms.items()}

    @torch.no_grad()
    def _update_average(self) -> None:
        # young averages forget their random start quickly
        decay = min(self.settings.average_decay, (self.step + 1) / (self.step + 10))
        for kept, new in zip(
            self.average.state_dict().values(), self.model.state_dict().values(), strict=True
        ):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def fingerprint(**parts: Any) -> str:
    """Hash of whatever makes a run what it is."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def train(
    model: nn.Module,
    loss_terms: Callable[[int], LossTerms],
    settings: LoopSettings,
    folder: Path,
    run_fingerprint: str,
    fast: Sequence[nn.Parameter] = (),
) -> nn.Module:
    """Train `model` on `loss_terms(step)`, from the last checkpoint in `folder` if there is one.

    `fast` parameters learn at `fast_scale` times the rate of the others.

    Returns the average of the weights, in evaluation mode. Writes `state.safetensors` and `log.jsonl`.
    """
    torch.set_num_threads(settings.threads)
    folder.mkdir(parents=True, exist_ok=True)  # what cannot be written is better known now than steps later
    training = Training(model, settings, folder, run_fingerprint, fast)
    training.restore()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[losses]}")) as progress:
        task = progress.add_task(folder.parent.name, total=settings.steps, completed=training.step, losses="")
        while training.step < settings.steps:
            losses = _interval(training, loss_terms, lambda: progress.advance(task))
            training.save()
            text = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
            progress.update(task, losses=text)
            if not progress.console.is_terminal:
                print(f"{folder.parent.name} step {training.step}/{settings.steps}: {text}", flush=True)
    return training.average.eval()


def _interval(
    training: Training, loss_terms: Callable[[int], LossTerms], advance: Callable[[], None]
) -> dict[str, float]:
    """Steps up to the next checkpoint; logs and returns the mean of each loss and the speed."""
    settings, started = training.settings, time.perf_counter()
    until = min(settings.steps, (training.step // settings.checkpoint_steps + 1) * settings.checkpoint_steps)
    history = []
    while training.step < until:
        history.append(training.take_step(loss_terms))
        advance()
    seconds = time.perf_counter() - started
    losses = {name: sum(step[name] for step in history) / len(history) for name in history[0]}
    losses["clips_per_s"] = len(history) * settings.batch_size / seconds
    with (training.folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"step": training.step, **losses}) + "\n")
    return losses
