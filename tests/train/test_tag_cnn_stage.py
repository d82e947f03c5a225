"""The stage of the tag-conditioned CNN: its tags are what the settings say, and it learns from all three sets."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from edge_app.core.bundle import file_sha256
from edge_app.core.errors import SedgeError
from tests.models import tiny_member
from tests.train.noise_clips import LABELS, noise_batch, noise_clips
from train.fitting.augment import AugmentSettings
from train.fitting.batches import Batch, BatchMaker
from train.fitting.checkpoint import load_model, save_model
from train.fitting.loop_settings import BatchSettings, LoopSettings
from train.fitting.losses import frame_loss
from train.fitting.randomness import step_generator
from train.fitting.schedule import ScheduleSettings
from train.measuring.scoring import frame_f1, mlfl_scores, tag_cnn_scores
from train.models.mlfl import MLFL, pool_tag_logit, trailing_tag_logit
from train.models.tag_cnn import TAG_LOGIT_LIMIT, TagCNN, TagCNNConfig
from train.stages.tag_cnn import (
    SetWeights,
    TagCNNSettings,
    condition_tags,
    development_quality,
    tag_cnn_loss_terms,
    train_tag_cnn,
)

N_LABELS, N_FRAMES = 3, 110
SETS = ("synthetic", "synthetic", "weak", "weak", "unlabelled", "unlabelled")
LOOP = LoopSettings(
    steps=3,
    checkpoint_steps=2,
    batch=BatchSettings(synthetic=2),
    schedule=ScheduleSettings(warmup_steps=1),
    precision="float32",
    threads=1,
    device="cpu",
)
TINY = TagCNNConfig(N_LABELS, channels=(4,) * 9, row_channels=(8, 8))


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mlfl() -> MLFL:
    return tiny_member(N_LABELS, seed=2)[0]


@pytest.fixture(scope="module")
def mlfl_path(mlfl, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mlfl") / "model.safetensors"
    save_model(path, "mlfl", mlfl, LABELS, {"seed": 2})
    return path


@pytest.fixture
def batch() -> Batch:
    """Six clips; in the first, a label from frame 40 to 60; the weak ones have a tag without an event."""
    noise = noise_batch(SETS, N_FRAMES, N_LABELS)
    active = noise.active.clone()
    active[0] = 0
    active[0, 40:60, 1] = 1
    active[2:4, :, 0] = 0
    tags = active.amax(1)
    tags[2:4, 0] = 1
    return replace(noise, active=active, tags=tags)


def tags_of(mlfl: MLFL, batch: Batch, seed: int = 0, **chosen: float | str) -> Tensor:
    settings = TagCNNSettings.model_validate({"logit_noise": 0.0, **chosen})
    with torch.no_grad():
        return condition_tags(mlfl, batch, settings, generator(seed))


def test_every_frame_of_every_clip_has_tags_within_the_clamp(mlfl, batch) -> None:
    limits = torch.sigmoid(torch.tensor([-TAG_LOGIT_LIMIT, TAG_LOGIT_LIMIT]))
    for noise in (1.0, 1000.0):
        tags = tags_of(mlfl, batch, logit_noise=noise)
        assert tags.shape == (6, N_FRAMES, N_LABELS)
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


def test_true_tags_of_whole_clips_are_the_given_ones(mlfl, batch) -> None:
    tags = tags_of(mlfl, batch, truth_share=1, trailing_share=0)
    expected = torch.sigmoid(3 * (2 * batch.tags - 1))
    torch.testing.assert_close(tags, expected[:, None].expand_as(tags))
    assert (tags[2:4, :, 0] > 0.9).all()


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
    log_mel, active, tags, valid = (
        rows[:1].repeat(100, *[1] * (rows.ndim - 1))
        for rows in (batch.log_mel, batch.active, batch.tags, batch.frame_valid)
    )
    many = Batch(log_mel, active, tags, valid, ("synthetic",) * 100)
    mixed = tags_of(mlfl, many, truth_share=0.3, trailing_share=0)
    truth = tags_of(mlfl, many, truth_share=1, trailing_share=0)
    share = (mixed == truth).all(2).all(1).float().mean()
    assert share.item() == pytest.approx(0.3, abs=0.15)
    noisy = tags_of(mlfl, many, truth_share=1, trailing_share=0, logit_noise=1.0)
    assert torch.equal(noisy, noisy[:, :1].expand_as(noisy))
    assert torch.logit(noisy[:, 0, 1]).std().item() == pytest.approx(1, abs=0.3)


def test_the_generator_decides(mlfl, batch) -> None:
    assert torch.equal(tags_of(mlfl, batch, logit_noise=1.0), tags_of(mlfl, batch, logit_noise=1.0))
    assert not torch.equal(
        tags_of(mlfl, batch, logit_noise=1.0), tags_of(mlfl, batch, seed=1, logit_noise=1.0)
    )


def test_pitfall_tags_from_labels_are_any_over_time_of_the_mixed_targets(mlfl) -> None:
    """As published: superposed clips have the union of both clips' events, and longer ones their later half too."""
    clips = noise_clips({"synthetic": 4})
    augment = AugmentSettings(superpose=1.0, superpose_frames=60)
    loop = LOOP.model_copy(update={"batch": BatchSettings(synthetic=4)})
    mixed = BatchMaker(clips, augment, loop).batch(0)
    assert (mixed.active.amax(1).sum(1) > 1).any()
    tags = tags_of(mlfl, mixed, tags="labels")
    assert tags.shape == mixed.active.shape
    for clip in range(4):
        for label in range(N_LABELS):
            expected = float(
                any(mixed.active[clip, frame, label] > 0 for frame in range(len(mixed.active[clip])))
            )
            assert (tags[clip, :, label] == expected).all()


