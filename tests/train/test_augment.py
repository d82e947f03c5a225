"""Augmentation: what it may do, what it must not, and that it repeats itself."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from train.fitting.augment import (
    AugmentSettings,
    Sounds,
    augment_log_mel,
    augment_sounds,
    blur,
    mask,
    mel_warp,
    random_filter,
    superpose,
)

NONE = AugmentSettings(
    gain_log_std=0,
    superpose=0,
    warp_log_std=0,
    time_mask_frames=0,
    mel_mask_bands=0,
    noise_std=0,
    filter_db=0,
    superpose_frames=1,
)
ALWAYS = NONE.model_copy(update={"superpose": 1.0})
N_FRAMES, HOP_LENGTH, N_LABELS = 40, 320, 3


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def clips(count: int, n_frames: int = N_FRAMES, seed: int = 0) -> Sounds:
    """Clips of noise with random activities; the tags are those of the activities."""
    source = generator(seed)
    waveforms = torch.randn(count, n_frames * HOP_LENGTH, generator=source)
    active = (torch.rand(count, n_frames, N_LABELS, generator=source) < 0.2).float()
    return Sounds(waveforms, active, active.amax(1), (n_frames,) * count)


def whole(sounds: Sounds) -> list[slice]:
    return [slice(0, len(sounds.waveforms))]


def parts(sounds: Sounds) -> list[Tensor]:
    return [sounds.waveforms, sounds.active, sounds.tags, sounds.frame_valid()]


def spectrum(count: int = 4, n_frames: int = 60) -> Tensor:
    return torch.randn(count, n_frames, 128, generator=generator(7)) * 3 - 10


def valid(frames: Tensor) -> Tensor:
    return torch.ones(frames.shape[:2])


def test_settings_of_zero_change_nothing() -> None:
    sounds = clips(4)
    mixed = augment_sounds(sounds, NONE, whole(sounds), generator())
    assert all(torch.equal(one, other) for one, other in zip(parts(mixed), parts(sounds), strict=True))
    torch.testing.assert_close(
        augment_log_mel(spectrum(), valid(spectrum()), NONE, generator()), spectrum(), rtol=0, atol=1e-6
    )


def test_the_generator_decides_everything() -> None:
    sounds = clips(6)
    settings = AugmentSettings(time_mask_frames=20, superpose=0.7, superpose_frames=60, blur=0.5)

    def both(seed: int) -> list[Tensor]:
        source = generator(seed)
        mixed = augment_sounds(sounds, settings, whole(sounds), source)
        return [
            mixed.waveforms,
            mixed.active,
            augment_log_mel(spectrum(6), valid(spectrum(6)), settings, source),
        ]

    torch.manual_seed(1)
    first = both(3)
    torch.manual_seed(2)
    assert all(torch.equal(one, other) for one, other in zip(first, both(3), strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(first, both(4), strict=True))


def test_torchs_own_random_numbers_go_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    augment_log_mel(spectrum(), valid(spectrum()), AugmentSettings(time_mask_frames=9), generator())
    assert torch.equal(torch.rand(3), expected)


def test_input_is_left_as_it_was() -> None:
    sounds, frames = clips(4), spectrum()
    kept = [tensor.clone() for tensor in (*parts(sounds), frames)]
    for room in (1, 60):
        settings = AugmentSettings(superpose=1, superpose_frames=room)
        augment_sounds(sounds, settings, whole(sounds), generator())
    augment_log_mel(frames, valid(frames), AugmentSettings(time_mask_frames=10, blur=1.0), generator())
    assert all(torch.equal(one, other) for one, other in zip(kept, (*parts(sounds), frames), strict=True))


def moved(rows: Tensor, shift: int) -> Tensor:
    """Rows moved later by `shift`, one by one."""
    return torch.stack(
        [
            rows[t - shift] if 0 <= t - shift < len(rows) else torch.zeros_like(rows[0])
            for t in range(len(rows))
        ]
    )


def explain(clip: int, sounds: Sounds, mixed: Sounds) -> int:
    """The shift at which one other clip explains what was added; fails where none does."""
    n_frames = sounds.active.shape[1]
    added = mixed.waveforms[clip] - sounds.waveforms[clip]
    for other in range(len(sounds.waveforms)):
        for shift in range(-n_frames, n_frames + 1):
            start = max(0, shift) * HOP_LENGTH
            source = max(0, -shift) * HOP_LENGTH
            length = (n_frames - abs(shift)) * HOP_LENGTH
            piece, whole_other = added[start : start + length], sounds.waveforms[other]
            if (
                other != clip
                and length
                and torch.allclose(piece[:40], whole_other[source : source + length][:40], atol=1e-5)
            ):
                expected = torch.zeros_like(added)
                expected[start : start + length] = whole_other[source : source + length]
                torch.testing.assert_close(added, expected, rtol=0, atol=1e-5)
                both = torch.maximum(sounds.active[clip], moved(sounds.active[other], shift))
                assert torch.equal(mixed.active[clip], both)
                assert torch.equal(mixed.tags[clip], torch.maximum(sounds.tags[clip], sounds.tags[other]))
                return shift
    raise AssertionError(f"clip {clip}: nothing explains what was added")


@pytest.mark.parametrize("n_frames", [40, 41])
def test_superposition_adds_signals_unites_labels_and_keeps_half_of_the_partner(n_frames) -> None:
    shifts = []
    for seed in range(12):
        sounds = clips(4, n_frames, seed)
        mixed = superpose(sounds, ALWAYS, whole(sounds), generator(seed))
        assert mixed.waveforms.shape == sounds.waveforms.shape
        shifts += [explain(clip, sounds, mixed) for clip in range(4)]
    assert max(abs(shift) for shift in shifts) <= n_frames / 2
    assert min(shifts) < -n_frames / 4
    assert max(shifts) > n_frames / 4


def placed(sounds: Sounds, clip: int, start: int, length: int) -> Tensor:
    """One clip's waveform from frame `start` on in `length` frames."""
    room = torch.zeros(length * HOP_LENGTH)
    room[start * HOP_LENGTH : start * HOP_LENGTH + sounds.waveforms.shape[1]] = sounds.waveforms[clip]
    return room


