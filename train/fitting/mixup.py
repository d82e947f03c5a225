"""Mixup within each set of clips, on mel power, with soft labels (the rule of the DCASE 2021 baseline).

Zhang et al., "mixup: beyond empirical risk minimization" (2018). Powers add where sounds do, logarithms do not.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from train.fitting.batches import Batch


@dataclass(frozen=True)
class Mix:
    """Which row is mixed into each row of a batch, and what share the row itself keeps."""

    partner: Int[Tensor, " batch"]
    share: Float[Tensor, " batch"]

    def labels(self, rows: Float[Tensor, "batch *rest"]) -> Float[Tensor, "batch *rest"]:
        """Labels of the mixed rows: the weighted mean of both rows' labels."""
        share = self.share.reshape(-1, *[1] * (rows.ndim - 1))
        return share * rows + (1 - share) * rows[self.partner]


def is_mixed(share: float, generator: Generator) -> bool:
    """Whether the step that `generator` belongs to is mixed: a `share` of all are."""
    return torch.rand((), generator=generator).item() < share


def draw_mix(sets: tuple[str, ...], beta: float, generator: Generator, device: torch.device) -> Mix:
    """One share from Beta(beta, beta) for each set, and for each row a partner of its set (maybe itself)."""
    partner, share = torch.arange(len(sets)), torch.ones(len(sets))
    seed = int(torch.randint(2**62, (), generator=generator))
    shares = np.random.default_rng(seed).beta  # torch draws Beta from its global state only
    for name in dict.fromkeys(sets):
        rows = torch.tensor([row for row, of_row in enumerate(sets) if of_row == name])
        partner[rows] = rows[torch.randperm(len(rows), generator=generator)]
        share[rows] = float(shares(beta, beta))
    return Mix(partner.to(device), share.to(device))


def mix_batch(batch: Batch, mix: Mix) -> Batch:
    """The batch with every row mixed: log-mel by power, labels and tags by share; valid where either row is."""
    return replace(
        batch,
        log_mel=mix_log_mel(batch.log_mel, mix),
        active=mix.labels(batch.active),
        tags=mix.labels(batch.tags),
        frame_valid=torch.maximum(batch.frame_valid, batch.frame_valid[mix.partner]),
    )


def mix_log_mel(log_mel: Float[Tensor, "batch frame mel"], mix: Mix) -> Float[Tensor, "batch frame mel"]:
    """Logarithm of the weighted mean of both rows' powers."""
    kept = torch.log(mix.share)[:, None, None]
    added = torch.log1p(-mix.share)[:, None, None]
    return torch.logaddexp(log_mel + kept, log_mel[mix.partner] + added)
