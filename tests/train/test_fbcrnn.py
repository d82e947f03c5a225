"""FBCRNN: published sizes, reach, padding, both branches, and windowed scores against a literal loop."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.models import stir
from train.fitting.checkpoint import read_tensors, write_tensors
from train.models.fbcrnn import FBCRNN, FBCRNNConfig, FBCRNNOutput, clip_tag_scores, window_scores
from train.models.recurrent import BidirectionalGRU, n_valid_frames, reversed_within

N_LABELS = 3
TINY = FBCRNNConfig(
    N_LABELS, channels=(4, 4, 4, 4, 4, 4, 8, 8, 8), row_channels=(8, 8, 8), gru_width=6, gru_layers=2
)


def tiny(config: FBCRNNConfig = TINY, seed: int = 4) -> FBCRNN:
    """An untrained model, far enough from its start that every part of it shows in the scores."""
    torch.manual_seed(seed)
    model = FBCRNN(config)
    model.input_norm.set_statistics(torch.full((128,), -10.0), torch.full((128,), 10.0))
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    for head in (model.forward_head, model.backward_head):
        head.output.weight.data.normal_(0, 1)
        for parameter in head.gru.parameters():
            parameter.data.mul_(2)
    stir(model, seed)
    return model


@pytest.fixture(scope="module")
def model() -> FBCRNN:
    return tiny()


def spectrum(batch: int, n_frames: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, n_frames, 128, generator=torch.Generator().manual_seed(seed)) * 3 - 10


def embeddings(batch: int, n_frames: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, n_frames, 8, generator=torch.Generator().manual_seed(seed)).relu()


def prefix(n_frames: int, *lengths: int) -> Tensor:
    return (torch.arange(n_frames) < torch.tensor(lengths)[:, None]).float()


def n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@torch.no_grad()
def literal_window_scores(model: FBCRNN, embedding: Tensor, valid: Tensor, context: int) -> Tensor:
    """Every window cut out by hand and read by the heads' own GRUs."""
    scores = torch.zeros(*embedding.shape[:2], N_LABELS)
    ones = torch.ones(1, 2 * context + 1)
    for clip, length in enumerate(valid.sum(1).int().tolist()):
        for frame in range(length):
            window = torch.zeros(1, 2 * context + 1, embedding.shape[2])
            for place in range(2 * context + 1):
                source = frame - context + place
                if 0 <= source < length:
                    window[0, place] = embedding[clip, source]
            at_end = model.forward_head(window, ones)[0, -1]
            at_start = model.backward_head(window.flip(1), ones)[0, -1]
            scores[clip, frame] = 0.5 * torch.sigmoid(at_end) + 0.5 * torch.sigmoid(at_start)
    return scores


def test_pitfall_1_parameter_counts_are_the_published_ones() -> None:
    assert n_parameters(FBCRNN(FBCRNNConfig())) == 3_488_580
    assert n_parameters(FBCRNN(FBCRNNConfig(kernels="3x1"))) == 3_161_412


def test_kernels_other_than_the_two_are_refused() -> None:
    with pytest.raises(ValueError, match="1x3"):
        FBCRNNConfig(kernels="1x3")  # type: ignore[arg-type]


def test_the_3x1_kernels_span_bands_and_no_frames() -> None:
    stack = FBCRNN(replace(TINY, kernels="3x1")).blocks
    sizes = [module.kernel_size for module in stack.modules() if isinstance(module, nn.Conv2d)]
    assert [number for number, size in enumerate(sizes, start=1) if size == (1, 3)] == [2, 4, 6, 8, 9]
    assert set(sizes) == {(1, 3), (3, 3)}


@pytest.mark.parametrize("n_labels", [1, 8])
def test_the_small_preset_takes_any_number_of_labels(n_labels) -> None:
    model = FBCRNN(FBCRNNConfig.small(n_labels)).eval()
    valid = prefix(20, 20, 11)
    output = model(spectrum(2, 20), valid)
    assert output.forward_logit.shape == output.backward_logit.shape == (2, 20, n_labels)
    assert clip_tag_scores(output, valid).shape == (2, n_labels)
    assert window_scores(model, model.encode(spectrum(2, 20), valid), valid, 3).shape == (2, 20, n_labels)


