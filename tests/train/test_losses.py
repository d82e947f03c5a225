"""Losses of labels and of agreement, against literal loops; the inter-frame distance loss has a file of its own."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from train.fitting.losses import clip_loss, consistency_loss, focal_loss, frame_loss, max_branch_loss


def logits(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def truth(*shape: int, seed: int = 1) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def cross_entropy(logit: float, target: float) -> float:
    return -math.log(sigmoid(logit)) if target else -math.log(1 - sigmoid(logit))


def valid_frames(n_frames: int, *lengths: int) -> Tensor:
    return torch.stack([(torch.arange(n_frames) < length).float() for length in lengths])


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


def test_pitfall_focal_loss_without_focus_is_half_the_cross_entropy() -> None:
    logit, active = logits(2, 50, 3), truth(2, 50, 3)
    half = binary_cross_entropy_with_logits(logit, active) / 2
    torch.testing.assert_close(focal_loss(logit, active, alpha=0.5, gamma=0.0), half)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_pitfall_losses_and_their_gradients_are_finite_at_scores_of_0_and_1(gamma) -> None:
    logit = torch.tensor([1e4, -1e4, 1e4, -1e4, 0.0]).reshape(1, 5, 1).requires_grad_()
    active = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0]).reshape(1, 5, 1)
    valid = torch.ones(1, 5)
    for loss in (
        focal_loss(logit, active, gamma=gamma), frame_loss(logit, active, valid), clip_loss(logit[0], active[0])
    ):  # fmt: skip
        (gradient,) = torch.autograd.grad(loss, logit)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_rows_of_a_clip_loss_weigh_what_they_are_given() -> None:
    logit, tags = logits(3, 4), truth(3, 4)
    first, last = clip_loss(logit[:1], tags[:1]), clip_loss(logit[2:], tags[2:])
    weighted = clip_loss(logit, tags, torch.tensor([1.0, 0.0, 3.0]))
    torch.testing.assert_close(weighted, (first + 3 * last) / 4)
    torch.testing.assert_close(clip_loss(logit, tags, torch.full((3,), 0.5)), clip_loss(logit, tags))
    assert clip_loss(logit, tags, torch.zeros(3)) == 0


def test_soft_labels_cost_their_share_of_either_side() -> None:
    logit, share = logits(2, 5, 3), torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(2))
    ones, zeros = torch.ones(2, 5, 3), torch.zeros(2, 5, 3)
    sides = [
        torch.stack([focal_loss(row, side) for row in logit.reshape(-1, 1, 1, 1)])
        for side in (ones[:1, :1, :1], zeros[:1, :1, :1])
    ]
    expected = (share.flatten() * sides[0] + (1 - share.flatten()) * sides[1]).mean()
    torch.testing.assert_close(focal_loss(logit, share), expected)
    half = binary_cross_entropy_with_logits(logit, share) / 2
    torch.testing.assert_close(focal_loss(logit, share, alpha=0.5, gamma=0.0), half)


def test_focal_loss_counts_the_cells_of_valid_frames() -> None:
    logit, active = logits(2, 6, 3), truth(2, 6, 3)
    cells = torch.stack(
        [focal_loss(logit[0, :6], active[0, :6]) * 6, focal_loss(logit[1, :2], active[1, :2]) * 2]
    )
    masked = focal_loss(logit, active, frame_valid=valid_frames(6, 6, 2))
    torch.testing.assert_close(masked, cells.sum() / 8)
    torch.testing.assert_close(
        focal_loss(logit, active, frame_valid=torch.ones(2, 6)), focal_loss(logit, active)
    )


def test_focal_loss_turns_to_what_is_hard() -> None:
    easy, hard = torch.full((1, 1, 1), 3.0), torch.full((1, 1, 1), -3.0)
    active = torch.ones(1, 1, 1)
    plain = focal_loss(hard, active, gamma=0) / focal_loss(easy, active, gamma=0)
    assert focal_loss(hard, active, gamma=2) / focal_loss(easy, active, gamma=2) > 100 * plain


def test_pitfall_weighted_bce_is_dropped() -> None:
    """How often a label is active changes nothing of what a cell of it costs."""
    logit, rare = logits(8, 5, 2), torch.zeros(8, 5, 2)
    rare[0, 0, 0] = 1
    frequent = rare.clone()
    frequent[1:, :, 0] = 1
    valid = torch.ones(8, 5)
    for loss in (focal_loss, lambda logit, active: frame_loss(logit, active, valid), clip_loss):
        gradients = []
        for active in (rare, frequent):
            given = logit.clone().requires_grad_()
            gradients.append(torch.autograd.grad(loss(given, active), given)[0])
        torch.testing.assert_close(gradients[0][0], gradients[1][0])
        torch.testing.assert_close(gradients[0][:, :, 1], gradients[1][:, :, 1])


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
    valid = valid_frames(7, *lengths)
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


def literal_max_branch(forward: Tensor, backward: Tensor, tags: Tensor, lengths: tuple[int, ...]) -> float:
    clips = []
    for clip, length in enumerate(lengths):
        frames = []
        for t in range(length):
            larger = [
                max(forward[clip, t, k].item(), backward[clip, t, k].item()) for k in range(tags.shape[1])
            ]
            frames.append(sum(cross_entropy(x, z) for x, z in zip(larger, tags[clip].tolist(), strict=True)))
        clips.append(sum(frames) / length)
    return sum(clips) / len(clips)


def test_max_branch_loss_is_its_literal_loop() -> None:
    forward, backward, tags = logits(3, 7, 4), logits(3, 7, 4, seed=5), truth(3, 4)
    loss = max_branch_loss(forward, backward, tags, valid_frames(7, 7, 4, 1))
    assert loss.item() == pytest.approx(literal_max_branch(forward, backward, tags, (7, 4, 1)), rel=1e-5)


def test_pitfall_max_branch_loss_of_two_unequal_clips_by_hand() -> None:
    """Two clips of two frames and one, one label; in the padding stands what would be noticed."""
    forward = torch.tensor([[[0.0], [math.log(3)]], [[-1.0], [99.0]]])
    backward = torch.tensor([[[-2.0], [0.5]], [[math.log(3)], [-99.0]]])
    tags, valid = torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    first = (math.log(2) + math.log(4 / 3)) / 2  # scores 1/2 and 3/4 of a tag that is there
    second = math.log(4)  # score 3/4 of one that is not
    loss = max_branch_loss(forward, backward, tags, valid)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)
    twice, twice_back, twice_tags = (torch.cat([rows, rows], -1) for rows in (forward, backward, tags))
    torch.testing.assert_close(max_branch_loss(twice, twice_back, twice_tags, valid), 2 * loss)
    lasting = [
        max_branch_loss(
            forward[:, :1].expand(-1, n, -1), backward[:, :1].expand(-1, n, -1), tags, torch.ones(2, n)
        )
        for n in (2, 4)
    ]
    torch.testing.assert_close(lasting[0], lasting[1])


def test_pitfall_max_branch_gradient_reaches_only_the_larger_branch() -> None:
    forward, backward = logits(2, 6, 3).requires_grad_(), logits(2, 6, 3, seed=7).requires_grad_()
    valid = valid_frames(6, 6, 4)
    loss = max_branch_loss(forward, backward, truth(2, 3), valid)
    of_forward, of_backward = torch.autograd.grad(loss, (forward, backward))
    is_valid = (valid > 0)[:, :, None].expand(-1, -1, 3)
    assert torch.equal(of_forward != 0, (forward >= backward) & is_valid)
    assert torch.equal(of_backward != 0, (forward < backward) & is_valid)


def test_last_branch_loss_takes_what_each_branch_says_of_the_whole_clip() -> None:
    forward, backward = logits(3, 7, 4).requires_grad_(), logits(3, 7, 4, seed=5).requires_grad_()
    tags, lengths = truth(3, 4), (7, 4, 1)
    loss = max_branch_loss(forward, backward, tags, valid_frames(7, *lengths), "last")
    total = 0.0
    for clip, length in enumerate(lengths):
        for k in range(4):
            total += cross_entropy(forward[clip, length - 1, k].item(), tags[clip, k].item()) / 2
            total += cross_entropy(backward[clip, 0, k].item(), tags[clip, k].item()) / 2
    assert loss.item() == pytest.approx(total / 3, rel=1e-5)
    of_forward, of_backward = torch.autograd.grad(loss, (forward, backward))
    reached = torch.zeros(3, 7, dtype=torch.bool)
    reached[torch.arange(3), torch.tensor(lengths) - 1] = True
    assert torch.equal((of_forward != 0).all(2), reached)
    assert torch.equal((of_backward != 0).any(2), (torch.arange(7) == 0).expand(3, -1))


def test_consistency_loss_is_its_literal_loop() -> None:
    student, teacher, lengths = logits(3, 5, 2), logits(3, 5, 2, seed=4), (5, 3, 1)
    squares = [
        (sigmoid(student[clip, t, k].item()) - sigmoid(teacher[clip, t, k].item())) ** 2
        for clip, length in enumerate(lengths)
        for t in range(length)
        for k in range(2)
    ]
    loss = consistency_loss(student, teacher, valid_frames(5, *lengths))
    assert loss.item() == pytest.approx(sum(squares) / len(squares), rel=1e-5)
    tags = consistency_loss(student[:, 0], teacher[:, 0])
    assert tags.item() == pytest.approx(
        sum(
            (sigmoid(student[i, 0, k].item()) - sigmoid(teacher[i, 0, k].item())) ** 2
            for i in range(3)
            for k in range(2)
        )
        / 6,
        rel=1e-5,
    )


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = logits(2, 3).requires_grad_(), logits(2, 3, seed=4).requires_grad_()
    consistency_loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert (student.grad != 0).all()
    assert consistency_loss(student, student) == 0


@pytest.mark.parametrize("name", ["clip", "focal", "frame", "max", "last"])
def test_pitfall_pseudo_labels_leak_no_gradient(name) -> None:
    """Flipping a label that a threshold gave changes the loss; the scores it came from get no gradient."""
    logit, valid = logits(2, 4, 3).requires_grad_(), torch.ones(2, 4)
    losses = {
        "clip": lambda active: clip_loss(logit[:, 0], active.amax(1)),
        "focal": lambda active: focal_loss(logit, active),
        "frame": lambda active: frame_loss(logit, active, valid),
        "max": lambda active: max_branch_loss(logit, logit + 1, active.amax(1), valid),
        "last": lambda active: max_branch_loss(logit, logit + 1, active.amax(1), valid, "last"),
    }
    active = torch.zeros(2, 4, 3)
    flipped = active.clone()
    flipped[0, 1, 2] = 1
    assert losses[name](active) != losses[name](flipped)
    labeller = torch.full((2, 4, 3), 0.7, requires_grad=True)
    loss = losses[name](labeller)
    assert torch.autograd.grad(loss, labeller, allow_unused=True) == (None,)
