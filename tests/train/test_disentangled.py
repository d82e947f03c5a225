"""MLFL's disentangled feature and its batch norms: slices of the embedding, dead labels, statistics, padding."""

import json
from dataclasses import asdict, replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.models import stir
from train.fitting.checkpoint import load_model, save_model
from train.models.mlfl import MLFL, MLFLConfig, disentangled_widths, pool_tag_logit
from train.models.tag_cnn import TagCNN, TagCNNConfig

N_LABELS = 3
WIDTHS = (2, 8, 5)
TINY = MLFLConfig(N_LABELS, channels=(8, 8, 8), attended=WIDTHS)


def spectrum(batch: int, n_frames: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, n_frames, 128, generator=torch.Generator().manual_seed(seed)) * 3 - 10


def tiny(config: MLFLConfig = TINY) -> MLFL:
    torch.manual_seed(4)
    model = MLFL(config)
    stir(model, 4)
    return model


def n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def test_slices_cost_no_parameter() -> None:
    assert n_parameters(MLFL(MLFLConfig(attended=(6,) * 10))) == 891_038
    assert set(MLFL(TINY).state_dict()) == set(MLFL(replace(TINY, attended=None)).state_dict())


@torch.no_grad()
def test_each_label_attends_to_its_leading_components_and_is_tagged_by_them() -> None:
    model, valid = tiny(), torch.ones(2, 30)
    valid[0, 20:] = 0
    output = model(spectrum(2, 30), valid)
    tags = pool_tag_logit(output.logit, output.evidence, valid)
    for clip, n_frames in ((0, 20), (1, 30)):
        for label, k in enumerate(WIDTHS):
            x = output.embedding[clip, :n_frames, :k].double()
            w, u = (head.weight[label, :k].double() for head in (model.attention, model.tagger))
            z = x @ w + model.attention.bias[label].double()
            attention = torch.exp(z / k) / torch.exp(z / k).sum()
            expected = u @ (attention[:, None] * x).sum(0) + model.tagger.bias[label].double()
            torch.testing.assert_close(output.frame_logit[clip, :n_frames, label].double(), z)
            assert tags[clip, label].item() == pytest.approx(expected.item(), abs=1e-4)


def test_components_outside_a_slice_get_no_gradient_and_the_detector_keeps_them_all() -> None:
    model = tiny()
    output = model(spectrum(1, 20), torch.ones(1, 20))
    pool_tag_logit(output.logit, output.evidence, torch.ones(1, 20)).square().sum().backward(
        retain_graph=True
    )
    output.detection_logit.square().sum().backward()
    for head in (model.attention, model.tagger):
        assert head.weight.grad is not None
        for label, k in enumerate(WIDTHS):
            assert head.weight.grad[label, :k].any()
            assert not head.weight.grad[label, k:].any()
    assert model.detector.weight.grad is not None
    assert model.detector.weight.grad[0, 2:].any()


@torch.no_grad()
def test_all_components_for_every_label_is_the_model_without_slices() -> None:
    whole, off = tiny(replace(TINY, attended=(8, 8, 8))), tiny(replace(TINY, attended=None))
    frames, valid = spectrum(1, 20), torch.ones(1, 20)
    torch.testing.assert_close(whole(frames, valid).logit, off(frames, valid).logit)
    assert torch.equal(whole.temperature, off.temperature)


@torch.no_grad()
def test_a_checkpoint_rebuilds_the_slices(tmp_path) -> None:
    model, path = tiny(), tmp_path / "model.safetensors"
    assert json.loads(json.dumps(asdict(TINY)))["attended"] == list(WIDTHS)
    save_model(path, "mlfl", model, ("a", "b", "c"), {})
    restored = load_model(path, "mlfl")[0]
    frames, valid = spectrum(1, 20), torch.ones(1, 20)
    assert torch.equal(restored(frames, valid).logit, model(frames, valid).logit)
    assert torch.equal(model.temperature, torch.tensor([2.0, 8, 5]))


