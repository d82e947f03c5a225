"""Mixup: literal sums of powers, within sets, the same for the same seed."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from train.fitting.batches import Batch
from train.fitting.mixup import Mix, draw_mix, is_mixed, mix_batch, mix_log_mel

CPU = torch.device("cpu")
SETS = ("synthetic",) * 4 + ("weak",) * 3 + ("unlabelled",) * 5


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def batch() -> Batch:
    """Twelve clips of five frames; the second one has only two."""
    draws = generator(9)
    valid = torch.ones(12, 5)
    valid[1, 2:] = 0
    active = (torch.rand(12, 5, 3, generator=draws) < 0.3).float() * valid[:, :, None]
    tags = torch.maximum(active.amax(1), (torch.rand(12, 3, generator=draws) < 0.2).float())
    return Batch(torch.randn(12, 5, 4, generator=draws) * 4 - 10, active, tags, valid, SETS)


def test_rows_are_mixed_as_a_literal_loop_does(batch) -> None:
    mix = draw_mix(SETS, 0.8, generator(), CPU)
    mixed = mix_batch(batch, mix)
    for row in range(12):
        other, share = int(mix.partner[row]), mix.share[row].item()
        for t in range(5):
            for band in range(4):
                power = share * math.exp(batch.log_mel[row, t, band]) + (1 - share) * math.exp(
                    batch.log_mel[other, t, band]
                )
                assert mixed.log_mel[row, t, band].item() == pytest.approx(math.log(power), rel=1e-5)
            for label in range(3):
                weighted = share * batch.active[row, t, label] + (1 - share) * batch.active[other, t, label]
                assert mixed.active[row, t, label].item() == pytest.approx(weighted.item())
            assert mixed.frame_valid[row, t] == max(batch.frame_valid[row, t], batch.frame_valid[other, t])
        for label in range(3):
            weighted = share * batch.tags[row, label] + (1 - share) * batch.tags[other, label]
            assert mixed.tags[row, label].item() == pytest.approx(weighted.item())
    assert mixed.sets == SETS


@given(seed=st.integers(0, 10_000), beta=st.sampled_from([0.2, 1.0, 3.0]))
@settings(max_examples=25, deadline=None)
def test_partners_are_of_the_same_set_and_a_set_has_one_share(seed, beta) -> None:
    mix = draw_mix(SETS, beta, generator(seed), CPU)
    assert sorted(mix.partner.tolist()) == list(range(12))
    for row, partner in enumerate(mix.partner.tolist()):
        assert SETS[row] == SETS[partner]
    shares = {name: {mix.share[row].item() for row in range(12) if SETS[row] == name} for name in SETS}
    assert all(len(of_set) == 1 for of_set in shares.values())
    assert len(set.union(*shares.values())) == 3
    assert all(0 <= share <= 1 for of_set in shares.values() for share in of_set)


def test_shares_are_of_the_beta_distribution() -> None:
    """Beta(.2, .2) is nearly a coin: mean 1/2, variance 1 / (4 (2 * .2 + 1))."""
    shares = torch.stack([draw_mix(("weak",), 0.2, generator(seed), CPU).share[0] for seed in range(2000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / (4 * 1.4), abs=0.01)


def test_a_share_of_the_steps_is_mixed() -> None:
    for share in (0.0, 0.5, 1.0):
        chosen = [is_mixed(share, generator(step)) for step in range(500)]
        assert sum(chosen) / 500 == pytest.approx(share, abs=0.07 if share == 0.5 else 0)


def test_the_generator_decides(batch) -> None:
    first, again, other = (mix_batch(batch, draw_mix(SETS, 0.2, generator(seed), CPU)) for seed in (3, 3, 4))
    assert torch.equal(first.log_mel, again.log_mel)
    assert torch.equal(first.tags, again.tags)
    assert not torch.equal(first.log_mel, other.log_mel)
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    draw_mix(SETS, 0.2, generator(), CPU)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_batch_itself_is_left_alone(batch) -> None:
    before = replace(
        batch, log_mel=batch.log_mel.clone(), active=batch.active.clone(), tags=batch.tags.clone()
    )
    mix_batch(batch, draw_mix(SETS, 0.2, generator(), CPU))
    assert torch.equal(batch.log_mel, before.log_mel)
    assert torch.equal(batch.active, before.active)
    assert torch.equal(batch.tags, before.tags)


def test_pitfall_mixup_comes_before_the_log() -> None:
    """Half a clip and half of silence is the clip 3 dB lower, not the mean of the logarithms."""
    loud, silence = torch.full((1, 2, 3), 2.0), torch.full((1, 2, 3), math.log(1e-12))
    log_mel = torch.cat([loud, silence])
    mixed = mix_log_mel(log_mel, Mix(torch.tensor([1, 0]), torch.tensor([0.5, 0.5])))
    torch.testing.assert_close(mixed[:1], loud + math.log(0.5))
    assert (mixed[0] - log_mel.mean(0)).min() > 10


@pytest.mark.parametrize("share", [0.0, 1.0, 1e-30, 1 - 1e-7])
def test_shares_at_the_ends_stay_finite(batch, share) -> None:
    mix = Mix(torch.arange(12).roll(1), torch.full((12,), share))
    mixed = mix_log_mel(batch.log_mel, mix)
    kept = batch.log_mel if share > 0.5 else batch.log_mel.roll(1, 0)
    assert torch.isfinite(mixed).all()
    torch.testing.assert_close(mixed, kept, atol=0.05, rtol=0.01)


def test_mixed_labels_that_have_been_heard_end_as_the_mixed_tags(batch) -> None:
    """The greatest of mixed labels would be less: a label may sound in either clip at another time."""
    batch = replace(batch, tags=batch.active.amax(1))
    mix = draw_mix(SETS, 1.0, generator(), CPU)
    heard = mix.labels(torch.cummax(batch.active, 1).values)
    torch.testing.assert_close(heard[:, -1], mix_batch(batch, mix).tags)
    assert (mix.labels(batch.active).amax(1) < heard[:, -1] - 1e-4).any()
