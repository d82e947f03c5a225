"""The inter-frame distance contrastive loss against a literal loop over pairs and frames."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.fitting.losses import DomainFrames, ifdc_loss, pair_distance, pair_masks

N_FRAMES, WIDTH, N_LABELS = 4, 6, 3


def frames(n_clips: int, seed: int, width: int = WIDTH, length: int = N_FRAMES) -> DomainFrames:
    generator = torch.Generator().manual_seed(seed)
    embedding = 0.6 * torch.randn(n_clips, length, width, generator=generator)
    active = (torch.rand(n_clips, length, N_LABELS, generator=generator) < 0.3).float()
    return DomainFrames(embedding, active, active.amax(1), torch.ones(n_clips, length))


def one_pair(
    distance: float, first: tuple[int, ...], second: tuple[int, ...]
) -> tuple[DomainFrames, DomainFrames]:
    """Two clips of one frame each with these labels, `distance` apart."""
    sides = []
    for labels, value in ((first, 0.0), (second, distance**0.5)):
        active = torch.zeros(1, 1, N_LABELS)
        active[0, 0, list(labels)] = 1
        sides.append(DomainFrames(torch.full((1, 1, WIDTH), value), active, active[:, 0], torch.ones(1, 1)))
    return sides[0], sides[1]


def holds(row: Tensor) -> set[int]:
    return {label for label, value in enumerate(row.tolist()) if value}


def literal(real: DomainFrames, synthetic: DomainFrames, clip_condition: bool) -> float:
    costs = []
    for i in range(len(real.embedding)):
        for j in range(len(synthetic.embedding)):
            tags_i, tags_j = holds(real.tags[i]), holds(synthetic.tags[j])
            for t in range(real.embedding.shape[1]):
                if not (real.frame_valid[i, t] and synthetic.frame_valid[j, t]):
                    continue
                labels_i, labels_j = holds(real.active[i, t]), holds(synthetic.active[j, t])
                pairs = zip(real.embedding[i, t].tolist(), synthetic.embedding[j, t].tolist(), strict=True)
                distance = sum((one - other) ** 2 for one, other in pairs) / real.embedding.shape[2]
                same = labels_i == labels_j
                different = not labels_i & labels_j and bool(labels_i or labels_j)
                if clip_condition:
                    same, different = same and tags_i == tags_j, different and not tags_i & tags_j
                costs.append(max(0, distance - 0.4) * same + max(0, 0.6 - distance) * different)
    return sum(costs) / len(costs)


@pytest.mark.parametrize("clip_condition", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_its_literal_loop(seed, clip_condition) -> None:
    real, synthetic = frames(3, seed), frames(4, seed + 10)
    real.frame_valid[1, 2:] = 0
    synthetic.frame_valid[2, 3:] = 0
    loss = ifdc_loss(real, synthetic, clip_condition)
    assert loss.item() == pytest.approx(literal(real, synthetic, clip_condition), rel=1e-4)


def test_given_tags_may_hold_more_than_the_frames_do() -> None:
    real, synthetic = frames(3, 0), frames(4, 1)
    real.tags[:, 0] = 1
    assert ifdc_loss(real, synthetic).item() == pytest.approx(literal(real, synthetic, True), rel=1e-4)


def test_the_condition_on_clips_leaves_pairs_out() -> None:
    counts = {}
    for clip_condition in (True, False):
        same, different = pair_masks(frames(20, 0), frames(20, 1), clip_condition)
        counts[clip_condition] = (int(same.sum()), int(different.sum()))
    assert 0 < counts[True][0] < counts[False][0]
    assert 0 < counts[True][1] < counts[False][1]


def test_pitfall_ifdc_is_zero_for_what_is_already_right() -> None:
    assert ifdc_loss(*one_pair(0.0, (1,), (1,))) == 0
    assert ifdc_loss(*one_pair(0.61, (1,), (2,))) == 0
    real, synthetic = frames(3, 0), frames(3, 1)
    alike = DomainFrames(
        real.embedding, torch.ones_like(real.active), torch.ones_like(real.tags), real.frame_valid
    )
    constant = DomainFrames(real.embedding[:1].repeat(3, 1, 1), alike.active, alike.tags, alike.frame_valid)
    assert ifdc_loss(constant, constant) == 0
    apart = DomainFrames(synthetic.embedding + 100, alike.active * 0, alike.tags * 0, alike.frame_valid)
    assert ifdc_loss(constant, apart) == 0


@pytest.mark.parametrize("distance", [0.0, 0.1, 0.39, 0.41, 0.5, 0.59, 0.61, 2.0])
def test_pitfall_ifdc_band(distance) -> None:
    same = ifdc_loss(*one_pair(distance, (0, 2), (0, 2))).item()
    different = ifdc_loss(*one_pair(distance, (0,), (1,))).item()
    assert same == pytest.approx(max(0.0, distance - 0.4), abs=1e-6)
    assert different == pytest.approx(max(0.0, 0.6 - distance), abs=1e-6)
    assert (same == 0) == (distance <= 0.4)
    assert (different == 0) == (distance >= 0.6)


@pytest.mark.parametrize("labels", [((0,), (0,)), ((0,), (1,)), ((), (1,))])
def test_pitfall_ifdc_gradient_is_finite_where_embeddings_are_equal(labels) -> None:
    real, synthetic = one_pair(0.0, *labels)
    embedding = real.embedding.requires_grad_()
    (gradient,) = torch.autograd.grad(ifdc_loss(real, synthetic), embedding)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@given(seed=st.integers(0, 10_000), clip_condition=st.booleans())
@settings(max_examples=30, deadline=None)
def test_pitfall_ifdc_masks_never_both(seed, clip_condition) -> None:
    same, different = pair_masks(frames(4, seed), frames(5, seed + 1), clip_condition)
    assert not (same & different).any()


def test_pitfall_ifdc_masks_partial_overlap_has_no_gradient() -> None:
    for distance in (0.0, 0.2, 0.5, 0.7, 2.0):
        real, synthetic = one_pair(distance, (0, 1), (1, 2))
        embedding = real.embedding.requires_grad_()
        loss = ifdc_loss(real, synthetic)
        (gradient,) = torch.autograd.grad(loss, embedding)
        assert loss == 0
        assert not gradient.any()


def test_pitfall_ifdc_masks_two_silent_frames_are_the_same_and_not_different() -> None:
    same, different = pair_masks(*one_pair(0.5, (), ()), True)
    assert same.all()
    assert not different.any()
    same, different = pair_masks(*one_pair(0.5, (), (1,)), True)
    assert not same.any()
    assert different.all()


def test_pitfall_ifdc_pseudo_labels_leak_no_gradient() -> None:
    real, synthetic = frames(3, 0), frames(3, 1)
    flipped = DomainFrames(real.embedding, 1 - real.active, real.tags, real.frame_valid)
    assert ifdc_loss(real, synthetic, False) != ifdc_loss(flipped, synthetic, False)
    labeller = torch.full_like(real.active, 0.7, requires_grad=True)
    real = DomainFrames(real.embedding.requires_grad_(), labeller, labeller.amax(1), real.frame_valid)
    assert torch.autograd.grad(ifdc_loss(real, synthetic), labeller, allow_unused=True) == (None,)


def test_pitfall_collapse_is_a_stationary_point_of_positive_loss() -> None:
    real, synthetic = frames(4, 0), frames(4, 1)
    constant = torch.full((4, N_FRAMES, WIDTH), 0.3)
    first, second = constant.clone().requires_grad_(), constant.clone().requires_grad_()
    loss = ifdc_loss(
        DomainFrames(first, real.active, real.tags, real.frame_valid),
        DomainFrames(second, synthetic.active, synthetic.tags, synthetic.frame_valid),
        clip_condition=False,
    )
    assert loss > 0.05
    for gradient in torch.autograd.grad(loss, (first, second)):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-6, rtol=0)


def test_gradient_pulls_the_same_together_and_pushes_different_ones_apart() -> None:
    for labels, distance, pulls in ((((1,), (1,)), 0.9, True), (((1,), (2,)), 0.3, False)):
        real, synthetic = one_pair(distance, *labels)
        embedding = real.embedding.requires_grad_()  # at 0, and the synthetic one above
        (gradient,) = torch.autograd.grad(ifdc_loss(real, synthetic), embedding)
        assert ((gradient < 0) if pulls else (gradient > 0)).all()


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_distances_are_mean_squared_differences(offset) -> None:
    first, second = frames(5, 0, 64, 50).embedding + offset, frames(4, 1, 64, 50).embedding + offset
    first[0], second[1] = second[0], second[0]
    expected = (first[:, None] - second[None]).square().mean(3).permute(2, 0, 1)
    distance = pair_distance(first, second)
    torch.testing.assert_close(distance, expected, atol=2e-5, rtol=1e-5)
    assert (distance >= 0).all()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(pair_distance(first, second), expected, atol=2e-5, rtol=1e-5)


def test_distances_and_masks_need_no_memory_for_differences() -> None:
    """A batch of the full size: 12 x 12 pairs of 500 frames of 64 numbers, with gradients."""
    real, synthetic = frames(12, 0, 64, 500), frames(12, 1, 64, 500)
    embedding = real.embedding.requires_grad_()
    (gradient,) = torch.autograd.grad(ifdc_loss(real, synthetic), embedding)
    assert torch.isfinite(gradient).all()
