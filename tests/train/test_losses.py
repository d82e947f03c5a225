"""Losses against literal loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from train.losses import clip_loss, focal_loss, frame_loss


def logits(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def truth(*shape: int, seed: int = 1) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def cross_entropy(logit: float, target: float) -> float:
    score = 1 / (1 + math.exp(-logit))
    return -math.log(score) if target else -math.log(1 - score)


def test_clip_loss_is_the_mean_cross_entropy_of_labels_and_clips() -> None:
    logit, tags = logits(4, 3), truth(4, 3)
    cells = [cross_entropy(logit[i, j].item(), tags[i, j].item()) for i in range(4) for j in range(3)]
    assert clip_loss(logit, tags).item() == pytest.approx(sum(cells) / 12, rel=1e-5)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 1.0), (0.75, 0.5), (0.25, 0.0)])
def test_focal_loss_is_its_formula(alpha, gamma) -> None:
    logit, active = logits(2, 5, 3), truth(2, 5, 3)
    total = 0.0
    for value, target in zip(logit.flatten().tolist(), active.flatten().tolist(), strict=True):
        score = 1 / (1 + math.exp(-value))
        true_score = score if target else 1 - score
        true_alpha = alpha if target else 1 - alpha
        total += -true_alpha * (1 - true_score) ** gamma * math.log(true_score)
    assert focal_loss(logit, active, alpha, gamma).item() == pytest.approx(total / 30, rel=1e-5)


def test_focal_loss_without_focus_is_half_the_cross_entropy() -> None:
    logit, active = logits(2, 50, 3), truth(2, 50, 3)
    half = binary_cross_entropy_with_logits(logit, active) / 2
    torch.testing.assert_close(focal_loss(logit, active, alpha=0.5, gamma=0.0), half)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_losses_and_their_gradients_are_finite_at_scores_of_0_and_1(gamma) -> None:
    logit = torch.tensor([1e4, -1e4, 1e4, -1e4, 0.0]).reshape(1, 5, 1).requires_grad_()
    active = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0]).reshape(1, 5, 1)
    valid = torch.ones(1, 5)
    for loss in (
        focal_loss(logit, active, gamma=gamma), frame_loss(logit, active, valid), clip_loss(logit[0], active[0])
    ):  # fmt: skip
        (gradient,) = torch.autograd.grad(loss, logit)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_frame_loss_of_two_clips_of_unequal_length_by_hand() -> None:
    # clip 1: frames (0, ln 3) active and inactive; clip 2: one frame; whatever is in the padding does not count
    logit = torch.tensor([[[0.0], [math.log(3)]], [[math.log(3)], [77.0]]])
    active = torch.tensor([[[1.0], [0.0]], [[1.0], [0.0]]])
    valid = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    first = (math.log(2) + math.log(4)) / 2
    second = math.log(4 / 3)
    assert frame_loss(logit, active, valid).item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_frame_loss_is_its_literal_loop() -> None:
    logit, active = logits(3, 7, 4), truth(3, 7, 4)
    lengths = (7, 4, 1)
    valid = torch.stack([(torch.arange(7) < length).float() for length in lengths])
    clips = []
    for clip, length in enumerate(lengths):
        frames = [
            sum(cross_entropy(logit[clip, t, k].item(), active[clip, t, k].item()) for k in range(4))
            for t in range(length)
        ]
        clips.append(sum(frames) / length)
    assert frame_loss(logit, active, valid).item() == pytest.approx(sum(clips) / 3, rel=1e-5)


def test_frame_loss_sums_labels_and_averages_frames() -> None:
    logit, active, valid = logits(2, 6, 3), truth(2, 6, 3), torch.ones(2, 6)
    once = frame_loss(logit, active, valid)
    doubled_labels = frame_loss(logit.repeat(1, 1, 2), active.repeat(1, 1, 2), valid)
    torch.testing.assert_close(doubled_labels, 2 * once)
    constant, constant_truth = logit[:, :1].repeat(1, 6, 1), active[:, :1].repeat(1, 6, 1)
    longer = frame_loss(constant.repeat(1, 2, 1), constant_truth.repeat(1, 2, 1), torch.ones(2, 12))
    torch.testing.assert_close(longer, frame_loss(constant, constant_truth, valid))


def test_a_clip_without_a_whole_frame_costs_nothing() -> None:
    valid = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    logit, active = logits(2, 2, 3), truth(2, 2, 3)
    alone = frame_loss(logit[1:], active[1:], valid[1:])
    torch.testing.assert_close(frame_loss(logit, active, valid), alone / 2)
