"""Features on the training device: those of the device, to rounding."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from edge_app.core.logmel import log_mel
from train.data.clips import FULL_SCALE, ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.batches import BatchMaker
from train.fitting.features import LogMel
from train.fitting.loop_settings import LoopSettings
from train.models.layers import InputNormalisation, ValidBatchNorm1d
from train.models.tag_cnn import TagCNN, TagCNNConfig

REPOSITORY = Path(__file__).resolve().parents[2]
BANK = REPOSITORY / "tests" / "data" / "bank"
RECORDINGS = (
    *sorted(BANK.glob("foreground/*/*.flac")),
    *sorted(BANK.glob("background/*.flac")),
    REPOSITORY / "edge_app" / "demo" / "soundscape.flac",
)


def both(path: Path, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Features of (at most 20 s of) a recording by NumPy and by torch."""
    waveform, _ = soundfile.read(path, dtype=dtype, frames=320_000)
    features = LogMel(dtype=getattr(torch, dtype))
    return log_mel(waveform), features(torch.from_numpy(waveform)[None])[0].numpy()


@pytest.mark.parametrize("path", RECORDINGS[::4] + RECORDINGS[-1:], ids=lambda path: path.stem)
def test_torch_equals_numpy_in_float64(path) -> None:
    numpy_frames, torch_frames = both(path, "float64")
    assert torch_frames.shape == numpy_frames.shape
    np.testing.assert_allclose(torch_frames, numpy_frames, rtol=0, atol=1e-4)


def test_torch_is_close_to_numpy_in_float32() -> None:
    # over all of them: next to the pure tones of alarms, bands are 100 dB down and rounding shows more
    pairs = [both(path, "float32") for path in RECORDINGS]
    difference = np.concatenate([np.abs(ours - theirs).ravel() for ours, theirs in pairs])
    assert np.quantile(difference, 0.99) < 1e-4
    assert difference.max() < 1e-2


@pytest.mark.parametrize("n_samples", [0, 1, 319, 320, 639, 640, 1000, 3201])
def test_short_signals_have_as_many_frames(n_samples) -> None:
    waveform = np.random.default_rng(3).normal(0, 0.1, n_samples)
    frames = LogMel(dtype=torch.float64)(torch.from_numpy(waveform)[None])[0].numpy()
    assert frames.shape == (n_samples // 320, 128)
    np.testing.assert_allclose(frames, log_mel(waveform), rtol=0, atol=1e-4)


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    waveforms = torch.randn(3, 4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features = LogMel(dtype=torch.float64)
    alone = torch.cat([features(waveform[None]) for waveform in waveforms])
    torch.testing.assert_close(features(waveforms), alone, rtol=0, atol=1e-9)


def test_padding_is_silence() -> None:
    frames = LogMel()(torch.zeros(1, 3200))
    assert (frames == float(np.float32(np.log(1e-12)))).all()


def clip_set(n_samples: tuple[int, ...], length: int) -> ClipSet:
    """Noise of the given lengths, then garbage where there should be padding."""
    rng = np.random.default_rng(5)
    waveforms = rng.integers(-8000, 8000, (len(n_samples), length)).astype(np.int16)
    for row, samples in zip(waveforms, n_samples, strict=True):
        row[samples:] = rng.choice([-30_000, 30_000], length - samples)
    names = tuple(f"{number}.flac" for number in range(len(n_samples)))
    count = len(n_samples)
    sets, nothing = ("synthetic",) * count, ((),) * count
    return ClipSet(waveforms, names, sets, nothing, (None,) * count, ("Cat",), np.array(n_samples), "")


def test_statistics_of_the_training_set_ignore_padding() -> None:
    clips = clip_set((6400, 3200, 9600), 9600)
    frames = []
    for row, samples in zip(clips.waveforms, clips.n_samples, strict=True):
        whole = log_mel(row.astype(np.float64) / FULL_SCALE)
        frames.append(whole[: samples // 320])
    expected = np.concatenate(frames)
    mean, variance = BatchMaker(clips, AugmentSettings(), LoopSettings(device="cpu")).mel_statistics()
    np.testing.assert_allclose(mean.numpy(), expected.mean(0), rtol=1e-4)
    np.testing.assert_allclose(variance.numpy(), expected.var(0), rtol=1e-3)


def test_statistics_of_the_input_freeze_and_travel_with_the_checkpoint() -> None:
    tag_cnn = TagCNN(TagCNNConfig(3, channels=(4,) * 9, row_channels=(4, 4)))
    mean, variance = torch.randn(128), torch.rand(128) + 0.5
    tag_cnn.input_norm.set_statistics(mean, variance)
    tag_cnn.train()(torch.randn(2, 20, 128), torch.rand(2, 20, 3), torch.ones(2, 20))
    assert torch.equal(tag_cnn.input_norm.mean, mean)
    other = TagCNN(TagCNNConfig(3, channels=(4,) * 9, row_channels=(4, 4)))
    other.load_state_dict(tag_cnn.state_dict())
    assert torch.equal(other.input_norm.variance, variance)
    assert not list(InputNormalisation(128).parameters())


def test_batch_statistics_of_the_input_ignore_padding() -> None:
    torch.manual_seed(0)
    norm, reference = (
        ValidBatchNorm1d(64, eps=1e-3, momentum=0.01),
        nn.BatchNorm1d(64, eps=1e-3, momentum=0.01),
    )
    rows, valid = torch.randn(3, 20, 64) * 3 - 10, torch.ones(3, 20)
    valid[0, 8:] = 0
    kept = rows[valid.bool()]
    garbage = torch.where(valid[:, :, None].bool(), rows, 1e4)
    found, expected = norm.train()(garbage, valid), reference.train()(kept)
    torch.testing.assert_close(found[valid.bool()], expected, rtol=1e-4, atol=1e-4)
    assert (found[~valid.bool()] == 0).all()
    torch.testing.assert_close(norm.state_dict(), reference.state_dict())
    torch.testing.assert_close(norm.eval()(rows, valid)[valid.bool()], reference.eval()(kept))
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    norm(rows, valid)
    torch.testing.assert_close(dict(norm.state_dict()), before, rtol=0, atol=0)