def test_pitfall_a_weak_tag_without_an_event_is_no_input_tag(mlfl, batch) -> None:
    tags = tags_of(mlfl, batch, tags="labels", logit_noise=1.0, trailing_share=1.0)
    assert not tags[2:4, :, 0].any()
    assert torch.equal(tags[:, 0], batch.active.amax(1))


def test_the_loss_is_the_mean_over_clips_of_all_sets(mlfl, batch) -> None:
    model = tiny_member(N_LABELS, seed=5)[1]
    with torch.no_grad():
        tags = tags_of(mlfl, batch)
        terms = tag_cnn_loss_terms(model, batch, tags, TagCNNSettings())
        logit = model(batch.log_mel, tags, batch.frame_valid)
    assert list(terms) == ["frame_synthetic", "frame_weak", "frame_unlabelled"]
    whole = frame_loss(logit, batch.active, batch.frame_valid)
    torch.testing.assert_close(sum(terms.values()), whole)
    weights = SetWeights(synthetic=2.0, weak=0.0, unlabelled=0.5)
    with torch.no_grad():
        weighted = tag_cnn_loss_terms(model, batch, tags, TagCNNSettings(weights=weights))
    torch.testing.assert_close(weighted["frame_synthetic"], 2 * terms["frame_synthetic"])
    torch.testing.assert_close(weighted["frame_unlabelled"], 0.5 * terms["frame_unlabelled"])
    assert weighted["frame_weak"] == 0


def test_pitfall_checkpoints_are_chosen_with_mlfls_tags_and_the_true_ones_logged_beside(mlfl) -> None:
    clips = noise_clips({"synthetic": 1, "development": 3})
    model, indices = tiny_member(N_LABELS, seed=6)[1], np.arange(1, 4)
    chosen = {
        name: development_quality(clips, mlfl, TagCNNSettings(quality_tags=name))(model)  # type: ignore[misc]
        for name in ("mlfl", "true")
    }
    assert list(chosen["mlfl"]) == ["frame_f1_mlfl_tags", "frame_f1_true_tags"]
    assert list(chosen["true"]) == ["frame_f1_true_tags", "frame_f1_mlfl_tags"]
    assert chosen["mlfl"] == chosen["true"]
    tags = {
        "mlfl": mlfl_scores(mlfl, clips, indices).tags,
        "true": clips.tags()[indices].astype(np.float32),
    }
    for name, given in tags.items():
        rows = tag_cnn_scores(model, clips, indices, given, "soft", "soft")
        assert chosen["mlfl"][f"frame_f1_{name}_tags"] == frame_f1(clips, indices, rows)
    # what is not tagged cannot be a false alarm
    assert chosen["mlfl"]["frame_f1_true_tags"] > chosen["mlfl"]["frame_f1_mlfl_tags"]


