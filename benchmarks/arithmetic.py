"""How much arithmetic a graph is, and how fast this machine's matrix products are: what its speed is measured by."""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

COUNTED = ("Conv", "Gemm", "GRU", "MatMul")
"""Operators that are matrix products at heart; the others of these graphs are a few in a hundred of it."""
SHAPE_SUFFIX = ":shape"
PRODUCT_SIZE = 1024
"""Rows of the matrices that the machine's rate is measured with: 4 MB each, well past its best size's beginning."""

Shape = tuple[int, ...]


def count_flop(path: Path, feed: Mapping[str, NDArray[np.float32]]) -> int:
    """Floating-point operations of a graph's convolutions and matrix products on these inputs, two a multiplication.

    Every shape is asked of a run of the graph, so whatever the graph computes its shapes from is right.
    """
    model = onnx.load(path)
    nodes = [node for node in model.graph.node if node.op_type in COUNTED]
    shapes = _shapes(model, nodes, feed)
    return sum(_node_flop(node, shapes) for node in nodes)


def _shapes(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], feed: Mapping[str, NDArray[np.float32]]
) -> dict[str, Shape]:
    """Shapes of all inputs of the nodes, and of the first output of each."""
    known: dict[str, Shape] = {each.name: tuple(each.dims) for each in model.graph.initializer}
    known |= {name: value.shape for name, value in feed.items()}
    wanted = {name for node in nodes for name in (*node.input, node.output[0]) if name} - set(known)
    for name in sorted(wanted):
        model.graph.node.append(onnx.helper.make_node("Shape", [name], [name + SHAPE_SUFFIX]))
        model.graph.output.append(onnx.ValueInfoProto(name=name + SHAPE_SUFFIX))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [name + SHAPE_SUFFIX for name in sorted(wanted)]
    found = session.run(names, dict(feed)) if names else []
    return known | {name: tuple(map(int, shape)) for name, shape in zip(sorted(wanted), found, strict=True)}


def _node_flop(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    rows, weight, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":
        return 2 * prod(out) * prod(weight[1:])
    if (
        node.op_type == "GRU"
    ):  # three gates, each from the input and from the state, at each step and direction
        steps, batch, n_in = rows
        directions, gates, _ = weight
        return 2 * steps * batch * directions * gates * (n_in + gates // 3)
    transposed = any(each.name == "transA" and each.i for each in node.attribute)
    return 2 * prod(out) * rows[-2 if transposed else -1]


class MatrixProduct:
    """A float32 matrix product of NumPy, as many threads as the environment gives it."""

    def __init__(self, size: int = PRODUCT_SIZE) -> None:
        source = np.random.default_rng(0)
        self.size = size
        self._left, self._right = (source.standard_normal((size, size), np.float32) for _ in range(2))
        self._product = np.empty((size, size), np.float32)
        self.flop = 2 * size**3

    def run(self) -> None:
        """Multiply once."""
        np.matmul(self._left, self._right, out=self._product)