def test_a_configuration_survives_json() -> None:
    config = FBCRNNConfig.small(8)
    fields: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    restored: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    assert FBCRNNConfig(**restored) == config


@pytest.mark.parametrize(("kernels", "reach"), [("3x3", 12), ("3x1", 7)])
def test_pitfall_2_receptive_field_and_causality_of_the_branches(kernels, reach) -> None:
    config = replace(TINY, kernels=kernels)
    assert config.receptive_field == reach
    model, frames, at, valid = tiny(config).double(), spectrum(1, 61).double(), 30, torch.ones(1, 61).double()
    changed = {name: torch.zeros(61, dtype=torch.bool) for name in ("embedding", "forward", "backward")}
    with torch.no_grad():
        embedding, output = model.encode(frames, valid), model(frames, valid)
        for seed in range(20):
            other = frames.clone()
            other[:, at] += 20 * torch.randn(128, generator=torch.Generator().manual_seed(seed)).double()
            moved = model(other, valid)
            changed["embedding"] |= (model.encode(other, valid) != embedding).any(2)[0]
            changed["forward"] |= (moved.forward_logit != output.forward_logit).any(2)[0]
            changed["backward"] |= (moved.backward_logit != output.backward_logit).any(2)[0]
    assert torch.nonzero(changed["embedding"])[[0, -1], 0].tolist() == [at - reach, at + reach]
    assert changed["forward"].nonzero()[0] == at - reach
    assert changed["forward"][at + reach + 1]
    assert changed["backward"].nonzero()[-1] == at + reach
    assert changed["backward"][at - reach - 1]


@settings(max_examples=12, deadline=None)
@given(
    context=st.integers(0, 12),
    lengths=st.lists(st.integers(1, 17), min_size=1, max_size=3),
    rows=st.sampled_from([1, 7, 4096]),
)
def test_window_scores_equal_a_literal_loop(model, context, lengths, rows) -> None:
    n_frames = max(lengths)
    embedding, valid = embeddings(len(lengths), n_frames), prefix(n_frames, *lengths)
    found = window_scores(model, embedding * valid[:, :, None], valid, context, rows)
    torch.testing.assert_close(
        found, literal_window_scores(model, embedding, valid, context), rtol=0, atol=1e-5
    )
    assert not found[valid == 0].any()


