"""The front end inside the graph: samples in, where the fused graph takes log-mel frames.

The Fourier transform is a matrix product, since TensorRT has no operator for it: the window is part of the
matrix, and the squares of its real and imaginary columns go through the mel filters stacked twice, so that the
second product adds them. Window and filters are those of edge_app.core.logmel. All of it is float32, also before a
float16 graph: a quiet band beside a loud one needs the digits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_app.core.errors import SedgeError
from edge_app.core.logmel import LogMelConfig, blackman_window, mel_filters

INPUT_NAME = "waveform"
LOG_MEL = "log_mel"


def samples_for(frames: int, config: LogMelConfig) -> int:
    """Samples that give `frames` frames: their cells, and the margin before the first and after the last."""
    return frames * config.hop_length + 2 * config.margin


def with_waveform_input(model: onnx.ModelProto, config: LogMelConfig) -> onnx.ModelProto:
    """The fused graph with the input `waveform` (batch, sample) instead of `log_mel`, float32.

    The samples are those of the frames' cells with `margin` more on either side, zeros outside the signal. Raises
    SedgeError where the window is not an odd number of hops, or the graph has no input `log_mel`.
    """
    cells = _cells_in_window(config)
    fused = onnx.ModelProto()
    fused.CopyFrom(model)
    graph = fused.graph
    place = _place_of_log_mel(graph)
    batch = graph.input[place].type.tensor_type.shape.dim[0]
    shape = [batch.dim_param or batch.dim_value, "sample"]
    graph.input[place].CopyFrom(helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape))
    constants = _constants(config, cells)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    _put_first(graph, _front_end(cells))
    onnx.checker.check_model(fused, full_check=True)
    return fused


def _cells_in_window(config: LogMelConfig) -> int:
    cells, rest = divmod(config.window_length, config.hop_length)
    if rest or cells % 2 == 0:
        raise SedgeError(
            "log_mel.window_length: expected an odd number of hops, so that frames are cells side by side, "
            f"found {config.window_length} samples with hops of {config.hop_length}"
        )
    return cells


def _place_of_log_mel(graph: onnx.GraphProto) -> int:
    names = [node.name for node in graph.input]
    if LOG_MEL not in names:
        raise SedgeError(f"graph: expected the input {LOG_MEL}, found {names}")
    return names.index(LOG_MEL)


def _front_end(cells: int) -> list[onnx.NodeProto]:
    """Nodes from `waveform` to `log_mel`; a frame is `cells` cells side by side."""
    parts = [_name(f"cells_from_{number}") for number in range(cells)]
    framing = [
        _node(
            "Slice", [_name("cells"), _name(f"start_{number}"), _name(f"end_{number}"), _name("axis")], part
        )
        for number, part in enumerate(parts)
    ]
    return [
        _node("Reshape", [INPUT_NAME, _name("cell_shape")], _name("cells")),
        *framing,
        _node("Concat", parts, _name("frames"), axis=2),
        _node("MatMul", [_name("frames"), _name("fourier")], _name("spectrum")),
        _node("Mul", [_name("spectrum"), _name("spectrum")], _name("squares")),
        _node("MatMul", [_name("squares"), _name("filters")], _name("mel")),
        _node("Add", [_name("mel"), _name("offset")], _name("mel_offset")),
        _node("Log", [_name("mel_offset")], LOG_MEL),
    ]


def _constants(config: LogMelConfig, cells: int) -> dict[str, NDArray]:
    filters = mel_filters(config)
    constants: dict[str, NDArray] = {
        "cell_shape": np.array([0, -1, config.hop_length], np.int64),
        "axis": np.array([1], np.int64),
        "fourier": fourier_matrix(config).astype(np.float32),
        "filters": np.concatenate([filters, filters]).astype(np.float32),
        "offset": np.array(config.log_offset, np.float32),
    }
    for number in range(cells):
        # counted from the end: the number of cells is known only when the graph runs
        end = number + 1 - cells
        constants[f"start_{number}"] = np.array([number], np.int64)
        constants[f"end_{number}"] = np.array([end or np.iinfo(np.int64).max], np.int64)
    return {_name(name): array for name, array in constants.items()}


def fourier_matrix(config: LogMelConfig) -> NDArray[np.float64]:
    """Window and real discrete Fourier transform as one matrix, shape (sample, 2 * bin): real, then imaginary."""
    window = blackman_window(config.window_length)[:, None]
    sample = np.arange(config.window_length)[:, None]
    # exact in integers: a phase of many turns would lose digits
    turns = (sample * np.arange(config.n_fft // 2 + 1)) % config.n_fft
    phase = 2 * np.pi * turns / config.n_fft
    return np.concatenate([window * np.cos(phase), -window * np.sin(phase)], axis=1)


def _name(name: str) -> str:
    return f"front_end/{name}"


def _node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [output], name=f"{output}/{operator}", **attributes)


def _put_first(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Nodes are in the order of their use."""
    later = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *later])
