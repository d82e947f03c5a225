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


def has_padding(model: nn.Module, frame_valid: Float[Tensor, "batch frame"]) -> bool:
    """Whether batch statistics have to leave padding out: in training, of a batch that has some.

    Asked once for each pass of a model, since the answer has to come from the device.
    """
    return model.training and bool((frame_valid < 1).any())


def valid_batch_norm(
    norm: nn.BatchNorm1d | nn.BatchNorm2d,
    planes: Float[Tensor, "batch channel frame *mel"],
    frame_valid: Float[Tensor, "batch frame"],
) -> Float[Tensor, "batch channel frame *mel"]:
    """Batch norm in training whose batch statistics count valid frames only (in float32); they are tracked as usual."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    rows = planes.float()
    bands = rows.shape[3:].numel()
    over = [0, 2, *range(3, rows.ndim)]
    one_each = (1, -1, 1, *(1 for _ in rows.shape[3:]))
    valid = frame_valid.view(len(rows), 1, -1, *(1 for _ in rows.shape[3:]))
    count = frame_valid.sum() * bands
    mean = (rows * valid).sum(over) / count
    centred = rows - mean.view(one_each)
    variance = (centred.square() * valid).sum(over) / count
    with torch.no_grad():
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
        norm.num_batches_tracked += 1
    scale = torch.rsqrt(variance + norm.eps) * norm.weight
    return (centred * scale.view(one_each) + norm.bias.view(one_each)).to(planes.dtype)


class ValidBatchNorm1d(nn.BatchNorm1d):
    """Batch norm per mel band whose batch statistics count valid frames only; padding frames give zeros."""

    def forward(  # type: ignore[override]
        self, rows: Float[Tensor, "batch frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch frame mel"]:
        """In training, normalise by the batch and track its statistics; otherwise by the tracked ones."""
        bands = rows.transpose(1, 2)
        normal = valid_batch_norm(self, bands, frame_valid) if self.training else super().forward(bands)
        return normal.transpose(1, 2) * frame_valid[:, :, None]


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
        self,
        planes: Float[Tensor, "batch channel frame mel"],
        frame_valid: Float[Tensor, "batch frame"],
        padded: bool = False,
    ) -> Float[Tensor, "batch out frame mel"]:
        """One block; `frame_valid` is 1 on real frames, 0 on padding, which `padded` leaves out of the statistics."""
        mixed = self.conv(planes)
        normal = valid_batch_norm(self.norm, mixed, frame_valid) if padded else self.norm(mixed)
        active = torch.relu(normal)
        return active * frame_valid[:, None, :, None].to(active.dtype)


class ConvBlock1d(nn.Module):
    """Convolution over frames with zeros around, batch norm, ReLU; frames outside the signal zeroed."""

    def __init__(self, n_in: int, n_out: int, kernel: int, epsilon: float, momentum: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, padding="same")
        self.norm = nn.BatchNorm1d(n_out, eps=epsilon, momentum=momentum)

    def forward(
        self,
        rows: Float[Tensor, "batch channel frame"],
        frame_valid: Float[Tensor, "batch frame"],
        padded: bool = False,
    ) -> Float[Tensor, "batch out frame"]:
        """One block; `frame_valid` is 1 on real frames, 0 on padding, which `padded` leaves out of the statistics."""
        mixed = self.conv(rows)
        normal = valid_batch_norm(self.norm, mixed, frame_valid) if padded else self.norm(mixed)
        active = torch.relu(normal)
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
        self,
        planes: Float[Tensor, "batch channel frame mel"],
        frame_valid: Float[Tensor, "batch frame"],
        padded: bool = False,
    ) -> Float[Tensor, "batch out frame"]:
        """Rows of every channel and band that is left; bands are halved by maxima after `pool_after` (from 1)."""
        for number, block in enumerate(self, start=1):
            planes = block(planes, frame_valid, padded)
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
