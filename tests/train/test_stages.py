"""The stages: tags that condition are what the settings say, and each stage ends in a checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from edge_app.core.bundle import file_sha256
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from tests.models import tiny_member
from train.augment import AugmentSettings
from train.batches import Batch
from train.checkpoint import load_model, save_model
from train.data.clips import ClipSet
from train.loop import LoopSettings
from train.losses import clip_loss, focal_loss
from train.models.mlfl import MLFL, MLFLConfig, pool_tag_logit, trailing_tag_logit
from train.models.tag_cnn import TAG_LOGIT_LIMIT, TagCNNConfig
from train.stages.mlfl import MLFLSettings, mlfl_loss_terms, trailing_tags, train_mlfl
from train.stages.tag_cnn import TagCNNSettings, condition_tags, train_tag_cnn

N_LABELS, N_FRAMES = 3, 110
LABELS = ("Cat", "Dog", "Speech")
LOOP = LoopSettings(steps=3, checkpoint_steps=2, batch_size=2, warmup_steps=1, threads=1)


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mlfl() -> MLFL:
    return tiny_member(N_LABELS, seed=2)[0]


@pytest.fixture
def batch() -> Batch:
    """Six clips; in the first, a label from frame 40 to 60; the last one is padded from frame 50 on."""
    log_mel = torch.randn(6, N_FRAMES, 128, generator=generator()) * 3 - 10
    active = (torch.rand(6, N_FRAMES, N_LABELS, generator=generator(1)) < 0.01).float()
    active[0] = 0
    active[0, 40:60, 1] = 1
    valid = torch.ones(6, N_FRAMES)
    valid[-1, 50:] = 0
    return Batch(log_mel, active * valid[:, :, None], valid)


def tags_of(mlfl: MLFL, batch: Batch, seed: int = 0, **chosen: float) -> Tensor:
    with torch.no_grad():
        return condition_tags(mlfl, batch, TagCNNSettings(**{"logit_noise": 0.0, **chosen}), generator(seed))


def test_every_frame_of_every_clip_has_tags_within_the_clamp(mlfl, batch) -> None:
    for noise in (1.0, 1000.0):
        tags = tags_of(mlfl, batch, logit_noise=noise)
        assert tags.shape == (6, N_FRAMES, N_LABELS)
        limits = torch.sigmoid(torch.tensor([-TAG_LOGIT_LIMIT, TAG_LOGIT_LIMIT]))
        assert tags.min() >= limits[0]
        assert tags.max() <= limits[1]
    assert (tags.min(), tags.max()) == (limits[0], limits[1])


def test_mlfls_tags_of_whole_clips(mlfl, batch) -> None:
    tags = tags_of(mlfl, batch, truth_share=0, trailing_share=0)
    with torch.no_grad():
        output = mlfl(batch.log_mel, batch.frame_valid)
        expected = torch.sigmoid(pool_tag_logit(output.logit, output.evidence, batch.frame_valid))
    torch.testing.assert_close(tags, expected[:, None].expand_as(tags))


def test_mlfls_tags_as_they_grow_with_the_past(mlfl, batch) -> None:
    tags = tags_of(mlfl, batch, truth_share=0, trailing_share=1)
    with torch.no_grad():
        output = mlfl(batch.log_mel, batch.frame_valid)
        logit = trailing_tag_logit(output.logit, output.evidence, batch.frame_valid, 25, 7)
    torch.testing.assert_close(tags, torch.sigmoid(logit.clamp(-10, 10)))
    assert (tags[:, 0] != tags[:, 60]).any()
    assert torch.equal(tags[:, 25], tags[:, 49])


def test_true_tags_of_whole_clips(mlfl, batch) -> None:
    tags = tags_of(mlfl, batch, truth_share=1, trailing_share=0)
    expected = torch.sigmoid(3 * (2 * batch.tags - 1))
    torch.testing.assert_close(tags, expected[:, None].expand_as(tags))
    assert torch.equal(batch.tags[0], torch.tensor([0.0, 1, 0]))


def test_true_tags_as_they_come_with_the_past(mlfl, batch) -> None:
    tags = tags_of(mlfl, batch, truth_share=1, trailing_share=1)
    high, low = torch.sigmoid(torch.tensor([3.0, -3.0]))
    for clip in range(6):
        for frame in range(N_FRAMES):
            seen = batch.active[clip, : (frame // 25 + 1) * 25 + 7].amax(0)
            torch.testing.assert_close(tags[clip, frame], torch.where(seen > 0, high, low))
    # the event begins at frame 40: hop [25, 50) has seen it
    torch.testing.assert_close(tags[0, [24, 25, 109], 1], torch.stack([low, high, high]))


def test_shares_mix_clips_and_noise_is_one_for_each_clip_and_label(mlfl, batch) -> None:
    many = Batch(*(rows[:1].repeat(200, *[1] * (rows.ndim - 1)) for rows in (
        batch.log_mel, batch.active, batch.frame_valid
    )))  # fmt: skip
    mixed = tags_of(mlfl, many, truth_share=0.3, trailing_share=0)
    truth = tags_of(mlfl, many, truth_share=1, trailing_share=0)
    share = (mixed == truth).all(2).all(1).float().mean()
    assert share.item() == pytest.approx(0.3, abs=0.12)
    noisy = tags_of(mlfl, many, truth_share=1, trailing_share=0, logit_noise=1.0)
    assert torch.equal(noisy, noisy[:, :1].expand_as(noisy))
    assert torch.logit(noisy[:, 0, 1]).std().item() == pytest.approx(1, abs=0.2)


def test_the_generator_decides(mlfl, batch) -> None:
    assert torch.equal(tags_of(mlfl, batch, logit_noise=1.0), tags_of(mlfl, batch, logit_noise=1.0))
    assert not torch.equal(
        tags_of(mlfl, batch, logit_noise=1.0), tags_of(mlfl, batch, seed=1, logit_noise=1.0)
    )


def test_trailing_tags_stay_once_a_label_has_sounded(batch) -> None:
    seen = trailing_tags(batch.active)
    for frame in range(N_FRAMES):
        assert torch.equal(seen[:, frame], batch.active[:, : frame + 1].amax(1))


def test_mlfls_loss_is_the_weighted_sum_of_its_parts(mlfl, batch) -> None:
    settings = MLFLSettings(clip_weight=2.0, detection_weight=3.0, trailing_weight=0.5)
    with torch.no_grad():
        terms = mlfl_loss_terms(mlfl, batch, settings)
        output = mlfl(batch.log_mel, batch.frame_valid)
        tag_logit = pool_tag_logit(output.logit, output.evidence, batch.frame_valid)
    assert terms.keys() == {"clip", "detection", "trailing"}
    torch.testing.assert_close(terms["clip"], 2 * clip_loss(tag_logit, batch.tags))
    torch.testing.assert_close(terms["detection"], 3 * focal_loss(output.detection_logit, batch.active))
    hops = []
    for hop in range(0, N_FRAMES, 25):
        end = min(hop + 25 + 7, N_FRAMES)
        pooled = pool_tag_logit(output.logit[:, :end], output.evidence[:, :end], batch.frame_valid[:, :end])
        hops.append(clip_loss(pooled, batch.active[:, :end].amax(1)))
    torch.testing.assert_close(terms["trailing"], 0.5 * torch.stack(hops).mean())


def clip_set() -> ClipSet:
    """Four clips of 1 s with an event each; one of them has only 0.5 s of signal."""
    waveforms = np.random.default_rng(0).integers(-3000, 3000, (4, 16_000)).astype(np.int16)
    events = tuple((Event(0.1 * clip, 0.1 * clip + 0.2, LABELS[clip % 3]),) for clip in range(4))
    names = tuple(f"{clip}.flac" for clip in range(4))
    return ClipSet(waveforms, names, events, LABELS, np.array([16_000] * 3 + [8_000]), "clips")


def run_mlfl(folder: Path) -> Path:
    config = MLFLConfig(N_LABELS, channels=(8, 8, 8))
    return train_mlfl(clip_set(), folder, config, MLFLSettings(), AugmentSettings(), LOOP)


def run_tag_cnn(mlfl_path: Path, folder: Path) -> Path:
    config = TagCNNConfig(N_LABELS, channels=(4,) * 9, row_channels=(8, 8))
    return train_tag_cnn(clip_set(), mlfl_path, folder, config, TagCNNSettings(), AugmentSettings(), LOOP)


def test_both_stages_run_and_repeat_themselves(tmp_path) -> None:
    mlfl_paths = [run_mlfl(tmp_path / run / "mlfl" / "0") for run in ("one", "two")]
    paths = [run_tag_cnn(path, path.parents[2] / "tag_cnn" / "0") for path in mlfl_paths]
    for first, second in (mlfl_paths, paths):
        assert first.read_bytes() == second.read_bytes()
    mlfl, mlfl_about = load_model(mlfl_paths[0], "mlfl")
    tag_cnn, about = load_model(paths[0], "tag_cnn")
    assert (about["event_labels"], about["clips"], about["steps"]) == (list(LABELS), "clips", 3)
    assert about["mlfl"] == {"sha256": file_sha256(mlfl_paths[0]), **mlfl_about}
    for model in (mlfl, tag_cnn):
        assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    # statistics of noise at a tenth of full scale, not the zeros and ones of the start
    assert (tag_cnn.state_dict()["input_norm.mean"].abs() > 0.1).any()


def test_a_run_does_not_go_on_with_another_mlfl(tmp_path) -> None:
    path = run_mlfl(tmp_path / "mlfl" / "0")
    run_tag_cnn(path, tmp_path / "tag_cnn" / "0")
    mlfl, about = load_model(path, "mlfl")
    mlfl.state_dict()["tagger.bias"].add_(1)
    save_model(path, "mlfl", mlfl, LABELS, about)
    with pytest.raises(
        SedgeError, match=r"state\.safetensors: expected a run with the same data and settings"
    ):
        run_tag_cnn(path, tmp_path / "tag_cnn" / "0")


def test_mlfl_of_other_labels_is_refused(tmp_path) -> None:
    path = tmp_path / "mlfl" / "model.safetensors"
    save_model(path, "mlfl", tiny_member(N_LABELS, 0)[0], ("Cat", "Dog", "Kettle"), {})
    with pytest.raises(
        SedgeError, match=r"event_labels: expected those of the clips, .*'Speech'.*found .*'Kettle'"
    ):
        run_tag_cnn(path, tmp_path / "tag_cnn")


def test_a_tag_cnn_is_no_mlfl(tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, "tag_cnn", tiny_member(N_LABELS, 0)[1], LABELS, {})
    with pytest.raises(SedgeError, match="model: expected mlfl, found tag_cnn"):
        run_tag_cnn(path, tmp_path / "tag_cnn")