@pytest.mark.parametrize("attended", [(2, 8), (0, 8, 5), (2, 9, 5)])
def test_slices_that_do_not_fit_are_refused(attended) -> None:
    with pytest.raises(ValueError, match="3 numbers from 1 to 8"):
        MLFL(replace(TINY, attended=attended))


def test_pitfall_a_label_that_never_comes_alone_is_refused_where_nothing_is_left_for_it() -> None:
    n_single = [100.0] * 8 + [0.0, 100.0]
    with pytest.raises(ValueError, match=r"label 8: 0 clips and m = 0 .* of 160"):
        disentangled_widths(n_single, 160, 0)
    assert disentangled_widths(n_single, 160, 0.04) == (160,) * 8 + (6, 160)
    with pytest.raises(ValueError, match="label 0"):
        disentangled_widths([0.0, 0.0], 160, 0)


@given(
    counts=st.lists(st.integers(1, 500), min_size=1, max_size=10),
    d=st.integers(1, 300),
    hundredths=st.integers(0, 100),
)
def test_widths_are_floors_of_the_equation_in_exact_arithmetic(counts, d, hundredths) -> None:
    m = Fraction(hundredths, 100)
    expected = tuple(int(d * ((1 - m) * Fraction(count, max(counts)) + m)) for count in counts)
    if 0 in expected:
        with pytest.raises(ValueError, match=f"label {expected.index(0)}:"):
            disentangled_widths(counts, d, hundredths / 100)
        return
    assert disentangled_widths(counts, d, hundredths / 100) == expected
    assert max(expected) == d


def test_pitfall_batch_norm_momentum_is_the_weight_of_the_newest_batch() -> None:
    assert MLFLConfig().batch_norm_momentum == 0.01
    model = tiny(replace(TINY, batch_norm_momentum=0.25)).train()
    assert model.input_norm.running_mean is not None
    before, frames = model.input_norm.running_mean.clone(), spectrum(2, 20)
    model(frames, torch.ones(2, 20))
    bands = frames.unflatten(2, (-1, 2)).mean(3).mean((0, 1))
    torch.testing.assert_close(model.input_norm.running_mean, 0.75 * before + 0.25 * bands)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.25, 1e-3)}


def test_pitfall_19_input_statistics_ignore_padding_and_freeze_in_evaluation() -> None:
    models = [tiny().train() for _ in range(2)]
    valid = (torch.arange(30) < torch.tensor([[30], [13]])).float()
    frames = spectrum(2, 30)
    garbage = torch.where(valid[:, :, None] > 0, frames, 1e4)
    for model, inputs in zip(models, (frames, garbage), strict=True):
        model(inputs, valid)
    tracked = [dict(model.named_buffers()) for model in models]
    for name in ("input_norm.running_mean", "input_norm.running_var"):
        assert torch.equal(tracked[0][name], tracked[1][name])
    frozen = {name: tensor.clone() for name, tensor in tracked[0].items()}
    models[0].eval()(100 * frames, valid)
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in models[0].named_buffers())
    tag_cnn = TagCNN(TagCNNConfig(N_LABELS, channels=(4,) * 9, row_channels=(4, 4)))
    assert {"input_norm.mean", "input_norm.variance"} <= set(tag_cnn.state_dict())


@torch.no_grad()
def test_pitfall_zeros_after_the_logarithm_do_not_sound() -> None:
    model, frames = tiny(), spectrum(1, 60)
    # as a log-mel value zero is a loud band, since silence lies near -28
    padded = torch.cat([frames, torch.zeros(1, 20, 128)], 1)
    valid = (torch.arange(80) < 60).float()[None]
    expected, found = model(frames, torch.ones(1, 60)), model(padded, valid)
    torch.testing.assert_close(found.frame_logit[:, :60], expected.frame_logit, rtol=0, atol=1e-4)
    assert not found.embedding[:, 60:].any()
    tags = [
        pool_tag_logit(output.logit, output.evidence, mask)
        for output, mask in ((expected, torch.ones(1, 60)), (found, valid))
    ]
    torch.testing.assert_close(tags[1], tags[0], rtol=0, atol=1e-4)
    assert (model(padded, torch.ones(1, 80)).embedding[:, 60:]).any()
