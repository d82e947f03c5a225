"""Every graph that the exporter gives to TensorRT consists of what its parser takes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_app.core.bundle import load_bundle
from edge_app.core.logmel import LogMelConfig
from edge_app.core.runtime import FusedInput
from export.precision import to_float16, to_int8
from export.waveform import with_waveform_input
from tests.export.graphs import exported
from tests.export.tensorrt_operators import OPSETS, TYPES, breaches

CONFIG = LogMelConfig()


def check_all_kinds(model: onnx.ModelProto) -> None:
    """In both precisions, with log-mel input and with samples."""
    for graph in (model, to_float16(model)):
        assert breaches(graph) == []
        assert breaches(with_waveform_input(graph, CONFIG)) == []
        assert graph.opset_import[0].version in OPSETS


@pytest.mark.parametrize("members", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_graphs_are_what_the_parser_takes(members) -> None:
    check_all_kinds(exported(members).model)


def test_the_built_in_graph_is_what_the_parser_takes() -> None:
    check_all_kinds(onnx.load(load_bundle().graph_path))


def test_pitfall_an_integer_graph_for_cpus_breaks_no_rule_but_that_of_zero_points() -> None:
    """Why `sedge export-tensorrt` refuses it: ONNX Runtime's activations are unsigned with an offset."""
    rng = np.random.default_rng(0)
    frames, ones = rng.normal(-10, 3, (1, 40, 128)).astype(np.float32), np.ones((1, 40), np.float32)
    memory = np.zeros((1, 1, 0, 8), np.float32)
    found = breaches(to_int8(exported(1).model, [FusedInput(frames, ones, ones, memory, memory)]))
    assert found
    assert all("QuantizeLinear" in line or "DequantizeLinear" in line for line in found), found
    assert any("zero point" in line for line in found)


def model_of(node: onnx.NodeProto, kind: int = TensorProto.FLOAT, **constants: np.ndarray) -> onnx.ModelProto:
    """One node on inputs x of rank 4 and y of rank 1."""
    inputs = [
        helper.make_tensor_value_info("x", kind, [1, 2, 8, 8]),
        helper.make_tensor_value_info("y", TensorProto.INT64, [1]),
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "one", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.mark.parametrize(
    ("node", "kind", "constants", "reason"),
    [
        (helper.make_node("Relu", ["x"], ["z"]), TensorProto.FLOAT16, {}, ""),
        (helper.make_node("Relu", ["x"], ["z"]), TensorProto.DOUBLE, {}, "x is TensorProto.DOUBLE"),
        (helper.make_node("MatMul", ["x", "x"], ["z"]), TensorProto.INT32, {}, "x is TensorProto.INT32"),
        (helper.make_node("Det", ["x"], ["z"]), TensorProto.FLOAT, {}, "operator"),
        (helper.make_node("ReduceSum", ["x", "a"], ["z"]), TensorProto.FLOAT, {"a": np.array([1])}, ""),
        (helper.make_node("ReduceSum", ["x", "y"], ["z"]), TensorProto.FLOAT, {}, "y is no constant"),
        (helper.make_node("Unsqueeze", ["x", "y"], ["z"]), TensorProto.FLOAT, {}, "y is no constant"),
        (helper.make_node("MaxPool", ["x"], ["z"], kernel_shape=[1, 4]), TensorProto.FLOAT, {}, ""),
        (
            helper.make_node("MaxPool", ["x"], ["z"], kernel_shape=[2, 2], dilations=[2, 1]),
            TensorProto.FLOAT,
            {},
            "dilations",
        ),
        (
            helper.make_node("MaxPool", ["x"], ["z", "i"], kernel_shape=[2, 2]),
            TensorProto.FLOAT,
            {},
            "indices",
        ),
        (helper.make_node("Shape", ["x"], ["z"]), TensorProto.FLOAT, {}, ""),
    ],
)
def test_the_table_is_enforced(node, kind, constants, reason) -> None:
    found = breaches(model_of(node, kind, **constants))
    assert bool(found) == bool(reason)
    assert reason in "".join(found)


def test_transforms_that_the_parser_lacks_are_not_in_the_table() -> None:
    assert not {
        "DFT",
        "STFT",
        "BlackmanWindow",
        "HannWindow",
        "MelWeightMatrix",
        "DynamicQuantizeLinear",
    } & set(TYPES)
