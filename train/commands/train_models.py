"""`sedge train-models`: how large the models are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edge_app.core.errors import EXIT_DONE
from edge_app.core.labels import DESED_LABELS
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig
from train.models.fbcrnn import FBCRNN, FBCRNNConfig
from train.models.mlfl import MLFL, MLFLConfig
from train.models.tag_cnn import TagCNN, TagCNNConfig

# of a 10 s clip; a 25th is enough to count, since nothing depends on more frames than it is given
_CLIP_FRAMES, _COUNTED_FRAMES = 500, 20

MODELS: dict[str, tuple[type[nn.Module], Any]] = {
    "fbcrnn": (FBCRNN, FBCRNNConfig),
    "mlfl": (MLFL, MLFLConfig),
    "tag_cnn": (TagCNN, TagCNNConfig),
    "baseline_crnn": (BaselineCRNN, BaselineCRNNConfig),
}


@dataclass(frozen=True)
class TrainModels:
    """Arguments of `sedge train-models`."""

    json: bool = False
    """Print the parameters at full width alone, as one JSON object."""


def main(argv: Sequence[str]) -> int:
    """`sedge train-models`; returns 0."""
    description = "Trainable parameters of the models at ten labels, as published and in the small preset."
    args = tyro.cli(TrainModels, args=list(argv), prog="sedge train-models", description=description)
    if args.json:
        print(json.dumps({name: n_parameters(of_width(name, "full")) for name in MODELS}))
        return EXIT_DONE
    table = Table("model", "parameters", "small preset", "multiply-adds of 10 s", "small preset")
    for name in MODELS:
        full, small = of_width(name, "full"), of_width(name, "small")
        counts = (f"{n_parameters(model):,}" for model in (full, small))
        arithmetic = multiply_adds(full)
        share = f"{multiply_adds(small) / arithmetic:.0%}"
        table.add_row(name, *counts, f"{arithmetic / 1e9:.2f} G", share)
    Console().print(table)
    return EXIT_DONE


def of_width(name: str, preset: str) -> nn.Module:
    """A model of this kind at ten labels, untrained."""
    model_type, config_type = MODELS[name]
    n_labels = len(DESED_LABELS)
    return model_type(config_type.small(n_labels) if preset == "small" else config_type(n_labels))


def n_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def multiply_adds(model: nn.Module) -> int:
    """Multiplications with an addition each in the convolutions and matrix products of a 10 s clip."""
    config: Any = model.config
    inputs = [torch.ones(1, _COUNTED_FRAMES, config.n_mels)]
    if isinstance(model, TagCNN):
        inputs.append(torch.ones(1, _COUNTED_FRAMES, config.n_labels))
    inputs.append(torch.ones(1, _COUNTED_FRAMES))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(*inputs)
    return counter.get_total_flops() // 2 * (_CLIP_FRAMES // _COUNTED_FRAMES)
