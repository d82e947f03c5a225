"""Checkpoints: safetensors files that name their model and its configuration, so that each rebuilds its own.

A checkpoint of a model is `model.safetensors`; the state to go on from (weights, their average, the
optimiser's moments, the step) is `state.safetensors`. Neither holds a pickle.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import whole_file
from train.fitting import distributed
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig
from train.models.fbcrnn import FBCRNN, FBCRNNConfig
from train.models.mlfl import MLFL, MLFLConfig
from train.models.tag_cnn import TagCNN, TagCNNConfig

MODELS: dict[str, tuple[type[nn.Module], type]] = {
    "fbcrnn": (FBCRNN, FBCRNNConfig),
    "mlfl": (MLFL, MLFLConfig),
    "tag_cnn": (TagCNN, TagCNNConfig),
    "baseline_crnn": (BaselineCRNN, BaselineCRNNConfig),
}


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors with a JSON description in the header, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as file:
        file.write(save(whole, {"about": json.dumps(about)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a file of `write_tensors`; SedgeError where it is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise SedgeError(f"{path}: expected a checkpoint of Sedge, found: {error}") from error


def save_model(
    path: Path, kind: str, model: nn.Module, event_labels: tuple[str, ...], about: dict[str, Any]
) -> None:
    """Write a model with everything that rebuilds it, and what else is to be known `about` it.

    Where several processes train it, the first one writes.
    """
    if not distributed.is_first():
        return
    description = {"model": kind, "config": asdict(model.config), "event_labels": event_labels, **about}  # type: ignore[call-overload]
    write_tensors(path, dict(model.state_dict()), description)


def load_model(path: Path, kind: str) -> tuple[nn.Module, dict[str, Any]]:
    """The model in a checkpoint, in evaluation mode, and what is known about it."""
    tensors, about = read_tensors(path)
    if about.get("model") != kind:
        raise SedgeError(f"{path}: model: expected {kind}, found {about.get('model')}")
    model_type, config_type = MODELS[kind]
    config = {
        name: tuple(value) if isinstance(value, list) else value for name, value in about["config"].items()
    }
    try:
        model = model_type(config_type(**config))
        model.load_state_dict(tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise SedgeError(
            f"{path}: expected a {kind} model of this version, found another ({reason})"
        ) from error
    return model.eval(), about


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments by parameter number and name."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, moments in state.items() for name, value in moments.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put the moments of `optimiser_tensors` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter, moments in optimiser.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:  # in the memory layout of the parameter, or every step is slow
                moments[name] = torch.empty_like(parameter).copy_(value)
