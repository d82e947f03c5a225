"""The fused module as an ONNX file."""

import logging
import warnings
from pathlib import Path

import onnx
import torch

from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES
from edge_app.formats.whole_file import whole_file
from export.fold import folded
from export.fuse import FusedEnsemble
from export.simplify import simplified

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
    model = fused_graph(fused)
    write_graph(model, path)


def fused_graph(fused: FusedEnsemble) -> onnx.ModelProto:
    """The graph with symbolic `batch`, `frame` and `past`, batch norms folded and what members share done once."""
    batch, frame, past = (
        torch.export.Dim(name, min=low) for name, low in (("batch", 1), ("frame", 1), ("past", 0))
    )
    memory = {0: batch, 2: past}
    dynamic = ({0: batch, 1: frame}, {0: batch, 1: frame}, {0: batch, 1: frame}, memory, memory)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of packages that are not needed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of axes with one size, and torch's own old names
        program = torch.onnx.export(
            folded(fused),
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
    return simplified(program.model_proto)


def write_graph(model: onnx.ModelProto, path: Path) -> None:
    """Check the graph, its inferred types and shapes included, and write it whole."""
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as file:
        file.write(model.SerializeToString())
