"""The fused module as an ONNX file."""

import logging
import warnings
from pathlib import Path

import onnx
import torch

from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES
from export.fuse import FusedEnsemble

OPSET = 18


def example_inputs(
    fused: FusedEnsemble, batch: int = 2, frames: int = 40, past: int = 30
) -> tuple[torch.Tensor, ...]:
    """Inputs of the right shapes, to trace with."""
    memory = (batch, len(fused.members), past, fused.n_labels)
    return (
        torch.randn(batch, frames, fused.n_mels),
        torch.ones(batch, frames),
        torch.ones(batch, frames),
        torch.zeros(memory),
        torch.zeros(memory),
    )


def export_onnx(fused: FusedEnsemble, path: Path) -> None:
    """Write the graph with symbolic `batch`, `frame` and `past`, weights inside, and check it."""
    batch, frame, past = (
        torch.export.Dim(name, min=low) for name, low in (("batch", 1), ("frame", 1), ("past", 0))
    )
    memory = {0: batch, 2: past}
    dynamic = ({0: batch, 1: frame}, {0: batch, 1: frame}, {0: batch, 1: frame}, memory, memory)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of packages that are not needed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of axes with one size, and torch's own old names
        program = torch.onnx.export(
            fused.eval(),
            example_inputs(fused),
            input_names=list(INPUT_NAMES),
            output_names=list(OUTPUT_NAMES),
            dynamic_shapes=dynamic,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.optimize()
    program.save(path, external_data=False)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
