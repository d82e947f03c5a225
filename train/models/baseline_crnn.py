"""The baseline of DCASE 2021 Task 4: a convolutional recurrent network with gated linear units and attention.

Turpault et al., "Sound event detection in domestic environments with weakly labeled data and soundscape synthesis"
(2019), as revised for the 2021 challenge. It is here to compare with, on the features that the other models see.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from train.models.recurrent import BidirectionalGRU, full_precision, n_valid_frames


@dataclass(frozen=True)
class BaselineCRNNConfig:
    """Size of the model; the defaults are the published widths."""

    n_labels: int = 10
    n_mels: int = 128
    channels: tuple[int, ...] = (16, 32, 64, 128, 128, 128, 128)
    """Blocks of a 3x3 convolution; each halves the mel bands, which leaves one band."""
    frame_pools: tuple[int, ...] = (2, 2, 1, 1, 1, 1, 1)
    """Frames averaged after each block: scores are 80 ms apart where frames are 20 ms apart."""
    gru_width: int = 128
    gru_layers: int = 2
    dropout: float = 0.5
    """Share of values dropped in training, after each block's gate and after the GRUs."""
    batch_norm_momentum: float = 0.01
    """Weight of the newest batch in the statistics kept for evaluation. The published .99 is a decay elsewhere; as
    a weight it would keep little but the last batch."""

    @classmethod
    def small(cls, n_labels: int) -> "BaselineCRNNConfig":
        """About a quarter of the arithmetic, for training on a CPU."""
        return cls(n_labels=n_labels, channels=(8, 16, 32, 64, 64, 64, 64), gru_width=64)


@dataclass(frozen=True)
class BaselineOutput:
    """Scores after the sigmoid, float32."""

    scores: Float[Tensor, "batch frame label"]
    """Frame scores, repeated over the frames that were averaged; zero in padding."""
    tags: Float[Tensor, "batch label"]
    """Clip scores: mean of the frame scores weighted by the attention."""


class GatedBlock(nn.Module):
    """3x3 convolution, batch norm, gated linear unit, dropout, average pool; padding frames give zeros."""

    def __init__(
        self, n_in: int, n_out: int, frame_pool: int, dropout: float, batch_norm_momentum: float
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.norm = nn.BatchNorm2d(n_out, eps=1e-3, momentum=batch_norm_momentum)
        self.linear = nn.Conv2d(n_out, n_out, 1)
        self.dropout = nn.Dropout(dropout)
        self.frame_pool = frame_pool

    def forward(
        self, planes: Float[Tensor, "batch channel frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> tuple[Float[Tensor, "batch out cell band"], Float[Tensor, "batch cell"]]:
        """One block, and which cells hold a valid frame; frames are a multiple of `frame_pool`."""
        normed = self.norm(self.conv(planes))
        gated = self.dropout(self.linear(normed) * torch.sigmoid(normed))
        gated = gated * frame_valid[:, None, :, None].to(gated.dtype)
        cell_valid = F.max_pool1d(frame_valid[:, None], self.frame_pool)[:, 0]
        return F.avg_pool2d(gated, (self.frame_pool, 2)), cell_valid


class BaselineCRNN(nn.Module):
    """Gated convolutions, bidirectional GRUs, frame scores, and tags by attention."""

    def __init__(self, config: BaselineCRNNConfig) -> None:
        super().__init__()
        self.config = config
        if config.n_mels != 2 ** len(config.channels):
            raise ValueError(f"n_mels {config.n_mels}: {len(config.channels)} halvings must leave one band")
        sizes = zip((1, *config.channels[:-1]), config.channels, config.frame_pools, strict=True)
        constants = (config.dropout, config.batch_norm_momentum)
        self.blocks = nn.ModuleList(GatedBlock(*size, *constants) for size in sizes)
        self.gru = BidirectionalGRU(config.channels[-1], config.gru_width, config.gru_layers)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(2 * config.gru_width, config.n_labels)
        self.attention = nn.Linear(2 * config.gru_width, config.n_labels)

    @property
    def frames_per_score(self) -> int:
        """Frames that share one score."""
        return torch.Size(self.config.frame_pools).numel()

    def forward(
        self, log_mel: Float[Tensor, "batch frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> BaselineOutput:
        """Scores of any number of frames; the valid ones come first, padding after them."""
        n_frames, cell = log_mel.shape[1], self.frames_per_score
        lacking = -n_frames % cell
        planes = F.pad(scale_clips(log_mel, frame_valid), (0, 0, 0, lacking))[:, None]
        valid = F.pad(frame_valid, (0, lacking))
        for block in self.blocks:
            planes, valid = block(planes, valid)
        states = self.dropout(self.gru(planes.squeeze(3).transpose(1, 2), n_valid_frames(valid)))
        with full_precision(states.device):
            strong, tags = self._pool(states, valid)
        scores = strong.repeat_interleave(cell, 1)[:, :n_frames] * frame_valid[:, :, None]
        return BaselineOutput(scores, tags)

    def _pool(
        self, states: Float[Tensor, "batch cell channel"], valid: Float[Tensor, "batch cell"]
    ) -> tuple[Float[Tensor, "batch cell label"], Float[Tensor, "batch label"]]:
        """Scores of the cells, and tags. The published attention is a softmax over labels, not over time."""
        strong = torch.sigmoid(self.output(states))
        attention = torch.softmax(self.attention(states), 2).clamp(1e-7, 1) * valid[:, :, None]
        return strong, (strong * attention).sum(1) / attention.sum(1).clamp(min=1e-7)


def scale_clips(
    log_mel: Float[Tensor, "batch frame mel"], frame_valid: Float[Tensor, "batch frame"]
) -> Float[Tensor, "batch frame mel"]:
    """Each clip scaled to 0 ... 1 by its own smallest and largest value over its valid frames; padding is zero."""
    valid = frame_valid[:, :, None] > 0
    low = torch.where(valid, log_mel, torch.inf).amin((1, 2), keepdim=True)
    high = torch.where(valid, log_mel, -torch.inf).amax((1, 2), keepdim=True)
    # a clip of digital silence is one value throughout: zeros, not a division by nothing
    scaled = (log_mel - low) / (high - low).clamp(min=1e-6)
    return torch.where(valid, scaled, 0.0)
