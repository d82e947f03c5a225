"""The state of a training: a model, its exponential average, its optimiser, the step they have reached."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_app.core.errors import SedgeError
from train.fitting import distributed
from train.fitting.checkpoint import optimiser_tensors, read_tensors, restore_optimiser, write_tensors
from train.fitting.device import is_bfloat16
from train.fitting.loop_settings import LoopSettings
from train.fitting.randomness import step_seed
from train.fitting.schedule import learning_rate

LossTerms = dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """What a loss is told."""

    number: int
    """From 0."""
    shard: int
    """Part of the step's batch, from 0."""
    share: float
    """Of the training that is done, 0 ... 1."""
    average: nn.Module
    """The exponential average of the weights, in evaluation mode and without gradients: the mean teacher."""


class Training:
    """Everything that a checkpoint holds."""

    def __init__(
        self,
        model: nn.Module,
        settings: LoopSettings,
        folder: Path,
        fingerprint: str,
        fast: Sequence[Tensor] = (),
        frozen: Sequence[Tensor] = (),
    ) -> None:
        # channels last is the layout that convolutions are fastest in
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.settings = settings
        self.folder = folder
        self.fingerprint = fingerprint
        self.optimiser = _optimiser(model, settings, fast, frozen)
        self.device = next(model.parameters()).device
        self.step = 0
        self._best: dict[str, Tensor] = {}
        self._best_quality = float("-inf")
        self._shards = _own_shards(settings.shards)

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
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimiser": {}, "best": {}}
        for key, tensor in tensors.items():
            group, name = key.split("/", 1)
            groups[group][name] = tensor
        self.model.load_state_dict(groups["model"])
        self.average.load_state_dict(groups["average"])
        restore_optimiser(self.optimiser, groups["optimiser"])
        self._best, self._best_quality = groups["best"], about.get("best_quality", float("-inf"))
        self.step = about["step"]

    def save(self) -> None:
        """Write a checkpoint; only the first process does, and the others wait for it."""
        if distributed.is_first():
            groups = {
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": optimiser_tensors(self.optimiser),
                "best": self._best,
            }
            tensors = {
                f"{group}/{name}": tensor.detach().cpu().clone()
                for group, named in groups.items()
                for name, tensor in named.items()
            }
            about = {"step": self.step, "fingerprint": self.fingerprint}
            if self._best:
                about["best_quality"] = self._best_quality
            write_tensors(self.state_path, tensors, about)
        distributed.wait_for_all()

    def remember(self, quality: float) -> None:
        """Keep the average as it is now if it is better than any before."""
        if quality > self._best_quality:
            self._best_quality = quality
            self._best = {
                name: tensor.detach().cpu().clone() for name, tensor in self.average.state_dict().items()
            }

    def kept_average(self) -> nn.Module:
        """The average that was best, where that was measured; otherwise the last."""
        if self._best:
            self.average.load_state_dict(self._best)
        return self.average

    def take_step(self, loss_terms: Callable[[Step], LossTerms]) -> dict[str, Tensor]:
        """One optimiser step; the value of each loss term, left on the device."""
        settings = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(settings.schedule, self.step, settings.steps) * group["scale"]
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        values = self._all_shards(loss_terms)
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_norm)
        self.optimiser.step()
        self._update_average()
        self.step += 1
        return values

    def mean_losses(self, history: Sequence[Mapping[str, Tensor]], first: int) -> dict[str, float]:
        """Mean of each loss term over steps from `first`; SedgeError naming the first step that is not finite."""
        names = list(dict.fromkeys(name for values in history for name in values))
        totals = torch.stack([torch.stack(list(values.values())).sum() for values in history])
        wrong = torch.nonzero(~torch.isfinite(totals)).flatten()
        if len(wrong):
            step = first + int(wrong[0])
            found = totals[wrong[0]].item()
            raise SedgeError(f"step {step}: expected a finite loss, found {found}; lower the learning rate")
        of_name = {name: [values[name] for values in history if name in values] for name in names}
        return {name: torch.stack(values).mean().item() for name, values in of_name.items()}

    def _all_shards(self, loss_terms: Callable[[Step], LossTerms]) -> dict[str, Tensor]:
        """Gradients, batch-norm statistics and loss terms, each the mean over the batch's shards."""
        count = self.settings.shards
        if count == 1:
            values = self._backward(loss_terms, 0)
            self._gradients()
            return values
        statistics, values = self._statistics(), {}
        before = [tensor.clone() for tensor in statistics]
        sums = [torch.zeros_like(tensor) for tensor in statistics]
        for shard in self._shards:
            _copy(before, statistics)
            for name, term in self._backward(loss_terms, shard).items():
                values[name] = values.get(name, torch.zeros_like(term)) + term / count
            for total, tensor in zip(sums, statistics, strict=True):
                total.add_(tensor / count)
        _copy(sums, statistics)
        distributed.sum_over_processes([*statistics, *values.values(), *self._gradients()])
        return values

    def _backward(self, loss_terms: Callable[[Step], LossTerms], shard: int) -> LossTerms:
        settings = self.settings
        step = Step(self.step, shard, self.step / settings.steps, self.average)
        bfloat16 = is_bfloat16(settings.precision, self.device)
        torch.manual_seed(step_seed(settings.seed, self.step, shard))  # dropout draws from torch's own
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            terms = loss_terms(step)
        (torch.stack(list(terms.values())).sum() / settings.shards).backward()
        return {name: term.detach() for name, term in terms.items()}

    def _statistics(self) -> list[Tensor]:
        """What batch norms have tracked."""
        tracked = ("running_mean", "running_var")
        return [tensor for name, tensor in self.model.named_buffers() if name.endswith(tracked)]

    def _gradients(self) -> list[Tensor]:
        gradients = []
        for parameter in self.model.parameters():
            if parameter.grad is None:  # a term that this shard lacks another may have
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        return gradients

    @torch.no_grad()
    def _update_average(self) -> None:
        # after the first step the average equals the student; its decay is reached once it has as many steps
        decay = min(self.settings.average_decay, 1 - 1 / (self.step + 1))
        average, new = self.average.state_dict(), self.model.state_dict()
        floating = [name for name, tensor in new.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [average[name] for name in floating], [new[name] for name in floating], 1 - decay
        )
        for name in new.keys() - set(floating):
            average[name].copy_(new[name])


def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for tensor, other in zip(target, source, strict=True):
            tensor.copy_(other)


def _own_shards(count: int) -> range:
    """The shards of this process."""
    processes = distributed.world_size()
    if count % processes:
        raise SedgeError(f"shards: expected a multiple of the {processes} processes, found {count}")
    share = count // processes
    return range(distributed.rank() * share, (distributed.rank() + 1) * share)


def _optimiser(
    model: nn.Module,
    settings: LoopSettings,
    fast: Sequence[Tensor],
    frozen: Sequence[Tensor],
) -> torch.optim.Optimizer:
    apart = {id(parameter) for parameter in (*fast, *frozen)}
    slow = [parameter for parameter in model.parameters() if id(parameter) not in apart]
    groups = [{"params": slow, "scale": 1.0}, {"params": list(fast), "scale": settings.fast_scale}]
    kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, weight_decay=settings.weight_decay)
