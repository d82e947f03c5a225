"""Augmentation: what it may do, what it must not, and that it repeats itself."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from train.augment import (
    AugmentSettings,
    augment_log_mel,
    augment_waveforms,
    mel_warp,
    random_filter,
    stretch_mask,
    superpose,
)
from train.batches import Batch, BatchMaker
from train.data.clips import ClipSet

NONE = AugmentSettings(
    gain_log_std=0,
    superpose=0,
    warp_log_std=0,
    time_mask_frames=0,
    mel_mask_bands=0,
    noise_std=0,
    filter_db=0,
)
N_FRAMES, HOP_LENGTH, N_LABELS = 40, 320, 3


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def clips(count: int, n_frames: int = N_FRAMES, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Waveforms and activities."""
    source = generator(seed)
    waveforms = torch.randn(count, n_frames * HOP_LENGTH, generator=source)
    return waveforms, (torch.rand(count, n_frames, N_LABELS, generator=source) < 0.2).float()


def spectrum(count: int = 4, n_frames: int = 60) -> Tensor:
    return torch.randn(count, n_frames, 128, generator=generator(7)) * 3 - 10


def test_settings_of_zero_change_nothing() -> None:
    waveforms, active = clips(4)
    mixed, united = augment_waveforms(waveforms, active, NONE, generator())
    assert torch.equal(mixed, waveforms)
    assert torch.equal(united, active)
    torch.testing.assert_close(augment_log_mel(spectrum(), NONE, generator()), spectrum(), rtol=0, atol=1e-6)


def test_the_generator_decides_everything() -> None:
    waveforms, active = clips(6)
    settings = AugmentSettings(time_mask_frames=20, superpose=0.7)

    def both(seed: int) -> tuple[Tensor, Tensor, Tensor]:
        source = generator(seed)
        mixed, united = augment_waveforms(waveforms, active, settings, source)
        return mixed, united, augment_log_mel(spectrum(6), settings, source)

    torch.manual_seed(1)
    first = both(3)
    torch.manual_seed(2)
    assert all(torch.equal(one, other) for one, other in zip(first, both(3), strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(first, both(4), strict=True))


def test_input_is_left_as_it_was() -> None:
    waveforms, active = clips(4)
    frames = spectrum()
    kept = [waveforms.clone(), active.clone(), frames.clone()]
    augment_waveforms(waveforms, active, AugmentSettings(superpose=1), generator())
    augment_log_mel(frames, AugmentSettings(time_mask_frames=10), generator())
    assert all(torch.equal(one, other) for one, other in zip(kept, (waveforms, active, frames), strict=True))


def moved(rows: Tensor, shift: int) -> Tensor:
    """Rows moved later by `shift`, one by one."""
    return torch.stack(
        [
            rows[t - shift] if 0 <= t - shift < len(rows) else torch.zeros_like(rows[0])
            for t in range(len(rows))
        ]
    )


def explain(clip: int, waveforms: Tensor, active: Tensor, mixed: Tensor, united: Tensor) -> int:
    """The shift at which one other clip explains what was added; fails where none does."""
    n_frames = active.shape[1]
    added = mixed[clip] - waveforms[clip]
    for other in range(len(waveforms)):
        for shift in range(-n_frames, n_frames + 1):
            start = max(0, shift) * HOP_LENGTH
            source = max(0, -shift) * HOP_LENGTH
            length = (n_frames - abs(shift)) * HOP_LENGTH
            piece = added[start : start + length]
            if (
                other != clip
                and length
                and torch.allclose(piece[:40], waveforms[other][source : source + length][:40], atol=1e-5)
            ):
                expected = torch.zeros_like(added)
                expected[start : start + length] = waveforms[other][source : source + length]
                torch.testing.assert_close(added, expected, rtol=0, atol=1e-5)
                both = torch.maximum(active[clip], moved(active[other], shift))
                assert torch.equal(united[clip], both)
                return shift
    raise AssertionError(f"clip {clip}: nothing explains what was added")


@pytest.mark.parametrize("n_frames", [40, 41])
def test_superposition_adds_signals_unites_labels_and_keeps_half_of_the_partner(n_frames) -> None:
    shifts = []
    for seed in range(12):
        waveforms, active = clips(4, n_frames, seed)
        mixed, united = superpose(waveforms, active, 1.0, generator(seed))
        assert mixed.shape == waveforms.shape
        assert united.shape == active.shape
        shifts += [explain(clip, waveforms, active, mixed, united) for clip in range(4)]
    assert max(abs(shift) for shift in shifts) <= n_frames / 2
    assert min(shifts) < -n_frames / 4
    assert max(shifts) > n_frames / 4


def test_superposition_takes_its_share_of_the_clips() -> None:
    waveforms, active = clips(400, n_frames=2)
    mixed, _ = superpose(waveforms, active, 0.35, generator())
    share = (mixed != waveforms).any(1).float().mean().item()
    assert share == pytest.approx(0.35, abs=0.07)


def test_a_clip_alone_is_still_a_batch() -> None:
    mixed, united = superpose(*clips(1), share=1.0, generator=generator())
    assert mixed.shape == (1, N_FRAMES * HOP_LENGTH)
    assert united.shape == (1, N_FRAMES, N_LABELS)


def test_gain_scales_a_clip_within_three_deviations() -> None:
    waveforms, active = clips(300, n_frames=1)
    settings = NONE.model_copy(update={"gain_log_std": 0.6})
    louder, _ = augment_waveforms(waveforms, active, settings, generator())
    ratio = louder / waveforms
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4, atol=0)
    log_gain = ratio[:, 0].log()
    assert log_gain.abs().max() <= 0.6 * 3 + 1e-4
    assert log_gain.std().item() == pytest.approx(0.6, abs=0.1)


