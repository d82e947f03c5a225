"""Training losses. Each takes logits, so that none is infinite at scores of 0 and 1.

Targets are labels and never carry a gradient, even where another model's scores made them. No label weighs more
than another: weights by frequency would reach 11 on DESED, whose Speech sounds in nine clips of ten.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid


def clip_loss(
    tag_logit: Float[Tensor, "batch *frame label"],
    tags: Float[Tensor, "batch *frame label"],
    row_weight: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """Binary cross-entropy of tags, mean over labels (and frames), mean over clips weighted by `row_weight`."""
    cells = binary_cross_entropy_with_logits(tag_logit, tags.detach(), reduction="none")
    rows = cells.flatten(1).mean(1)
    if row_weight is None:
        return rows.mean()
    return (rows * row_weight).sum() / row_weight.sum().clamp(min=1e-12)


def focal_loss(
    logit: Float[Tensor, "batch frame label"],
    active: Float[Tensor, "batch frame label"],
    alpha: float = 0.25,
    gamma: float = 2.0,
    frame_valid: Float[Tensor, "batch frame"] | None = None,
) -> Float[Tensor, ""]:
    """Focal loss, mean over the cells of valid frames: -alpha_t (1 - p_t)^gamma log p_t (Lin et al. 2018, equation 5).

    p_t is the score of the truth; alpha_t is alpha on active cells and 1 - alpha elsewhere. A soft label y, as
    mixup makes them, costs y times an active cell plus 1 - y times an inactive one. The report gives neither
    constant; these are Lin et al.'s recommendation.
    """
    label = active.detach()
    there = alpha * label * _focal_cell(logit, gamma)
    absent = (1 - alpha) * (1 - label) * _focal_cell(-logit, gamma)
    cells = there + absent
    if frame_valid is None:
        return cells.mean()
    return (cells.mean(2) * frame_valid).sum() / frame_valid.sum().clamp(min=1)


def _focal_cell(
    logit: Float[Tensor, "batch frame label"], gamma: float
) -> Float[Tensor, "batch frame label"]:
    # the clamp keeps the gradient finite where gamma < 1 and the score rounds to 1
    wrong = torch.sigmoid(-logit).clamp(min=1e-12)
    return -(wrong**gamma) * logsigmoid(logit)


def frame_loss(
    logit: Float[Tensor, "batch frame label"],
    active: Float[Tensor, "batch frame label"],
    frame_valid: Float[Tensor, "batch frame"],
) -> Float[Tensor, ""]:
    """Binary cross-entropy summed over labels, mean over a clip's valid frames, mean over clips."""
    cells = binary_cross_entropy_with_logits(logit, active.detach(), reduction="none").sum(2)
    return ((cells * frame_valid).sum(1) / frame_valid.sum(1).clamp(min=1)).mean()


def max_branch_loss(
    forward_logit: Float[Tensor, "batch frame label"],
    backward_logit: Float[Tensor, "batch frame label"],
    tags: Float[Tensor, "batch label"],
    frame_valid: Float[Tensor, "batch frame"],
    branches: Literal["max", "last"] = "max",
) -> Float[Tensor, ""]:
    """Loss of FBCRNN's tags (Ebbers and Haeb-Umbach 2020): the larger branch's score is the clip's tag in every frame.

    Gradient reaches the larger branch alone (the forward one where they are equal). With "last" instead, the
    mean of what each branch says once it has heard the whole clip: forward at its last valid frame, backward at
    frame 0. Either is summed over labels, then averaged over valid frames and clips.
    """
    if branches == "max":
        larger = torch.where(forward_logit >= backward_logit, forward_logit, backward_logit)
        return frame_loss(larger, tags[:, None].expand_as(larger), frame_valid)
    last = (frame_valid.sum(1).long() - 1).clamp(min=0)
    at_end = forward_logit[torch.arange(len(last), device=last.device), last]
    return (clip_loss(at_end, tags) + clip_loss(backward_logit[:, 0], tags)) * tags.shape[1] / 2


