"""The fused graph in fewer bits: half precision for GPUs and small files, 8-bit integers for CPUs."""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnx_ir.passes.common
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationMethod

from edge_app.core.errors import SedgeError
from edge_app.core.runtime import INPUT_NAMES, FusedInput
from export.trunk import inner_nodes, trunk_nodes

FLOAT, HALF = onnx_ir.DataType.FLOAT, onnx_ir.DataType.FLOAT16


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its trunk, weights and activations, in float16; inputs, outputs and all else in float32.

    The converters at hand round every value between two float32 nodes as well, the log-mel input and the tags'
    softmax among them; here a value is rounded where it enters the trunk and nowhere else.
    """
    ir_model = onnx_ir.from_proto(onnx.shape_inference.infer_shapes(model, data_prop=True))
    trunk = trunk_nodes(ir_model.graph)
    halves: dict[onnx_ir.Value, onnx_ir.Value] = {}
    for node in list(ir_model.graph):
        if node in trunk:
            _halve_inputs(ir_model.graph, node, trunk, halves)
    for node in list(ir_model.graph):
        if node in trunk:
            for output in node.outputs:
                _give_back(ir_model.graph, output, trunk)
    onnx_ir.passes.common.RemoveUnusedNodesPass()(ir_model)
    return onnx_ir.to_proto(ir_model)


def _halve_inputs(
    graph: onnx_ir.Graph,
    node: onnx_ir.Node,
    trunk: set[onnx_ir.Node],
    halves: dict[onnx_ir.Value, onnx_ir.Value],
) -> None:
    """Give a node of the trunk its weights and what comes from outside in float16."""
    for index, value in enumerate(node.inputs):
        if value is None or value.dtype != FLOAT or value.producer() in trunk:
            continue
        if value not in halves:
            halves[value] = _half_weight(graph, value) if value.const_value else _cast(value, HALF)
            if (caster := halves[value].producer()) is not None:
                graph.insert_before(node, caster)
        node.replace_input_with(index, halves[value])


def _half_weight(graph: onnx_ir.Graph, value: onnx_ir.Value) -> onnx_ir.Value:
    assert value.const_value is not None
    weight = value.const_value.numpy()
    largest = np.abs(weight).max(initial=0)
    if largest > np.finfo(np.float16).max:
        raise SedgeError(
            f"float16: {value.name}: expected weights up to {np.finfo(np.float16).max:g}, found {largest:g}"
        )
    tensor = onnx_ir.tensor(weight.astype(np.float16), name=f"{value.name}.half")
    half = onnx_ir.Value(
        name=tensor.name, shape=value.shape, type=onnx_ir.TensorType(HALF), const_value=tensor
    )
    graph.register_initializer(half)
    return half


def _cast(value: onnx_ir.Value, dtype: onnx_ir.DataType) -> onnx_ir.Value:
    name = f"{value.name}.{'half' if dtype == HALF else 'float'}"
    node = onnx_ir.node("Cast", [value], {"to": dtype}, name=name)
    output = node.outputs[0]
    output.name, output.shape, output.type = name, value.shape, onnx_ir.TensorType(dtype)
    return output


def _give_back(graph: onnx_ir.Graph, output: onnx_ir.Value, trunk: set[onnx_ir.Node]) -> None:
    """Make an output of the trunk float16, and float32 again where it leaves."""
    output.type = onnx_ir.TensorType(HALF)
    outside = [use for use in output.uses() if use.node not in trunk]
    if not outside:
        return
    back = _cast(output, FLOAT)
    caster, source = back.producer(), output.producer()
    assert caster is not None
    assert source is not None
    graph.insert_after(source, caster)
    for use in outside:
        use.node.replace_input_with(use.idx, back)


class _Calls(CalibrationDataReader):
    """Calls as ONNX Runtime's calibration asks for them."""

    def __init__(self, calls: Iterable[FusedInput]) -> None:
        self._calls: Iterator[FusedInput] = iter(calls)

    def get_next(self) -> dict[str, Any] | None:
        call = next(self._calls, None)
        return None if call is None else {name: getattr(call, name) for name in INPUT_NAMES}


def to_int8(model: onnx.ModelProto, calibration: Iterable[FusedInput]) -> onnx.ModelProto:
    """The graph with its trunk in 8-bit integers: weights per channel, activations by the ranges of `calibration`.

    The first and the last convolutions stay in float32: the ones read tags and spectrum at once, the others give
    the scores, and together they are a few percent of the arithmetic. Raises SedgeError without calls, and for a graph
    without convolutions to convert: its normalisation was not folded into them.
    """
    calls = list(calibration)
    if not calls:
        raise SedgeError("int8: expected clips to calibrate on, found none")
    graph = onnx_ir.from_proto(onnx.shape_inference.infer_shapes(model, data_prop=True)).graph
    names = [node.name for node in inner_nodes(graph) if node.name]
    if not names:
        raise SedgeError("int8: expected convolutions followed by their activations, found none")
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, plain)  # a model given as an object would be changed
        quantize_static(
            plain,
            small,
            _Calls(calls),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # or sums of products overflow on processors without VNNI instructions
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=names,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(small)


@contextmanager
def _without_advice() -> Iterator[None]:
    """The quantiser recommends on the root logger what was done before it was called."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