@pytest.mark.parametrize("longest", [50, 60])
def test_pitfall_superposition_sums_unites_keeps_half_and_is_never_longer_than_set(longest) -> None:
    settings = ALWAYS.model_copy(update={"superpose_frames": longest})
    lengths = set()
    for seed in range(20):
        sounds = clips(2, 40, seed)
        mixed = superpose(sounds, settings, whole(sounds), generator(seed))
        assert mixed.waveforms.shape[1] == longest * HOP_LENGTH
        for clip in range(2):
            length = mixed.n_frames[clip]
            lengths.add(length)
            assert torch.equal(mixed.frame_valid()[clip], (torch.arange(longest) < length).float())
            assert 40 <= length <= longest, "two clips of 40 frames, half of the second over the first"
            first, second = sounds.active[clip].any(0), sounds.active[1 - clip].any(0)
            assert torch.equal(mixed.tags[clip] > 0, first | second)
            if length < longest:  # nothing was cut off
                shift = length - 40
                sums = [
                    placed(sounds, clip, a, longest) + placed(sounds, 1 - clip, b, longest)
                    for a, b in ((0, shift), (shift, 0))
                ]
                assert any(torch.allclose(mixed.waveforms[clip], one, atol=1e-5) for one in sums)
    assert len(lengths) > 5
    assert max(lengths) == longest


def test_superposition_stays_within_a_set() -> None:
    sounds = clips(6)
    mixed = superpose(sounds, ALWAYS, [slice(0, 2), slice(2, 5), slice(5, 6)], generator())
    added = mixed.tags
    for rows in (slice(0, 2), slice(2, 5)):
        assert (added[rows] <= sounds.tags[rows].amax(0)).all()
    assert torch.equal(mixed.waveforms[5], sounds.waveforms[5]), "alone in its set"


def test_given_tags_without_events_are_united_too() -> None:
    sounds = clips(2)
    silent = torch.zeros_like(sounds.active)
    given = Sounds(sounds.waveforms, silent, torch.tensor([[1.0, 0, 0], [0, 0, 1]]), sounds.n_frames)
    mixed = superpose(given, ALWAYS, whole(given), generator())
    assert torch.equal(mixed.tags, torch.tensor([[1.0, 0, 1], [1, 0, 1]]))


def test_superposition_takes_its_share_of_the_clips() -> None:
    sounds = clips(400, n_frames=2)
    mixed = superpose(sounds, NONE.model_copy(update={"superpose": 0.35}), whole(sounds), generator())
    share = (mixed.waveforms != sounds.waveforms).any(1).float().mean().item()
    assert share == pytest.approx(0.35, abs=0.07)


def test_gain_scales_a_clip_within_three_deviations() -> None:
    sounds = clips(300, n_frames=1)
    settings = NONE.model_copy(update={"gain_log_std": 0.6})
    ratio = augment_sounds(sounds, settings, whole(sounds), generator()).waveforms / sounds.waveforms
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4, atol=0)
    log_gain = ratio[:, 0].log()
    assert log_gain.abs().max() <= 0.6 * 3 + 1e-4
    assert log_gain.std().item() == pytest.approx(0.6, abs=0.1)