def test_nothing_is_measured_without_development_clips(mlfl) -> None:
    assert development_quality(noise_clips({"synthetic": 2}), mlfl, TagCNNSettings()) is None


def run(mlfl_path: Path, folder: Path, counts: dict[str, int], **loop: object) -> Path:
    settings = LOOP.model_copy(update=loop)
    clips = noise_clips(counts, seconds=0.6)
    augment = AugmentSettings(superpose_frames=36)
    return train_tag_cnn(clips, mlfl_path, folder, TINY, TagCNNSettings(), augment, settings)


def test_the_stage_runs_on_synthetic_clips_alone_and_repeats_itself(mlfl_path, tmp_path) -> None:
    paths = [run(mlfl_path, tmp_path / name / "tag_cnn" / "0", {"synthetic": 3}) for name in ("one", "two")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    tag_cnn, about = load_model(paths[0], "tag_cnn")
    assert (about["event_labels"], about["steps"]) == (list(LABELS), 3)
    assert about["mlfl"] == {"sha256": file_sha256(mlfl_path), **load_model(mlfl_path, "mlfl")[1]}
    assert all(torch.isfinite(tensor).all() for tensor in tag_cnn.state_dict().values())
    # statistics of noise at a hundredth of full scale, not the zeros and ones of the start
    assert (tag_cnn.state_dict()["input_norm.mean"].abs() > 0.1).any()


def test_the_stage_draws_from_all_sets_and_logs_its_quality(mlfl_path, tmp_path) -> None:
    counts = {"synthetic": 3, "weak": 2, "unlabelled": 2, "development": 2}
    sizes = BatchSettings(synthetic=2, weak=1, unlabelled=1)
    path = run(mlfl_path, tmp_path / "0", counts, batch=sizes, validation_steps=2)
    lines = [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]
    assert {"frame_synthetic", "frame_weak", "frame_unlabelled"} <= lines[-1].keys()
    assert list(lines[-1]["quality"]) == ["frame_f1_mlfl_tags", "frame_f1_true_tags"]


def test_a_run_does_not_go_on_with_another_mlfl(mlfl_path, tmp_path) -> None:
    other = tmp_path / "other" / "model.safetensors"
    mlfl, about = load_model(mlfl_path, "mlfl")
    mlfl.state_dict()["tagger.bias"].add_(1)
    save_model(other, "mlfl", mlfl, LABELS, about)
    run(mlfl_path, tmp_path / "0", {"synthetic": 2})
    with pytest.raises(
        SedgeError, match=r"state\.safetensors: expected a run with the same data and settings"
    ):
        run(other, tmp_path / "0", {"synthetic": 2})


def test_mlfl_of_other_labels_is_refused(tmp_path) -> None:
    path = tmp_path / "mlfl" / "model.safetensors"
    save_model(path, "mlfl", tiny_member(N_LABELS, 0)[0], ("Cat", "Dog", "Kettle"), {})
    with pytest.raises(
        SedgeError, match=r"event_labels: expected those of the clips, .*'Speech'.*found .*'Kettle'"
    ):
        run(path, tmp_path / "0", {"synthetic": 2})


def test_a_tag_cnn_is_no_mlfl(tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, "tag_cnn", tiny_member(N_LABELS, 0)[1], LABELS, {})
    with pytest.raises(SedgeError, match="model: expected mlfl, found tag_cnn"):
        run(path, tmp_path / "0", {"synthetic": 2})


def test_a_batch_that_fits_the_model_is_learnt(mlfl) -> None:
    torch.manual_seed(0)
    clips = noise_clips({"synthetic": 2}, seconds=0.6)
    quiet = AugmentSettings(
        gain_log_std=0, superpose=0, warp_log_std=0, mel_mask_bands=0, noise_std=0, filter_db=0
    )
    batches = BatchMaker(clips, quiet, LOOP)
    model = TagCNN(TINY)
    model.input_norm.set_statistics(*batches.mel_statistics())
    batch, optimiser = batches.batch(0), torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(40):
        with torch.no_grad():
            tags = condition_tags(mlfl, batch, TagCNNSettings(), step_generator(0, step))
        loss = tag_cnn_loss_terms(model, batch, tags, TagCNNSettings())["frame_synthetic"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]
