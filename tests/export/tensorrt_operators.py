"""What TensorRT's ONNX parser takes, as its public support matrix says (onnx-tensorrt, TensorRT 10.1, opsets 9 to 20).

A later TensorRT takes at least these. `breaches` says where a graph leaves them; the facts are of the operators that a
network of convolutions may come to use, the rest are refused by not being listed.
"""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSETS = range(9, 21)
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
NUMBERS = FLOATS | {TensorProto.INT32, TensorProto.INT64}
ANY = NUMBERS | {TensorProto.BOOL}
OPERATORS_BY_TYPES: dict[frozenset[int], str] = {
    NUMBERS: "Abs Add ArgMax ArgMin Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Neg Pad Range "
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Relu ScatterElements ScatterND Sign Sub Sum TopK",
    FLOATS: "AveragePool BatchNormalization Ceil Clip Conv ConvTranspose Cos CumSum Einsum Elu Erf Exp Floor Gemm "
    "GlobalAveragePool GlobalMaxPool GRU HardSigmoid InstanceNormalization LayerNormalization LeakyRelu Log "
    "LogSoftmax LSTM MatMul MaxPool Pow PRelu QuantizeLinear Reciprocal Resize Round Selu Sigmoid Sin Softmax "
    "Softplus Sqrt Tanh",
    ANY: "Concat Constant ConstantOfShape Expand Flatten Gather GatherElements GatherND Identity Reshape Shape Size "
    "Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where",
    ANY | {TensorProto.UINT8}: "Cast CastLike",
    frozenset({TensorProto.BOOL}): "And Not Or Xor",
    frozenset({TensorProto.INT8}): "DequantizeLinear",
    FLOATS | {TensorProto.INT8, TensorProto.INT32, TensorProto.INT64}: "Gelu",
}
TYPES = {name: types for types, names in OPERATORS_BY_TYPES.items() for name in names.split()}
REDUCTIONS = {name for name in TYPES if name.startswith("Reduce")}


class Graph:
    """A model with the type of every value and the constants by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        self.graph = inferred.graph
        self.opsets = {entry.domain: entry.version for entry in inferred.opset_import}
        values = [*self.graph.value_info, *self.graph.input, *self.graph.output]
        self.types = {value.name: value.type.tensor_type.elem_type for value in values}
        self.types |= {weight.name: weight.data_type for weight in self.graph.initializer}
        self.constants = {weight.name: numpy_helper.to_array(weight) for weight in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)


def breaches(model: onnx.ModelProto) -> list[str]:
    """Where a model leaves what the parser takes, one line each; empty where it does not."""
    graph = Graph(model)
    found = [
        f"opset {version}" for domain, version in graph.opsets.items() if domain or version not in OPSETS
    ]
    for node in graph.graph.node:
        found += [f"{node.op_type} {node.name}: {reason}" for reason in _breaches_of(node, graph)]
    return found


def _breaches_of(node: onnx.NodeProto, graph: Graph) -> Iterator[str]:
    if node.domain or node.op_type not in TYPES:
        yield "operator"
        return
    for name, kind in _free_types(node, graph):
        if kind not in TYPES[node.op_type]:
            yield f"{name} is {helper.tensor_dtype_to_string(kind)}"
    restriction = "Reduce" if node.op_type in REDUCTIONS else node.op_type
    if restriction in RESTRICTIONS and (reason := RESTRICTIONS[restriction](node, graph)):
        yield reason


def _free_types(node: onnx.NodeProto, graph: Graph) -> Iterator[tuple[str, int]]:
    """Values whose type the operator leaves open: not indices, shapes or conditions."""
    schema = onnx.defs.get_schema(node.op_type, graph.opsets[""])
    allowed = {
        constraint.type_param_str: set(constraint.allowed_type_strs) for constraint in schema.type_constraints
    }
    if node.op_type == "DequantizeLinear":
        yield node.input[0], graph.types[node.input[0]]
        return
    for names, parameters in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for number, name in enumerate(names):
            parameter = parameters[min(number, len(parameters) - 1)]  # the last one may be repeated
            if name and "tensor(float)" in allowed.get(parameter.type_str, ()):
                yield name, graph.types[name]


def _attributes(node: onnx.NodeProto) -> dict:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _constant_input(position: int) -> Callable[[onnx.NodeProto, Graph], str]:
    def check(node: onnx.NodeProto, graph: Graph) -> str:
        name = node.input[position] if len(node.input) > position else ""
        return f"{name} is no constant" if name and name not in graph.constants else ""

    return check


def _pooling(node: onnx.NodeProto, graph: Graph) -> str:
    attributes = _attributes(node)
    if len(attributes["kernel_shape"]) not in (2, 3):
        return f"kernel {attributes['kernel_shape']}"
    if set(attributes.get("dilations", [1])) != {1}:
        return f"dilations {attributes['dilations']}"
    return "indices" if len(node.output) > 1 and node.output[1] else ""


def _zero_point(node: onnx.NodeProto, graph: Graph) -> str:
    if len(node.input) < 3 or not node.input[2]:
        # zero then, and quantised values are uint8
        return "" if node.op_type == "DequantizeLinear" else "quantises to uint8"
    zero = graph.constants.get(node.input[2])
    return (
        ""
        if zero is not None and zero.dtype == np.int8 and not zero.any()
        else "zero point is not zero of int8"
    )


def _values_only(node: onnx.NodeProto, graph: Graph) -> str:
    return ", ".join({"sparse_value", "value_string", "value_strings"} & set(_attributes(node)))


def _first_output_only(node: onnx.NodeProto, graph: Graph) -> str:
    return "second output" if len(node.output) > 1 else ""


def _no_reduction(node: onnx.NodeProto, graph: Graph) -> str:
    reduction = _attributes(node).get("reduction", b"none")
    return "" if reduction == b"none" else f"reduction {reduction!r}"


def _sorted_and_few(node: onnx.NodeProto, graph: Graph) -> str:
    count = graph.constants.get(node.input[1])
    is_fine = _attributes(node).get("sorted", 1) == 1 and count is not None and count.max() < 3840
    return "" if is_fine else "sorted must be 1 and K below 3840"


RESTRICTIONS: dict[str, Callable[[onnx.NodeProto, Graph], str]] = {
    "AveragePool": _pooling,
    "Constant": _values_only,
    "CumSum": _constant_input(1),
    "DequantizeLinear": _zero_point,
    "LayerNormalization": _first_output_only,
    "MaxPool": _pooling,
    "Pad": _constant_input(3),
    "QuantizeLinear": _zero_point,
    "Reduce": _constant_input(1),
    "ScatterND": _no_reduction,
    "Slice": _constant_input(3),
    "Squeeze": _constant_input(1),
    "TopK": _sorted_and_few,
    "Unsqueeze": _constant_input(1),
}