def test_tags_are_whatever_sounds_anywhere_in_the_mix() -> None:
    waveforms, active = clips(4)
    _, united = superpose(waveforms, active, 1.0, generator())
    batch = Batch(spectrum(), united, torch.ones(4, N_FRAMES))
    for clip in range(4):
        for label in range(N_LABELS):
            assert batch.tags[clip, label] == float(any(united[clip, :, label]))


def test_warp_without_stretch_is_the_identity() -> None:
    torch.testing.assert_close(mel_warp(spectrum(), torch.ones(4)), spectrum(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("stretch", [0.8, 0.93, 1.1, 1.3])
def test_warp_interpolates_between_bands(stretch) -> None:
    frames = spectrum(1, 3)
    found = mel_warp(frames, torch.tensor([stretch]))[0].numpy()
    position = np.minimum(np.arange(128) * stretch, 127)
    for row, warped in zip(frames[0].numpy(), found, strict=True):
        np.testing.assert_allclose(warped, np.interp(position, np.arange(128), row), rtol=0, atol=1e-3)


def longest_run(row: Tensor) -> int:
    text = "".join("x" if masked else " " for masked in row.tolist())
    assert len(text.split()) <= 1, "a mask is one stretch"
    return len(text.strip())


@pytest.mark.parametrize("longest", [0, 1, 16, 200])
def test_masks_are_one_stretch_no_wider_than_set(longest) -> None:
    masks = stretch_mask(300, 128, longest, generator())
    widths = [longest_run(row) for row in masks]
    assert masks.shape == (300, 128)
    assert max(widths) <= min(longest, 128)
    assert max(widths) >= min(longest, 128) * 0.9
    if longest == 16:
        assert masks.any(0).all(), "every place is masked at times"


def test_masks_fill_with_the_clips_mean() -> None:
    settings = NONE.model_copy(update={"mel_mask_bands": 16, "time_mask_frames": 9})
    found = augment_log_mel(spectrum(), settings, generator(1))
    for frames, masked in zip(spectrum(), found, strict=True):
        changed = frames != masked
        assert changed.any()
        torch.testing.assert_close(masked[changed], frames.mean().expand(int(changed.sum())))
        assert changed.all(0).sum() <= 16
        assert changed.all(1).sum() <= 9


def test_no_time_is_masked_unless_asked_for() -> None:
    assert AugmentSettings().time_mask_frames == 0
    settings = AugmentSettings().model_copy(update={"warp_log_std": 0, "noise_std": 0, "filter_db": 0})
    changed = augment_log_mel(spectrum(50), settings, generator()) != spectrum(50)
    assert changed.any()
    assert not changed.all(2).any()


def test_random_filter_is_smooth_and_bounded() -> None:
    filters = random_filter(200, 128, 6.0, generator())
    assert filters.shape == (200, 128)
    largest = 6.0 * np.log(10) / 10
    assert filters.abs().max() <= largest + 1e-6
    assert filters.abs().max() > 0.9 * largest
    assert filters.diff(dim=1).abs().max() <= 2 * largest / 31


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="time_mask"):
        AugmentSettings.model_validate({"time_mask": 3})


def clip_set() -> ClipSet:
    """Five clips of 40 frames, the last one of 25."""
    waveforms = np.random.default_rng(0).integers(-3000, 3000, (5, 12_800)).astype(np.int16)
    names = tuple(f"{number}.flac" for number in range(5))
    return ClipSet(waveforms, names, ((),) * 5, ("Cat", "Dog"), np.array([12_800] * 4 + [8_000]), "")


def test_every_clip_comes_once_an_epoch_in_a_new_order() -> None:
    maker = BatchMaker(clip_set(), NONE, batch_size=2, seed=3)
    epochs = [
        [*maker.clips_of(step).tolist(), *maker.clips_of(step + 1).tolist()] for step in range(0, 40, 2)
    ]
    assert all(len(set(epoch)) == 4 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 10
    assert set().union(*epochs) == set(range(5))


def test_a_batch_is_made_again_from_its_step_alone() -> None:
    settings = AugmentSettings()
    first = BatchMaker(clip_set(), settings, batch_size=3, seed=3)
    first.batch(0)
    again = BatchMaker(clip_set(), settings, batch_size=3, seed=3)
    assert torch.equal(first.batch(5).log_mel, again.batch(5).log_mel)
    assert not torch.equal(first.batch(5).log_mel, first.batch(6).log_mel)
    other = BatchMaker(clip_set(), settings, batch_size=3, seed=4)
    assert not torch.equal(first.batch(5).log_mel, other.batch(5).log_mel)


def test_a_batch_knows_what_is_padding() -> None:
    batch = BatchMaker(clip_set(), NONE, batch_size=5, seed=0).batch(0)
    assert batch.log_mel.shape == (5, 40, 128)
    assert sorted(batch.frame_valid.sum(1).tolist()) == [25, 40, 40, 40, 40]
    assert batch.active.shape == (5, 40, 2)
    assert batch.active.dtype == torch.float32
