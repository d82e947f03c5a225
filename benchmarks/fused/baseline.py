"""The baseline CRNN as a graph for whole clips, to compare the fused graph with."""

import copy
import logging
import warnings
from pathlib import Path

import onnx
import torch
from jaxtyping import Float
from torch import Tensor, nn

from edge_app.formats.whole_file import whole_file
from export.onnx import OPSET
from train.models.baseline_crnn import BaselineCRNN
from train.models.recurrent import BidirectionalGRU

INPUT_NAMES, OUTPUT_NAMES = ("log_mel", "frame_valid"), ("scores", "tags")


class WholeClipGRU(nn.Module):
    """The same GRUs for sequences without padding: one operator of ONNX for each layer, both directions in it."""

    def __init__(self, gru: BidirectionalGRU) -> None:
        super().__init__()
        first = gru.ahead[0]
        assert isinstance(first, nn.GRU)
        self.gru = nn.GRU(
            first.input_size, first.hidden_size, len(gru.ahead), batch_first=True, bidirectional=True
        )
        weights: dict[str, Tensor] = {}
        for direction, layers in (("", gru.ahead), ("_reverse", gru.back)):
            for number, layer in enumerate(layers):
                named = layer.named_parameters()
                weights |= {f"{name.removesuffix('0')}{number}{direction}": weight for name, weight in named}
        self.gru.load_state_dict(weights)

    def forward(
        self, rows: Float[Tensor, "batch cell channel"], _: Tensor
    ) -> Float[Tensor, "batch cell out"]:
        """Both directions' states; the lengths of the sequences are not looked at."""
        states: Tensor = self.gru(rows)[0]
        return states


class _WholeClips(nn.Module):
    def __init__(self, model: BaselineCRNN) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        self.model.gru = WholeClipGRU(model.gru)  # type: ignore[assignment]

    def forward(self, log_mel: Tensor, frame_valid: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(log_mel, frame_valid)
        return output.scores, output.tags


def export_baseline(model: BaselineCRNN, n_frames: int, path: Path) -> None:
    """Write the graph for one clip of `n_frames`, all of them real: scores (1, frame, label), tags (1, label).

    Through torch's older exporter, the one that knows GRUs.
    """
    example = (torch.zeros(1, n_frames, model.config.n_mels), torch.ones(1, n_frames))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), whole_file(path) as file:
        warnings.simplefilter("ignore")  # that it is the older one, and of sizes that are constants here
        torch.onnx.export(
            _WholeClips(model).eval(),
            example,
            file,  # type: ignore[arg-type]
            input_names=list(INPUT_NAMES),
            output_names=list(OUTPUT_NAMES),
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)
