"""Mean teacher: the average of the weights judges clips, and the student is to agree with it.

Tarvainen and Valpola, "Mean teachers are better role models" (2017). The average is the loop's.
"""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor


def ramp_up(share: float, ramp_share: float) -> float:
    """exp(-5 (1 - s)^2), s rising from 0 to 1 over the first `ramp_share` of the training; then 1."""
    risen = min(1.0, share / ramp_share) if ramp_share > 0 else 1.0
    return math.exp(-5 * (1 - risen) ** 2)


def perturb(
    log_mel: Float[Tensor, "batch frame mel"], std: float, generator: Generator
) -> Float[Tensor, "batch frame mel"]:
    """Log-mel spectrogram with Gaussian noise, drawn on its device from a seed of `generator`."""
    if std == 0:
        return log_mel
    seed = int(torch.randint(2**62, (), generator=generator))
    own = Generator(log_mel.device).manual_seed(seed)
    return log_mel + std * torch.randn(log_mel.shape, generator=own, device=log_mel.device)
