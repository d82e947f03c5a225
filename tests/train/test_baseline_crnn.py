"""The baseline CRNN: published size, its pooling and attention, padding, and the size command."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models import stir
from train.commands import train_models
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig, GatedBlock, scale_clips

N_LABELS = 3
TINY = BaselineCRNNConfig(N_LABELS, channels=(4, 4, 4, 4, 4, 4, 8), gru_width=6)


def tiny(config: BaselineCRNNConfig = TINY) -> BaselineCRNN:
    torch.manual_seed(2)
    model = BaselineCRNN(config)
    for head in (model.output, model.attention):
        head.weight.data.normal_(0, 3)
    stir(model, 2)
    return model


@pytest.fixture(scope="module")
def model() -> BaselineCRNN:
    return tiny()


def first_block(model: BaselineCRNN) -> GatedBlock:
    block = model.blocks[0]
    assert isinstance(block, GatedBlock)
    return block


def spectrum(batch: int, n_frames: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, n_frames, 128, generator=torch.Generator().manual_seed(seed)) * 3 - 10


def prefix(n_frames: int, *lengths: int) -> Tensor:
    return (torch.arange(n_frames) < torch.tensor(lengths)[:, None]).float()


def test_parameter_count_is_the_published_one() -> None:
    found = sum(parameter.numel() for parameter in BaselineCRNN(BaselineCRNNConfig()).parameters())
    assert found == 1_112_420


def test_a_configuration_survives_json() -> None:
    config = BaselineCRNNConfig.small(8)
    fields: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    restored: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    assert BaselineCRNNConfig(**restored) == config


def test_bands_that_do_not_halve_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match="one band"):
        BaselineCRNN(BaselineCRNNConfig(n_mels=64))


@pytest.mark.parametrize("n_frames", [1, 3, 8, 33, 34])
@torch.no_grad()
def test_any_number_of_frames_gets_a_score_each_in_fours(model, n_frames) -> None:
    output = model(spectrum(2, n_frames), torch.ones(2, n_frames))
    assert output.scores.shape == (2, n_frames, N_LABELS)
    for frame in range(n_frames):
        assert torch.equal(output.scores[:, frame], output.scores[:, frame // 4 * 4])
    assert ((output.scores > 0) & (output.scores < 1)).all()


@torch.no_grad()
def test_ten_seconds_are_a_hundred_and_twenty_five_scores_on_the_frame_grid(model) -> None:
    cells: list[Tensor] = []
    hook = model.gru.register_forward_hook(lambda _, __, states: cells.append(states))
    assert model(spectrum(1, 500), torch.ones(1, 500)).scores.shape == (1, 500, N_LABELS)
    hook.remove()
    assert cells[0].shape[1] == 125
    assert BaselineCRNN(BaselineCRNNConfig.small(8)).frames_per_score == 4


@torch.no_grad()
def test_a_block_is_convolution_norm_gate_and_mean(model) -> None:
    block = first_block(model)
    planes, valid = torch.randn(1, 1, 4, 6), torch.ones(1, 4)
    normed = block.norm(block.conv(planes))[0]
    weight, bias = block.linear.weight[:, :, 0, 0], block.linear.bias
    expected = torch.zeros(4, 2, 3)
    for frame in range(4):
        for mel in range(6):
            x = normed[:, frame, mel]
            expected[:, frame // 2, mel // 2] += (weight @ x + bias) * torch.sigmoid(x) / 4
    found, cell_valid = block(planes, valid)
    torch.testing.assert_close(found[0], expected)
    assert cell_valid.tolist() == [[1, 1]]


@torch.no_grad()
def test_pitfall_attention_is_over_labels_and_its_mean_over_frames(model) -> None:
    seen: list[Tensor] = []
    hook = model.output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    output = model(spectrum(1, 40), torch.ones(1, 40))
    hook.remove()
    strong = torch.sigmoid(model.output(seen[0]))[0]
    attention = torch.softmax(model.attention(seen[0]), 2)[0].clamp(1e-7, 1)
    torch.testing.assert_close(attention.sum(1), torch.ones(10), rtol=0, atol=1e-5)
    for label in range(N_LABELS):
        weighted = sum(strong[t, label] * attention[t, label] for t in range(10))
        expected = weighted / sum(attention[t, label] for t in range(10))
        torch.testing.assert_close(output.tags[0, label], expected)
    torch.testing.assert_close(output.scores[0, ::4], strong)


@torch.no_grad()
def test_a_clip_alone_equals_the_same_clip_padded_in_a_batch(model) -> None:
    for length in (32, 33, 35):
        alone = spectrum(1, length)
        garbage = 1000 * spectrum(1, 60 - length, seed=1)
        batch = torch.cat([spectrum(1, 60, seed=9), torch.cat([alone, garbage], 1)])
        found, expected = model(batch, prefix(60, 60, length)), model(alone, torch.ones(1, length))
        torch.testing.assert_close(found.scores[1:, :length], expected.scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(found.tags[1:], expected.tags, rtol=0, atol=1e-5)
        assert not found.scores[1, length:].any()


@torch.no_grad()
def test_each_clip_is_scaled_by_its_own_extremes(model) -> None:
    frames, valid = spectrum(2, 20), prefix(20, 20, 9)
    frames[1, 9:] = 1e4
    scaled = scale_clips(frames, valid)
    for clip, length in ((0, 20), (1, 9)):
        assert scaled[clip, :length].min() == 0
        assert scaled[clip, :length].max() == 1
    assert not scaled[1, 9:].any()
    found, louder = model(frames, valid), model(frames * 2 + 30, valid)
    torch.testing.assert_close(found.scores, louder.scores, rtol=0, atol=1e-4)
    silent = scale_clips(torch.full((1, 20, 128), -27.6), torch.ones(1, 20))
    assert not silent.any()


def test_dropout_works_in_training_only() -> None:
    model, frames, valid = tiny(), spectrum(2, 20), torch.ones(2, 20)
    assert torch.equal(model(frames, valid).scores, model(frames, valid).scores)
    model.train()
    assert not torch.equal(model(frames, valid).scores, model(frames, valid).scores)
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.5}


def test_training_in_bfloat16_gives_float32_and_gradients_everywhere() -> None:
    model = tiny().train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16):
        output = model(spectrum(2, 26), prefix(26, 26, 15))
    assert output.scores.dtype == output.tags.dtype == torch.float32
    (output.scores.square().mean() + output.tags.square().mean()).backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_pitfall_batch_norm_momentum_is_the_weight_of_the_newest_batch() -> None:
    norms = [module for module in tiny().modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.01, 1e-3)}
    model = tiny(replace(TINY, batch_norm_momentum=0.1)).train()
    norm = first_block(model).norm
    assert norm.running_mean is not None
    before, planes = norm.running_mean.clone(), []
    hook = norm.register_forward_pre_hook(lambda _, inputs: planes.append(inputs[0]))
    model(spectrum(2, 20), torch.ones(2, 20))
    hook.remove()
    torch.testing.assert_close(norm.running_mean, 0.9 * before + 0.1 * planes[0].mean((0, 2, 3)))


def test_train_models_prints_the_published_counts_as_json(capsys) -> None:
    assert train_models.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "fbcrnn": 3_488_580,
        "mlfl": 891_038,
        "tag_cnn": 1_591_258,
        "baseline_crnn": 1_112_420,
    }


def test_train_models_prints_a_table_with_the_small_presets(capsys) -> None:
    assert train_models.main([]) == 0
    shown = capsys.readouterr().out
    small = train_models.n_parameters(train_models.of_width("fbcrnn", "small"))
    assert all(text in shown for text in ("3,488,580", f"{small:,}", "baseline_crnn"))


def test_multiply_adds_are_those_of_ten_seconds() -> None:
    # by hand: 500 frames; 64, 16 and 4 bands; kernels of 25, 25 and 9; three heads
    expected = 500 * (64 * 25 * 160 + 16 * 25 * 160**2 + 4 * 9 * 160**2 + 3 * 160 * 10)
    assert train_models.multiply_adds(train_models.of_width("mlfl", "full")) == expected
