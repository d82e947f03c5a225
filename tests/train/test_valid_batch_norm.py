"""Batch statistics count signal, not padding."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from train.models.fbcrnn import FBCRNN, FBCRNNConfig
from train.models.layers import valid_batch_norm
from train.models.mlfl import MLFL, MLFLConfig
from train.models.tag_cnn import TagCNN, TagCNNConfig

LABELS = 2


@pytest.mark.parametrize("shape", [(3, 4, 20), (3, 4, 20, 5)])
def test_without_padding_it_is_torchs_own(shape) -> None:
    torch.manual_seed(0)
    planes = torch.randn(shape, requires_grad=True)
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    ours, theirs = kind(4, eps=1e-3, momentum=0.3), kind(4, eps=1e-3, momentum=0.3)
    weight = torch.randn(shape)
    found, expected = valid_batch_norm(ours, planes, torch.ones(3, 20)), theirs(planes)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    gradients = [torch.autograd.grad((rows * weight).sum(), planes)[0] for rows in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def fbcrnn(model: nn.Module, log_mel: Tensor, valid: Tensor) -> Tensor:
    output = model(log_mel, valid)
    return torch.cat([output.forward_logit, output.backward_logit], 2)


def mlfl(model: nn.Module, log_mel: Tensor, valid: Tensor) -> Tensor:
    return model(log_mel, valid).detection_logit


def tag_cnn(model: nn.Module, log_mel: Tensor, valid: Tensor) -> Tensor:
    return model(log_mel, torch.full((*valid.shape, LABELS), 0.3), valid)


NARROW = (4, 4, 4, 4, 4, 4, 8, 8, 8)
MODELS: list[tuple[Callable[..., Tensor], nn.Module]] = [
    (fbcrnn, FBCRNN(FBCRNNConfig(LABELS, channels=NARROW, row_channels=(8, 8, 8), gru_width=8))),
    (mlfl, MLFL(MLFLConfig(LABELS, channels=(8, 8, 8)))),
    (tag_cnn, TagCNN(TagCNNConfig(LABELS, channels=NARROW, row_channels=(8, 8)))),
]


@pytest.mark.parametrize(("scores_of", "model"), MODELS, ids=lambda value: getattr(value, "__name__", ""))
def test_padding_changes_nothing_in_training(scores_of, model) -> None:
    torch.manual_seed(1)
    model.train()
    log_mel = torch.randn(3, 30, 128) * 2 - 8
    padded = torch.cat([log_mel, torch.full((3, 17, 128), -27.6)], 1)
    valid = torch.cat([torch.ones(3, 30), torch.zeros(3, 17)], 1)
    alone = scores_of(model, log_mel, torch.ones(3, 30))
    beside = scores_of(model, padded, valid)[:, :30]
    torch.testing.assert_close(beside, alone, rtol=1e-3, atol=1e-3)
