"""The convolutions of a fused graph and what lies between them: nearly all of its weights and arithmetic.

What is left outside is small and delicate: the normalisation of the input, the attention logits and their
softmax over frames, the sigmoids, the weighted mean of members.
"""

import onnx_ir

FORWARD = frozenset({"Relu", "Mul", "MaxPool", "Squeeze", "Transpose", "Reshape", "Concat"})
"""Operators that belong to the trunk where they follow one of its nodes."""
BACKWARD = frozenset({"Concat", "Expand", "Unsqueeze"})
"""Operators that belong to the trunk where they feed nothing else."""
NUMBERS = (onnx_ir.DataType.FLOAT, onnx_ir.DataType.FLOAT16)
"""Shapes, which are integers, are put together by the same operators."""


def trunk_nodes(graph: onnx_ir.Graph) -> set[onnx_ir.Node]:
    """Convolutions, what follows them up to the heads, and how their inputs are put together."""
    trunk: set[onnx_ir.Node] = set()
    for node in graph:
        follows = any(value is not None and value.producer() in trunk for value in node.inputs)
        if node.op_type == "Conv" or (node.op_type in FORWARD and follows):
            trunk.add(node)
    for node in reversed(graph):
        consumers = [use.node for output in node.outputs for use in output.uses()]
        is_number = node.outputs[0].dtype in NUMBERS
        if (
            node.op_type in BACKWARD
            and is_number
            and consumers
            and all(consumer in trunk for consumer in consumers)
        ):
            trunk.add(node)
    return trunk


def inner_nodes(graph: onnx_ir.Graph) -> set[onnx_ir.Node]:
    """Convolutions but the first of each model and the one that gives its scores, and what follows each."""
    trunk = trunk_nodes(graph)
    convolved: set[onnx_ir.Node] = set()
    inner: set[onnx_ir.Node] = set()
    for node in graph:
        sources = {value.producer() for value in node.inputs if value is not None}
        if node.op_type == "Conv":
            if sources & convolved and _is_activated(node):
                inner.add(node)
            convolved.add(node)
        elif node in trunk and sources & convolved:
            convolved.add(node)
            if sources & inner:
                inner.add(node)
    return inner


def _is_activated(node: onnx_ir.Node) -> bool:
    return any(use.node.op_type == "Relu" for use in node.outputs[0].uses())