def test_window_scores_of_a_single_layer_head() -> None:
    model = tiny(replace(TINY, gru_layers=1))
    embedding, valid = embeddings(1, 9), torch.ones(1, 9)
    expected = literal_window_scores(model, embedding, valid, 2)
    torch.testing.assert_close(window_scores(model, embedding, valid, 2), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("context", [0, 3])
def test_pitfall_3_window_scores_see_the_window_and_the_reach_and_no_more(model, context) -> None:
    frames, at, reach = spectrum(1, 60), 30, context + 12
    other = 50 * spectrum(1, 60, seed=1)
    other[:, at - reach : at + reach + 1] = frames[:, at - reach : at + reach + 1]
    valid = torch.ones(1, 60)
    found, moved = (
        window_scores(model, model.encode(some, valid), valid, context) for some in (frames, other)
    )
    torch.testing.assert_close(found[:, at], moved[:, at], rtol=0, atol=1e-5)
    assert (found[:, at + reach] - moved[:, at + reach]).abs().max() > 1e-3


def test_pitfall_4_windows_are_stateless(model) -> None:
    embedding, valid, context = embeddings(3, 20), prefix(20, 20, 13, 20), 4
    batch = window_scores(model, embedding, valid, context)
    for clip, frame in ((0, 0), (0, 10), (1, 12), (2, 19)):
        around = range(max(0, frame - context), min(int(valid[clip].sum()), frame + context + 1))
        alone = embedding[clip : clip + 1, around.start : around.stop]
        place = frame - around.start
        found = window_scores(model, alone, torch.ones(1, len(around)), context)
        torch.testing.assert_close(found[0, place], batch[clip, frame], rtol=0, atol=1e-5)


@torch.no_grad()
def test_pitfall_5_a_clip_alone_equals_the_same_clip_padded_beside_a_longer_one(model) -> None:
    alone, ones = spectrum(1, 33), torch.ones(1, 33)
    batch = torch.cat([spectrum(1, 60, seed=9), torch.cat([alone, 1000 * spectrum(1, 27, seed=1)], 1)])
    valid = prefix(60, 60, 33)
    expected, found = model(alone, ones), model(batch, valid)
    for name in ("forward_logit", "backward_logit"):
        torch.testing.assert_close(getattr(found, name)[1:, :33], getattr(expected, name), rtol=0, atol=1e-5)
    of_batch = window_scores(model, model.encode(batch, valid), valid, 5)
    of_one = window_scores(model, model.encode(alone, ones), ones, 5)
    torch.testing.assert_close(of_batch[1:, :33], of_one, rtol=0, atol=1e-5)


def test_pitfall_5_the_backward_branch_starts_at_the_clips_own_last_frame(model) -> None:
    seen: list[Tensor] = []
    hook = model.backward_head.gru.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    valid = prefix(30, 30, 17)
    with torch.no_grad():
        model(spectrum(2, 30), valid)
        embedding = model.encode(spectrum(2, 30), valid)
    hook.remove()
    torch.testing.assert_close(seen[0][:, 0], torch.stack([embedding[0, 29], embedding[1, 16]]))
    torch.testing.assert_close(seen[0][1, :17], embedding[1, :17].flip(0))


@torch.no_grad()
def test_pitfall_6_tags_come_from_the_last_valid_frame_and_the_first(model) -> None:
    valid, frames = prefix(40, 40, 21, 1), spectrum(3, 40)
    output = model(frames, valid)
    found = clip_tag_scores(output, valid)
    for clip, length in enumerate((40, 21, 1)):
        expected = (
            torch.sigmoid(output.forward_logit[clip, length - 1])
            + torch.sigmoid(output.backward_logit[clip, 0])
        ) / 2
        torch.testing.assert_close(found[clip], expected)
    garbage = torch.where(valid[:, :, None] > 0, frames, 1e4)
    torch.testing.assert_close(clip_tag_scores(model(garbage, valid), valid), found)
    spoilt = FBCRNNOutput(
        torch.where(valid[:, :, None] > 0, output.forward_logit, 1e4),
        torch.where(valid[:, :, None] > 0, output.backward_logit, 1e4),
    )
    torch.testing.assert_close(clip_tag_scores(spoilt, valid), found)


@torch.no_grad()
def test_pitfall_9_the_branches_share_nothing_and_are_no_mirror_images(model) -> None:
    ahead, back = (list(head.parameters()) for head in (model.forward_head, model.backward_head))
    assert not {id(parameter) for parameter in ahead} & {id(parameter) for parameter in back}
    assert len({id(parameter) for parameter in model.parameters()}) == len(list(model.parameters()))
    frames, valid = spectrum(1, 40), torch.ones(1, 40)
    output, mirrored = model(frames, valid), model(frames.flip(1), valid)
    assert (mirrored.backward_logit.flip(1) - output.forward_logit).abs().max() > 0.05
    assert (mirrored.forward_logit.flip(1) - output.backward_logit).abs().max() > 0.05


@torch.no_grad()
def test_pitfall_10_a_window_longer_than_the_clip_is_not_the_clips_tag(model) -> None:
    frames, valid = spectrum(1, 20), torch.ones(1, 20)
    tags = clip_tag_scores(model(frames, valid), valid)
    scores = window_scores(model, model.encode(frames, valid), valid, 20)
    # the heads read zeros before and after the clip, which are frames to them
    assert (scores[:, 10] - tags).abs().max() > 1e-3


@torch.no_grad()
def test_pitfall_11_ten_seconds_give_five_hundred_scores(model) -> None:
    output = model(spectrum(1, 500), torch.ones(1, 500))
    assert output.forward_logit.shape == output.backward_logit.shape == (1, 500, N_LABELS)


@torch.no_grad()
def test_pitfall_19_input_statistics_are_frozen_buffers(model, tmp_path) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert {"input_norm.mean", "input_norm.variance"} <= set(before)
    for _ in range(2):
        model(100 * spectrum(2, 20), prefix(20, 20, 11))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    training = tiny()
    training.train()(spectrum(2, 20), torch.ones(2, 20))
    assert torch.equal(training.input_norm.mean, model.input_norm.mean)
    write_tensors(tmp_path / "state.safetensors", before, {})
    restored = FBCRNN(TINY)
    restored.load_state_dict(read_tensors(tmp_path / "state.safetensors")[0])
    assert torch.equal(restored.input_norm.mean, torch.full((128,), -10.0))
    assert torch.equal(restored.input_norm.variance, torch.full((128,), 10.0))


def test_training_in_bfloat16_gives_float32_and_gradients_everywhere() -> None:
    model = tiny().train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    valid = prefix(24, 24, 15)
    with torch.autocast("cpu", torch.bfloat16):
        embedding, output = model.encode(spectrum(2, 24), valid), model(spectrum(2, 24), valid)
    assert embedding.dtype == output.forward_logit.dtype == output.backward_logit.dtype == torch.float32
    (output.forward_logit.square().mean() + output.backward_logit.square().mean()).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


@torch.no_grad()
def test_window_scores_are_the_same_under_autocast(model) -> None:
    embedding, valid = embeddings(2, 15), prefix(15, 15, 9)
    with torch.autocast("cpu", torch.bfloat16):
        found = window_scores(model, embedding, valid, 4)
    assert found.dtype == torch.float32
    assert torch.equal(found, window_scores(model, embedding, valid, 4))


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_sequences_are_reversed_within_their_length(lengths) -> None:
    rows = torch.randn(len(lengths), 12, 2, generator=torch.Generator().manual_seed(0))
    n_valid = n_valid_frames(prefix(12, *lengths))
    assert n_valid.tolist() == lengths
    found = reversed_within(rows, n_valid)
    for row, reverse, length in zip(rows, found, lengths, strict=True):
        assert torch.equal(reverse, torch.cat([row[:length].flip(0), row[length:]]))
    assert torch.equal(reversed_within(found, n_valid), rows)


@torch.no_grad()
def test_both_directions_equal_the_librarys_packed_recurrence() -> None:
    torch.manual_seed(1)
    own, library = BidirectionalGRU(5, 4, 2), nn.GRU(5, 4, 2, bidirectional=True, batch_first=True)
    for layer in range(2):
        for suffix, gru in (("", own.ahead[layer]), ("_reverse", own.back[layer])):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(library, f"{kind}_l{layer}{suffix}").copy_(getattr(gru, f"{kind}_l0"))
    rows, lengths = torch.randn(3, 11, 5), torch.tensor([11, 4, 7])
    packed = nn.utils.rnn.pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
    expected = nn.utils.rnn.pad_packed_sequence(library(packed)[0], batch_first=True)[0]
    found = own(rows, lengths)
    for clip, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[clip, :length], expected[clip, :length])


def test_units_start_with_memories_up_to_the_longest_and_no_other_number_changes() -> None:
    torch.manual_seed(0)
    plain = FBCRNN(FBCRNNConfig(2, channels=(4,) * 9, row_channels=(4, 4, 4), gru_width=64))
    torch.manual_seed(0)
    remembering = FBCRNN(
        FBCRNNConfig(2, channels=(4,) * 9, row_channels=(4, 4, 4), gru_width=64, memory_frames=500)
    )
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in remembering.parameters())
    for head in (remembering.forward_head, remembering.backward_head):
        for layer in range(2):
            kept = torch.sigmoid(getattr(head.gru, f"bias_ih_l{layer}")[64:128].detach())
            frames = 1 / (1 - kept)  # after so many, a state has shrunk to 1/e
            assert frames.min() > 1.9
            assert frames.max() < 501
            assert 100 < frames.median() < 400
            assert (getattr(head.gru, f"bias_hh_l{layer}")[64:128] == 0).all()