def consistency_loss(
    student_logit: Float[Tensor, "batch *frame label"],
    teacher_logit: Float[Tensor, "batch *frame label"],
    frame_valid: Float[Tensor, "batch frame"] | None = None,
) -> Float[Tensor, ""]:
    """Mean squared difference of the student's and the teacher's scores, over valid frames where those are given.

    The teacher gets no gradient (Tarvainen and Valpola 2017).
    """
    cells = (torch.sigmoid(student_logit) - torch.sigmoid(teacher_logit.detach())).square().mean(-1)
    if frame_valid is None:
        return cells.mean()
    return (cells * frame_valid).sum() / frame_valid.sum().clamp(min=1)


@dataclass(frozen=True)
class DomainFrames:
    """Frames of the clips of one domain as the inter-frame distance loss sees them."""

    embedding: Float[Tensor, "clip frame domain"]
    active: Float[Tensor, "clip frame label"]
    """Binary: which labels each frame holds, of real clips by pseudo labels."""
    tags: Float[Tensor, "clip label"]
    """Binary: which labels the clip holds."""
    frame_valid: Float[Tensor, "clip frame"]


SAME_DISTANCE, DIFFERENT_DISTANCE = 0.4, 0.6


def ifdc_loss(real: DomainFrames, synthetic: DomainFrames, clip_condition: bool = True) -> Float[Tensor, ""]:
    """Inter-frame distance contrastive loss between two domains (Huang et al. 2020, as they released it).

    A real and a synthetic frame at the same place of their clips are the same if they hold the same labels (or
    none), different if they share none and not both are silent, and otherwise not compared; with `clip_condition`
    the clips' labels must be the same, or share none, too. The same cost what their distance exceeds 0.4,
    different ones what theirs lacks of 0.6: mean over all pairs of clips and all frames valid in both.
    """
    same, different = pair_masks(real, synthetic, clip_condition)
    distance = pair_distance(real.embedding, synthetic.embedding)
    far = (distance - SAME_DISTANCE).clamp(min=0)
    near = (DIFFERENT_DISTANCE - distance).clamp(min=0)
    cost = torch.where(same, far, torch.where(different, near, 0.0))
    both_valid = torch.einsum("it,jt->tij", real.frame_valid, synthetic.frame_valid)
    return (cost * both_valid).sum() / both_valid.sum().clamp(min=1)


def pair_distance(
    first: Float[Tensor, "one frame domain"], second: Float[Tensor, "other frame domain"]
) -> Float[Tensor, "frame one other"]:
    """Mean squared difference of every pair of clips at each frame.

    By matrix products: the differences themselves would be as many times larger as the embedding is wide.
    """
    # bfloat16 would leave nothing of a small distance, and autocast would use it here
    with torch.autocast(first.device.type, enabled=False):
        one, other = first.float().transpose(0, 1), second.float().transpose(0, 1)
        square = one.square().sum(2)[:, :, None] + other.square().sum(2)[:, None]
        return (square - 2 * one @ other.transpose(1, 2)).clamp(min=0) / first.shape[2]


def pair_masks(
    first: DomainFrames, second: DomainFrames, clip_condition: bool
) -> tuple[Bool[Tensor, "frame one other"], Bool[Tensor, "frame one other"]]:
    """Which pairs of clips hold the same labels at each frame, and which different ones (`ifdc_loss`)."""
    same, different, silent = _compare(first.active.transpose(0, 1), second.active.transpose(0, 1))
    different = different & ~silent
    if clip_condition:
        same_tags, different_tags, _ = _compare(first.tags, second.tags)
        same, different = same & same_tags, different & different_tags
    return same, different


def _compare(
    one: Float[Tensor, "*frame one label"], other: Float[Tensor, "*frame other label"]
) -> tuple[Bool[Tensor, "*frame one other"], ...]:
    """Of every pair of label sets: whether they are equal, disjoint, and both empty."""
    one, other = (one > 0.5).float(), (other > 0.5).float()
    shared = one @ other.transpose(-1, -2)
    n_one, n_other = one.sum(-1)[..., :, None], other.sum(-1)[..., None, :]
    return (shared == n_one) & (shared == n_other), shared == 0, (n_one == 0) & (n_other == 0)
