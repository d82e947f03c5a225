"""The models: published sizes, exact receptive fields, padding that is not there, and pooling as defined."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tests.models import tiny_member
from train.models.mlfl import MLFL, MLFLConfig, pool_tag_logit, trailing_tag_logit
from train.models.tag_cnn import TagCNN, TagCNNConfig

N_LABELS = 3


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectrum(batch: int, n_frames: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, n_frames, 128, generator=generator(seed)) * 3 - 10


@pytest.fixture(scope="module")
def pair() -> tuple[MLFL, TagCNN]:
    """Tiny models, far from their start."""
    return tiny_member(N_LABELS, seed=4)


def n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@torch.no_grad()
def outputs(
    model: nn.Module, log_mel: Tensor, valid: Tensor | None = None, tags: Tensor | None = None
) -> Tensor:
    """Everything that a model gives of each frame, shape (batch, frame, number)."""
    valid = torch.ones(log_mel.shape[:2]) if valid is None else valid
    if isinstance(model, MLFL):
        found = model(log_mel, valid)
        return torch.cat([found.frame_logit, found.evidence, found.detection_logit, found.embedding], 2)
    tags = torch.full((*log_mel.shape[:2], N_LABELS), 0.5) if tags is None else tags
    return model(log_mel, tags, valid)


@torch.no_grad()
def arithmetic(model: nn.Module, *inputs: Tensor) -> int:
    """Multiplications and additions of the convolutions and matrix products."""
    counts = []

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        channels_at = 1 if isinstance(module, nn.Conv1d | nn.Conv2d) else -1
        counts.append(weight[0].numel() * output.numel() // output.shape[channels_at] * len(weight))

    hooks = [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear)
    ]
    model.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def test_parameter_counts_are_the_published_ones() -> None:
    assert n_parameters(MLFL(MLFLConfig())) == 891_038
    assert n_parameters(TagCNN(TagCNNConfig())) == 1_591_258


@pytest.mark.parametrize("n_labels", [1, 8])
def test_the_number_of_labels_is_free(n_labels) -> None:
    frames, valid = spectrum(1, 20), torch.ones(1, 20)
    output = MLFL(MLFLConfig.small(n_labels)).eval()(frames, valid)
    assert output.logit.shape == output.evidence.shape == output.detection_logit.shape == (1, 20, n_labels)
    tag_cnn = TagCNN(TagCNNConfig.small(n_labels)).eval()
    assert tag_cnn(frames, torch.rand(1, 20, n_labels), valid).shape == (1, 20, n_labels)


def test_small_presets_take_a_part_of_the_arithmetic() -> None:
    frames, valid, tags = spectrum(1, 24), torch.ones(1, 24), torch.rand(1, 24, 10)
    mlfl = arithmetic(MLFL(MLFLConfig()), frames, valid)
    # by hand: 24 frames; 64, 16 and 4 bands; kernels of 25, 25 and 9; three heads
    assert mlfl == 24 * (64 * 25 * 160 + 16 * 25 * 160**2 + 4 * 9 * 160**2 + 3 * 160 * 10)
    assert 1 / 12 < arithmetic(MLFL(MLFLConfig.small(10)), frames, valid) / mlfl < 1 / 4
    small = arithmetic(TagCNN(TagCNNConfig.small(10)), frames, tags, valid)
    assert 1 / 6 < small / arithmetic(TagCNN(TagCNNConfig()), frames, tags, valid) < 1 / 3


@pytest.mark.parametrize(("index", "reach"), [(0, 5), (1, 12)])
def test_receptive_field_is_exact(pair, index, reach) -> None:
    assert pair[index].config.receptive_field == reach
    # in float64, and with many perturbations, so that what arrives at the far end is neither rounded off nor cut
    model = tiny_member(N_LABELS, seed=4)[index].double()
    frames, at = spectrum(1, 61).double(), 30
    changed = torch.zeros(61, dtype=torch.bool)
    for seed in range(20):
        other = frames.clone()
        other[:, at] += 20 * torch.randn(128, generator=generator(seed)).double()
        tags = torch.full((1, 61, N_LABELS), 0.5).double()
        valid = torch.ones(1, 61).double()
        run = partial(outputs, model, valid=valid, tags=tags)
        changed |= (run(frames) != run(other)).any(2)[0]
    assert torch.nonzero(changed)[[0, -1], 0].tolist() == [at - reach, at + reach]


def test_tags_reach_as_far_as_frames(pair) -> None:
    frames = spectrum(1, 61)
    tags = torch.full((1, 61, N_LABELS), 0.5)
    other = tags.clone()
    other[:, 30] = 0
    changed = (outputs(pair[1], frames, tags=tags) != outputs(pair[1], frames, tags=other)).any(2)[0]
    assert changed[30]
    assert not changed[: 30 - 12].any()
    assert not changed[30 + 13 :].any()


@pytest.mark.parametrize("index", [0, 1])
def test_a_clip_alone_equals_the_same_clip_padded_in_a_batch(pair, index) -> None:
    alone = spectrum(1, 33)
    batch = torch.cat([spectrum(1, 33), torch.full((1, 27, 128), -27.6)], 1)
    batch = torch.cat([batch, batch, spectrum(1, 60, seed=9)])
    batch[1, 33:] = 1000 * torch.randn(27, 128, generator=generator(1))
    valid = torch.ones(3, 60)
    valid[:2, 33:] = 0
    tags = torch.full((3, 60, N_LABELS), 0.5)
    tags[1, 33:] = 1
    found = outputs(pair[index], batch, valid, tags)
    expected = outputs(pair[index], alone)
    torch.testing.assert_close(found[:1, :33], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1:2, :33], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_padding_before_a_clip_is_not_there_either(pair, index) -> None:
    frames = spectrum(1, 60)
    valid = torch.ones(1, 60)
    valid[:, :27] = 0
    found = outputs(pair[index], frames, valid)
    torch.testing.assert_close(found[:, 27:], outputs(pair[index], frames[:, 27:]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_evaluation_repeats_itself_and_leaves_its_input(pair, index) -> None:
    frames = spectrum(2, 30)
    kept = frames.clone()
    assert torch.equal(outputs(pair[index], frames), outputs(pair[index], frames))
    assert torch.equal(frames, kept)


def test_ten_seconds_give_a_score_for_each_frame(pair) -> None:
    for model in pair:
        assert outputs(model, spectrum(1, 500)).shape[1] == 500


def test_pitfall_attention_sums_to_one_over_frames_and_starts_uniform() -> None:
    torch.manual_seed(0)
    mlfl = MLFL(MLFLConfig(N_LABELS, channels=(8, 8, 8))).eval()
    output = mlfl(spectrum(2, 40), torch.ones(2, 40))
    attention = torch.softmax(output.logit, 1)
    torch.testing.assert_close(attention.sum(1), torch.ones(2, N_LABELS))
    assert (attention == attention[:, :1]).all()
    tag_logit = pool_tag_logit(output.logit, output.evidence, torch.ones(2, 40))
    context = output.embedding.mean(1)
    torch.testing.assert_close(tag_logit, mlfl.tagger(context), rtol=1e-4, atol=1e-5)
    assert (torch.sigmoid(output.frame_logit) == 0.5).all()


def test_tags_are_the_embedding_pooled_under_the_attention(pair) -> None:
    mlfl, _ = pair
    valid = torch.ones(2, 40)
    valid[0, 25:] = 0
    with torch.no_grad():
        output = mlfl(spectrum(2, 40), valid)
    found = pool_tag_logit(output.logit, output.evidence, valid)
    for clip, n_frames in ((0, 25), (1, 40)):
        for label in range(N_LABELS):
            z, x = (
                output.frame_logit[clip, :n_frames, label].double(),
                output.embedding[clip, :n_frames].double(),
            )
            attention = torch.exp(z / 8) / torch.exp(z / 8).sum()
            context = sum(attention[t] * x[t] for t in range(n_frames))
            expected = mlfl.tagger.weight[label].double() @ context + mlfl.tagger.bias[label].double()
            assert found[clip, label].item() == pytest.approx(expected.item(), abs=1e-4)


def test_pitfall_temperature_divides_the_attention_but_not_the_frame_score(pair) -> None:
    mlfl, _ = pair
    assert (mlfl.temperature == 8).all()
    assert (MLFL(MLFLConfig()).temperature == 160).all()
    with torch.no_grad():
        output = mlfl(spectrum(1, 200), torch.ones(1, 200))
    torch.testing.assert_close(output.logit * 8, output.frame_logit)
    torch.testing.assert_close(output.frame_logit, mlfl.attention(output.embedding))
    assert (torch.sigmoid(output.frame_logit) - torch.sigmoid(output.logit)).abs().max() > 0.1
    # an attention that tells frames apart needs logits so far apart that the frame score saturates: of the 50
    # operating points of a PSDS fewer differ than without the temperature
    logit = 160 * torch.randn(1, 500, 1, generator=generator(3))
    thresholds = torch.arange(0.01, 1, 0.02)
    saturated, flat = (
        len({int((torch.sigmoid(z) > threshold).sum()) for threshold in thresholds})
        for z in (logit, logit / 160)
    )
    assert saturated < 15
    assert flat > 40


def test_pitfall_clip_loss_gives_the_attention_bias_no_gradient() -> None:
    mlfl = tiny_member(N_LABELS, seed=4)[0].double()
    ones = torch.ones(2, 40).double()
    output = mlfl(spectrum(2, 40).double(), ones)
    pool_tag_logit(output.logit, output.evidence, ones).square().sum().backward()
    assert mlfl.attention.bias.grad is not None
    assert mlfl.attention.weight.grad is not None
    assert mlfl.attention.bias.requires_grad
    largest = mlfl.attention.weight.grad.abs().max()
    assert largest > 0
    assert mlfl.attention.bias.grad.abs().max() < 1e-10 * largest


def test_first_operation_averages_neighbouring_mel_bands(pair) -> None:
    mlfl, _ = pair
    frames = spectrum(1, 20)
    tilt = torch.randn(1, 20, 64, generator=generator(2))
    other = frames + torch.stack([tilt, -tilt], 3).flatten(2)
    torch.testing.assert_close(outputs(mlfl, other), outputs(mlfl, frames), rtol=0, atol=1e-3)
    moved = frames + torch.stack([-tilt, tilt], 3).flatten(2).roll(1, 2)
    assert (outputs(mlfl, moved) - outputs(mlfl, frames)).abs().max() > 0.05


def test_domain_projection_is_linear_without_bias_and_does_not_start_at_zero() -> None:
    torch.manual_seed(0)
    mlfl = MLFL(MLFLConfig())
    embedding = torch.randn(2, 7, 160)
    assert mlfl.project(embedding).shape == (2, 7, 64)
    torch.testing.assert_close(mlfl.project(embedding), embedding @ mlfl.projector.weight.T)
    assert mlfl.projector.weight.abs().max() > 0.01


@pytest.mark.parametrize(("hop", "ahead"), [(5, 7), (25, 7), (25, 0), (60, 7)])
def test_trailing_tags_see_the_past_as_live_detection_does(hop, ahead) -> None:
    logit = 2 * torch.randn(2, 57, N_LABELS, generator=generator(1))
    evidence = torch.randn(2, 57, N_LABELS, generator=generator(2))
    lengths = (57, 40)
    valid = torch.stack([(torch.arange(57) < length).float() for length in lengths])
    found = trailing_tag_logit(logit, evidence, valid, hop, ahead)
    for clip, length in enumerate(lengths):
        for frame in range(57):
            end = min((frame // hop) * hop + hop + ahead, length)
            expected = pool_tag_logit(logit[clip, None, :end], evidence[clip, None, :end], torch.ones(1, end))
            torch.testing.assert_close(found[clip, frame], expected[0], rtol=0, atol=1e-5)


def test_trailing_tags_end_as_the_clips_tags() -> None:
    logit, evidence = (torch.randn(2, 100, N_LABELS, generator=generator(seed)) for seed in (1, 2))
    valid = torch.ones(2, 100)
    found = trailing_tag_logit(logit, evidence, valid, 25, 7)
    torch.testing.assert_close(found[:, -1], pool_tag_logit(logit, evidence, valid))


def test_pitfall_16_one_tag_changes_the_scores_of_other_labels_too(pair) -> None:
    frames = spectrum(1, 40)
    tags = torch.zeros(1, 40, N_LABELS)
    toggled = tags.clone()
    toggled[:, :, 0] = 1
    change = (outputs(pair[1], frames, tags=tags) - outputs(pair[1], frames, tags=toggled)).abs()
    assert (change.amax((0, 1)) > 1e-3).all()


def test_tags_enter_beside_the_spectrum_and_again_before_the_rows() -> None:
    torch.manual_seed(0)
    tag_cnn = TagCNN(TagCNNConfig(10)).eval()
    first, row = tag_cnn.get_submodule("blocks.0.conv"), tag_cnn.get_submodule("rows.0.conv")
    assert isinstance(first, nn.Conv2d)
    assert isinstance(row, nn.Conv1d)
    assert first.in_channels == 1 + 10
    assert row.in_channels == 256 * 4 + 10
    seen = []
    hooks = [
        conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for conv in (first, row)
    ]
    tags, valid = torch.rand(1, 6, 10), torch.tensor([[1.0, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        tag_cnn(spectrum(1, 6), tags, valid)
    for hook in hooks:
        hook.remove()
    masked = (tags * valid[:, :, None]).transpose(1, 2)
    assert torch.equal(seen[0][:, 1:], masked[..., None].expand(-1, -1, -1, 128))
    assert torch.equal(seen[1][:, -10:], masked)


def test_pitfall_batch_norms_have_the_published_constants() -> None:
    for model, expected in (
        (MLFL(MLFLConfig.small(8)), (0.01, 1e-3)),
        (TagCNN(TagCNNConfig.small(8)), (0.05, 1e-5)),
    ):
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
        assert {(norm.momentum, norm.eps) for norm in norms} == {expected}


def test_pools_that_leave_more_than_one_band_are_refused() -> None:
    with pytest.raises(ValueError, match="one band"):
        MLFL(MLFLConfig(n_mels=256))