def test_warp_without_stretch_is_the_identity() -> None:
    torch.testing.assert_close(
        mel_warp(spectrum(), torch.ones(4), torch.full((4,), 0.4)), spectrum(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("turn", [0.3, 0.9, 1.5])
@pytest.mark.parametrize("stretch", [0.8, 0.93, 1.1, 1.3])
def test_warp_interpolates_between_bands(stretch, turn) -> None:
    frames = spectrum(1, 3)
    found = mel_warp(frames, torch.tensor([stretch]), torch.tensor([turn]))[0].numpy()
    position = np.minimum(np.arange(128) * stretch, 127)
    if turn < 1:  # straight from the origin to the turn, and from there to the end
        knee = turn * 127 / max(1.0, stretch)
        position = np.interp(np.arange(128), [0, knee, 127], [0, knee * stretch, 127])
    for row, warped in zip(frames[0].numpy(), found, strict=True):
        np.testing.assert_allclose(warped, np.interp(position, np.arange(128), row), rtol=0, atol=1e-3)


def longest_run(row: Tensor) -> int:
    text = "".join("x" if masked else " " for masked in row.tolist())
    assert len(text.split()) <= 1, "a mask is one stretch"
    return len(text.strip())


@pytest.mark.parametrize(("longest", "widest"), [(0, 0), (1, 0), (16, 15), (200, 24)])
def test_masks_are_one_stretch_no_wider_than_set_or_a_fifth(longest, widest) -> None:
    frames = spectrum(300, 4)
    torch.manual_seed(0)
    masks = ((mask(frames, valid(frames), 0, longest) - frames).abs() > 1e-4).any(1)
    widths = [longest_run(row) for row in masks]
    assert max(widths) == widest
    if longest == 16:
        assert masks[:, :-1].any(0).all(), "every place is masked at times; torchaudio rounds down at the end"


def test_masks_fill_with_the_clips_mean_in_each_band() -> None:
    settings = NONE.model_copy(update={"mel_mask_bands": 16, "time_mask_frames": 9})
    frames, part = spectrum(), valid(spectrum())
    frames[0, 30:], part[0, 30:] = -27.6, 0
    found = augment_log_mel(frames, part, settings, generator(1))
    for clip, masked in enumerate(found):
        changed = (frames[clip] - masked).abs() > 1e-3
        assert changed.any()
        mean = frames[clip][part[clip] > 0].mean(0).expand_as(masked)
        torch.testing.assert_close(masked[changed], mean[changed], rtol=0, atol=1e-3)
        assert changed.all(0).sum() <= 16
        assert changed.all(1).sum() <= 9


def test_no_time_is_masked_unless_asked_for() -> None:
    assert AugmentSettings().time_mask_frames == 0
    settings = AugmentSettings().model_copy(update={"warp_log_std": 0, "noise_std": 0, "filter_db": 0})
    found = augment_log_mel(spectrum(50), valid(spectrum(50)), settings, generator())
    changed = (found - spectrum(50)).abs() > 1e-3
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


@pytest.mark.parametrize("width", [0.1, 0.6, 3.0])
def test_blur_is_a_gaussian_of_five_by_five(width) -> None:
    frames = spectrum(2, 12)
    found = blur(frames, torch.tensor([width, 0.1]))
    kernel = np.exp(-0.5 * (np.arange(-2, 3) / width) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(frames[0].numpy(), 2, mode="edge")
    for frame in (0, 5, 11):
        for band in (0, 64, 127):
            expected = kernel @ padded[frame : frame + 5, band : band + 5] @ kernel
            assert found[0, frame, band].item() == pytest.approx(expected, abs=1e-4)
    torch.testing.assert_close(found[1], frames[1], rtol=0, atol=1e-4)


def test_pitfall_published_tag_cnn_has_no_time_mask_and_nothing_is_random_without_augmentation() -> None:
    published = AugmentSettings(
        gain_log_std=1, superpose=0.5, superpose_frames=600, warp_log_std=0.08, blur=0.5, mel_mask_bands=20
    )
    assert published.time_mask_frames == 0
    twice = [augment_log_mel(spectrum(), valid(spectrum()), NONE, generator(seed)) for seed in (1, 2)]
    assert torch.equal(*twice)


@pytest.mark.parametrize(("length", "other"), [(40, 40), (40, 10), (11, 40), (25, 40), (40, 7)])
def test_pitfall_half_of_a_short_clip_lies_over_the_first(length, other) -> None:
    settings, overlaps = ALWAYS.model_copy(update={"superpose_frames": 100}), []
    for seed in range(40):
        sounds = clips(2, 40, seed)
        short = Sounds(sounds.waveforms, sounds.active, sounds.tags, (length, other))
        mixed = superpose(short, settings, whole(sounds), generator(seed))
        overlaps.append(length + other - mixed.n_frames[0])
    if length >= other / 2:
        assert min(overlaps) >= other // 2 - (other % 2)
    assert max(mixed.n_frames) <= 100
