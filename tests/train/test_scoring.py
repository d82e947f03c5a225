"""Scores of whole clips: those of the fused graph, the same in any batch, and nothing in padding."""

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from export.fuse import FusedMember
from tests.models import stir, tiny_member
from tests.train.noise_clips import LABELS, noise_clips
from train.fitting.batches import feature_batches
from train.measuring.scoring import (
    Trailing,
    baseline_scores,
    by_file,
    frame_f1,
    mlfl_scores,
    tag_cnn_scores,
    tag_scores,
)
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig
from train.models.mlfl import pool_tag_logit
from train.models.tag_cnn import TAG_LOGIT_LIMIT

CLIPS = noise_clips({"synthetic": 3, "weak": 2, "validation": 4}, seconds=1.5)
ALL = np.arange(9)


@pytest.fixture(scope="module")
def member():
    return tiny_member(len(LABELS), seed=3)


@pytest.fixture(scope="module")
def baseline() -> BaselineCRNN:
    torch.manual_seed(0)
    return stir(BaselineCRNN(BaselineCRNNConfig(len(LABELS), channels=(4,) * 7, gru_width=8)), 1)  # type: ignore[return-value]


@torch.no_grad()
def fused_scores(member, clip: int, gate: Literal["none", "soft"]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and tags of one clip without its padding, by the module that is exported."""
    n_frames = CLIPS.n_samples[clip] // 320
    batch = next(feature_batches(CLIPS, np.array([clip]), 1, torch.device("cpu")))
    frames, ones = batch.log_mel[:, :n_frames], torch.ones(1, n_frames)
    nothing = torch.zeros(1, 0, len(LABELS))
    scores, tags, *_ = FusedMember(member[0], member[1], gate)(frames, ones, ones, nothing, nothing)
    return scores[0].numpy(), tags[0].numpy()


@pytest.mark.parametrize("gate", ["none", "soft"])
def test_a_members_scores_are_those_of_the_exported_graph(member, gate) -> None:
    tags = mlfl_scores(member[0], CLIPS, ALL).tags
    scores = by_file(CLIPS, ALL[5:], tag_cnn_scores(member[1], CLIPS, ALL, tags, gate=gate)[5:])
    for clip, found in zip(ALL[5:], scores.values(), strict=True):
        expected, expected_tags = fused_scores(member, clip, gate)
        np.testing.assert_allclose(tags[clip], expected_tags, atol=1e-5)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@torch.no_grad()
def test_mlfls_scores_are_sigmoids_of_its_outputs(member) -> None:
    found = mlfl_scores(member[0], CLIPS, ALL, batch_size=4)
    batch = next(feature_batches(CLIPS, ALL, 9, torch.device("cpu")))
    output = member[0](batch.log_mel, batch.frame_valid)
    valid = batch.frame_valid[:, :, None]
    for rows, logit in ((found.scores, output.frame_logit), (found.detection, output.detection_logit)):
        np.testing.assert_allclose(rows, (torch.sigmoid(logit) * valid).numpy(), atol=1e-5)
    assert found.trailing is None
    assert not found.scores[8, 37:].any()


@torch.no_grad()
def test_trailing_tags_pool_the_past_alone(member) -> None:
    found = mlfl_scores(member[0], CLIPS, ALL, trailing=Trailing(hop=25, ahead=7)).trailing
    batch = next(feature_batches(CLIPS, ALL, 9, torch.device("cpu")))
    output = member[0](batch.log_mel, batch.frame_valid)
    assert found is not None
    for frame in (0, 24, 25, 74):
        end = min((frame // 25 + 1) * 25 + 7, 75)
        pooled = pool_tag_logit(output.logit[:, :end], output.evidence[:, :end], batch.frame_valid[:, :end])
        expected = tag_scores(pooled) * batch.frame_valid[:, frame, None]
        np.testing.assert_allclose(found[:, frame], expected.numpy(), atol=1e-5)


def test_tags_are_clamped_as_in_training_and_the_graph() -> None:
    found = tag_scores(torch.tensor([-50.0, 0, 50]))
    torch.testing.assert_close(found, torch.sigmoid(torch.tensor([-TAG_LOGIT_LIMIT, 0, TAG_LOGIT_LIMIT])))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_batch_does_not_matter(member, baseline, batch_size) -> None:
    mlfl, tag_cnn = member
    whole, parts = mlfl_scores(mlfl, CLIPS, ALL), mlfl_scores(mlfl, CLIPS, ALL, batch_size=batch_size)
    np.testing.assert_allclose(parts.tags, whole.tags, atol=1e-5)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-5)
    scores = tag_cnn_scores(tag_cnn, CLIPS, ALL, whole.tags)
    shuffled = ALL[::-1].copy()
    turned = tag_cnn_scores(tag_cnn, CLIPS, shuffled, whole.tags[shuffled], batch_size=batch_size)
    np.testing.assert_allclose(turned[::-1], scores, atol=1e-5)
    for one, other in zip(
        baseline_scores(baseline, CLIPS, ALL),
        baseline_scores(baseline, CLIPS, ALL, batch_size=batch_size),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_baseline_scores_lie_within_0_and_1_and_are_nothing_in_padding(baseline) -> None:
    scores, tags = baseline_scores(baseline, CLIPS, ALL)
    assert scores.shape == (9, 75, 3)
    assert tags.shape == (9, 3)
    for rows in (scores, tags):
        assert rows.min() >= 0
        assert rows.max() <= 1
    assert scores[8, :37].any()
    assert not scores[8, 37:].any()


def test_a_model_in_training_is_scored_in_evaluation_and_left_as_it_was(member) -> None:
    mlfl = member[0]
    expected = mlfl_scores(mlfl, CLIPS, ALL)
    before = {name: tensor.clone() for name, tensor in mlfl.state_dict().items()}
    mlfl.train()
    found = mlfl_scores(mlfl, CLIPS, ALL)
    assert mlfl.training
    mlfl.eval()
    assert np.array_equal(found.scores, expected.scores)
    assert all(torch.equal(tensor, before[name]) for name, tensor in mlfl.state_dict().items())


def test_scoring_is_float32_within_autocast(member) -> None:
    expected = mlfl_scores(member[0], CLIPS, ALL)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(mlfl_scores(member[0], CLIPS, ALL).scores, expected.scores)


def test_pitfall_untagged_output_is_exactly_zero_with_binary_tags_and_a_binary_gate(member) -> None:
    tags = np.random.default_rng(0).uniform(0, 1, (9, 3)).astype(np.float32)
    scores = tag_cnn_scores(member[1], CLIPS, ALL, tags, "binary", "binary")
    for clip, label in np.ndindex(9, 3):
        if tags[clip, label] >= 0.5:
            assert (scores[clip, : CLIPS.n_samples[clip] // 320, label] > 0).all()
        else:
            assert (scores[clip, :, label] == 0).all()


def test_binary_tags_are_the_thresholded_ones(member) -> None:
    tags = np.random.default_rng(1).uniform(0, 1, (9, 3)).astype(np.float32)
    hard = (tags >= 0.3).astype(np.float32)
    binary = tag_cnn_scores(member[1], CLIPS, ALL, tags, "binary", tag_threshold=0.3)
    assert np.array_equal(binary, tag_cnn_scores(member[1], CLIPS, ALL, hard, "soft"))


def test_pitfall_soft_and_hard_tags_in_the_tag_cnn_are_told_apart(member) -> None:
    tags = np.full((9, 3), 0.7, np.float32)
    soft, binary = (tag_cnn_scores(member[1], CLIPS, ALL, tags, tags_as) for tags_as in ("soft", "binary"))
    assert np.abs(soft - binary).max() > 1e-3
    gates = {
        gate: tag_cnn_scores(member[1], CLIPS, ALL, tags, "soft", gate) for gate in ("none", "soft", "binary")
    }
    assert np.array_equal(gates["none"], soft)
    np.testing.assert_allclose(gates["soft"], soft * 0.7, rtol=1e-6)
    assert np.array_equal(gates["binary"], soft)


def test_pitfall_toggling_one_tag_changes_other_labels(member) -> None:
    tags = np.zeros((9, 3), np.float32)
    toggled = tags.copy()
    toggled[:, 0] = 1
    change = tag_cnn_scores(member[1], CLIPS, ALL, toggled) - tag_cnn_scores(member[1], CLIPS, ALL, tags)
    assert np.abs(change[:, :37, 1:]).max() > 1e-4


def test_tags_of_each_frame_condition_and_gate_that_frame(member) -> None:
    tags = np.random.default_rng(2).uniform(0, 1, (9, 3)).astype(np.float32)
    spread = np.repeat(tags[:, None], 75, axis=1)
    of_clip = tag_cnn_scores(member[1], CLIPS, ALL, tags, gate="soft")
    assert np.array_equal(tag_cnn_scores(member[1], CLIPS, ALL, spread, gate="soft"), of_clip)
    spread[:, 60:] = 0
    later = tag_cnn_scores(member[1], CLIPS, ALL, spread, gate="soft")
    assert not later[:, 60:].any()
    # twelve frames to either side
    np.testing.assert_allclose(later[:, :48], of_clip[:, :48], atol=1e-6)
    assert np.abs(later[:, 48:60] - of_clip[:, 48:60]).max() > 1e-5


def test_pitfall_arrays_that_go_in_are_not_changed(member) -> None:
    tags = np.random.default_rng(3).uniform(0, 1, (9, 3)).astype(np.float32)
    kept, waveforms = tags.copy(), CLIPS.waveforms.copy()
    tag_cnn_scores(member[1], CLIPS, ALL, tags, "binary", "binary")
    assert np.array_equal(tags, kept)
    assert np.array_equal(CLIPS.waveforms, waveforms)


def test_no_clips_have_no_scores(member, baseline) -> None:
    nothing = np.zeros(0, np.int64)
    found = mlfl_scores(member[0], CLIPS, nothing)
    assert (found.tags.shape, found.scores.shape) == ((0, 3), (0, 75, 3))
    assert tag_cnn_scores(member[1], CLIPS, nothing, found.tags).shape == (0, 75, 3)
    assert baseline_scores(baseline, CLIPS, nothing)[0].shape == (0, 75, 3)


def test_tags_of_another_number_of_clips_are_refused(member) -> None:
    with pytest.raises(SedgeError, match="tags: expected those of 9 clips, found 2"):
        tag_cnn_scores(member[1], CLIPS, ALL, np.zeros((2, 3), np.float32))


def test_rows_by_file_are_cut_to_the_clips_signal() -> None:
    rows = np.arange(9 * 75 * 3, dtype=np.float32).reshape(9, 75, 3)
    found = by_file(CLIPS, CLIPS.indices("validation"), rows[5:])
    assert list(found) == ["0.flac", "1.flac", "2.flac", "3.flac"]
    assert [len(of_clip) for of_clip in found.values()] == [75, 75, 75, 37]
    assert np.array_equal(found["3.flac"], rows[8, :37])


def test_clips_of_one_name_are_refused() -> None:
    with pytest.raises(
        SedgeError, match=r"expected one clip of each name, found several of \['0\.flac', '1\.flac'"
    ):
        by_file(CLIPS, ALL, np.zeros((9, 75, 3), np.float32))


@settings(max_examples=8)
@given(st.integers(0, 10_000))
def test_frame_f1_is_that_of_the_best_threshold_over_real_frames(seed) -> None:
    chosen = CLIPS.indices("validation")
    source = np.random.default_rng(seed)
    rows = source.integers(1, 9, (4, 75, 3)).astype(np.float32) / 10
    truth = CLIPS.strong_labels()[chosen]
    values = []
    for label in range(3):
        if not truth[:, :, label].any():
            continue
        of_threshold = []
        for threshold in np.arange(0, 10) / 10 + 0.05:
            hits = estimates = references = 0
            for clip, frames in enumerate([75, 75, 75, 37]):
                for frame in range(frames):
                    is_on = rows[clip, frame, label] > threshold
                    hits += is_on and truth[clip, frame, label]
                    estimates += is_on
                    references += truth[clip, frame, label]
            of_threshold.append(2 * hits / (estimates + references))
        values.append(max(of_threshold))
    assert frame_f1(CLIPS, chosen, rows) == pytest.approx(np.mean(values))
