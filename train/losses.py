"""Training losses. Each takes logits, so that none is infinite at scores of 0 and 1."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid


def clip_loss(
    tag_logit: Float[Tensor, "batch label"], tags: Float[Tensor, "batch label"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy of the tags, mean over labels and clips."""
    return binary_cross_entropy_with_logits(tag_logit, tags)


def focal_loss(
    logit: Float[Tensor, "batch frame label"],
    active: Float[Tensor, "batch frame label"],
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Tensor, ""]:
    """Focal loss, mean over cells: -alpha_t (1 - p_t)^gamma log p_t (Lin et al. 2018, equation 5).

    p_t is the score of the truth; alpha_t is alpha on active cells and 1 - alpha elsewhere. The report gives
    neither constant; these are Lin et al.'s recommendation.
    """
    log_true = logsigmoid(torch.where(active > 0.5, logit, -logit))
    alpha_true = torch.where(active > 0.5, alpha, 1 - alpha)
    # the clamp keeps the gradient finite where gamma < 1 and p_t rounds to 1
    wrong = (-torch.expm1(log_true)).clamp(min=1e-12)
    return -(alpha_true * wrong**gamma * log_true).mean()


def frame_loss(
    logit: Float[Tensor, "batch frame label"],
    active: Float[Tensor, "batch frame label"],
    frame_valid: Float[Tensor, "batch frame"],
) -> Float[Tensor, ""]:
    """Binary cross-entropy summed over labels, mean over a clip's valid frames, mean over clips."""
    cells = binary_cross_entropy_with_logits(logit, active, reduction="none").sum(2)
    return ((cells * frame_valid).sum(1) / frame_valid.sum(1).clamp(min=1)).mean()
