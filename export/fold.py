"""Normalisation that an evaluated model can do without: folded into the weights beside it."""

import copy
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from export.fuse import FusedEnsemble
from train.models.layers import ConvBlock1d, ConvBlock2d, ValidBatchNorm1d
from train.models.mlfl import MLFL


class BandScale(nn.Module):
    """An evaluated batch norm per mel band as one product and one sum; padding frames give zeros.

    It goes no further: the mask comes between it and the first convolution, whose zeros at the edges would
    otherwise become the negated means.
    """

    def __init__(self, norm: ValidBatchNorm1d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        self.scale = nn.Buffer(scale.detach())
        self.shift = nn.Buffer((norm.bias - norm.running_mean * scale).detach())

    def forward(
        self, rows: Float[Tensor, "batch frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch frame mel"]:
        """Normalise by the tracked statistics."""
        return (rows * self.scale + self.shift) * frame_valid[:, :, None]


def folded(fused: FusedEnsemble) -> FusedEnsemble:
    """A copy for evaluation without any batch norm; modules that members share stay shared."""
    copied = copy.deepcopy(fused).eval()
    for module in copied.modules():
        if isinstance(module, ConvBlock1d | ConvBlock2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = cast(nn.BatchNorm1d | nn.BatchNorm2d, nn.Identity())  # called alike
        elif isinstance(module, MLFL):
            module.input_norm = cast(ValidBatchNorm1d, BandScale(module.input_norm))
    return copied
