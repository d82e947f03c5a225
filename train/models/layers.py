"""Parts that the models share: masked convolution blocks and fixed input normalisation."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class InputNormalisation(nn.Module):
    """Global mean and variance per mel band, counted over the training set's valid frames, then frozen.

    No affine parameters. The statistics are buffers: they travel with the checkpoint and into the graph.
    """

    def __init__(self, n_mels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("variance", torch.ones(n_mels))

    def set_statistics(self, mean: Float[Tensor, " mel"], variance: Float[Tensor, " mel"]) -> None:
        """Take the statistics of the training set."""
        self.mean.copy_(mean)
        self.variance.copy_(variance)

    def forward(self, log_mel: Float[Tensor, "batch frame mel"]) -> Float[Tensor, "batch frame mel"]:
        """Zero mean and unit variance per band over the training set."""
        return (log_mel - self.mean) * torch.rsqrt(self.variance + self.epsilon)


class ValidBatchNorm1d(nn.BatchNorm1d):
    """Batch norm per mel band whose batch statistics count valid frames only; padding frames give zeros."""

    def forward(  # type: ignore[override]
        self, rows: Float[Tensor, "batch frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch frame mel"]:
        """In training, normalise by the batch and track its statistics; otherwise by the tracked ones."""
        valid = frame_valid[:, :, None]
        if not self.training:
            return super().forward(rows.transpose(1, 2)).transpose(1, 2) * valid
        count = valid.sum()
        mean = (rows * valid).sum((0, 1)) / count
        variance = ((rows - mean).square() * valid).sum((0, 1)) / count
        self._track(mean, variance * count / (count - 1))
        return ((rows - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias) * valid

    @torch.no_grad()
    def _track(self, mean: Float[Tensor, " mel"], variance: Float[Tensor, " mel"]) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class ConvBlock2d(nn.Module):
    """Convolution over (frame, mel) with zeros around, batch norm, ReLU; frames outside the signal zeroed.

    The zeroing keeps a padded clip equal to the same clip alone: batch norm and bias would otherwise
    make something of the padding, and the next convolution would carry it into the signal.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: tuple[int, int], epsilon: float, momentum: float
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, padding="same")
        self.norm = nn.BatchNorm2d(n_out, eps=epsilon, momentum=momentum)

    def forward(
        self, planes: Float[Tensor, "batch channel frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch out frame mel"]:
        """One block; `frame_valid` is 1 on real frames, 0 on padding."""
        active = torch.relu(self.norm(self.conv(planes)))
        return active * frame_valid[:, None, :, None].to(active.dtype)


class ConvBlock1d(nn.Module):
    """Convolution over frames with zeros around, batch norm, ReLU; frames outside the signal zeroed."""

    def __init__(self, n_in: int, n_out: int, kernel: int, epsilon: float, momentum: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, padding="same")
        self.norm = nn.BatchNorm1d(n_out, eps=epsilon, momentum=momentum)

    def forward(
        self, rows: Float[Tensor, "batch channel frame"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch out frame"]:
        """One block; `frame_valid` is 1 on real frames, 0 on padding."""
        active = torch.relu(self.norm(self.conv(rows)))
        return active * frame_valid[:, None, :].to(active.dtype)


class SpectrumStack(nn.ModuleList):
    """The 2-D convolutions of FBCRNN and the tag-conditioned CNN, with their pools over mel bands.

    A list of blocks, so that a model's parameters are named `blocks.0.conv.weight` and so on.
    """

    def __init__(
        self,
        n_in: int,
        channels: Sequence[int],
        kernels: Iterable[tuple[int, int]],
        pool_after: tuple[int, ...],
        epsilon: float,
        momentum: float,
    ) -> None:
        inputs = (n_in, *channels[:-1])
        super().__init__(
            ConvBlock2d(width_in, width_out, kernel, epsilon, momentum)
            for width_in, width_out, kernel in zip(inputs, channels, kernels, strict=True)
        )
        self.pool_after = pool_after

    def forward(
        self, planes: Float[Tensor, "batch channel frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch out frame"]:
        """Rows of every channel and band that is left; bands are halved by maxima after `pool_after` (from 1)."""
        for number, block in enumerate(self, start=1):
            planes = block(planes, frame_valid)
            if number in self.pool_after:
                planes = F.max_pool2d(planes, (1, 2))
        return planes.transpose(2, 3).flatten(1, 2)


def row_blocks(
    n_in: int, channels: Sequence[int], kernel: int, epsilon: float, momentum: float
) -> nn.ModuleList:
    """1-D convolution blocks of these widths, one after the other."""
    inputs = (n_in, *channels)
    return nn.ModuleList(
        ConvBlock1d(width_in, width_out, kernel, epsilon, momentum)
        for width_in, width_out in zip(inputs, channels, strict=False)
    )
