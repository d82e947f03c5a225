"""A graph computes and stores everything once, and masks as little as it can."""

from typing import Any

import onnx
import onnx_ir
from onnx_ir.passes import common
from onnxscript.rewriter import pattern, rewrite
from onnxscript.rewriter.rules.common import expand_before_binary_op_rules

ALL_SIZES = 2**62
"""Weights of any size are compared; the passes' own limits would leave out just those worth sharing."""


def simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with equal weights stored once, equal computations done once, and without notes.

    Members that share a model so share its arithmetic. Masks come after pools over mel bands, where there is
    less to multiply. Notes are the exporter's: places in its source code, and the names of its modules.
    """
    graph = rewrite(
        onnx_ir.from_proto(model), pattern_rewrite_rules=[_mask_after_pool(), *expand_before_binary_op_rules]
    )
    passes = onnx_ir.passes.Sequential(
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.IdentityEliminationPass(),
        common.DeduplicateHashedInitializersPass(size_limit=ALL_SIZES),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        common.ClearMetadataAndDocStringPass(),
        common.TopologicalSortPass(),
        common.NameFixPass(),
    )
    passes(graph)
    values = [output for node in graph.graph for output in node.outputs]
    for value in (*values, *graph.graph.inputs, *graph.graph.initializers.values()):
        value.metadata_props.clear()  # the pass clears those of nodes only
    return onnx_ir.to_proto(graph)


def _mask_after_pool() -> pattern.RewriteRule:
    """MaxPool(x * mask) = MaxPool(x) * mask where the mask is not negative and does not vary within a pool."""

    def masked_first(op: Any, planes: object, mask: object) -> object:
        return op.MaxPool(op.Mul(planes, mask), _outputs=["pooled"])

    def masked_last(op: Any, planes: onnx_ir.Value, mask: onnx_ir.Value, pooled: onnx_ir.Value) -> object:
        node = pooled.producer()
        assert node is not None
        unmasked = op.MaxPool(planes, **node.attributes)
        unmasked.shape, unmasked.type = pooled.shape, pooled.type
        return op.Mul(unmasked, mask)

    def is_mask_of_frames(_context: object, mask: onnx_ir.Value, pooled: onnx_ir.Value, **_: object) -> bool:
        return _comes_from(mask, "frame_valid") and _pools_bands_only(pooled.producer())

    return pattern.RewriteRule(masked_first, masked_last, is_mask_of_frames)


def _comes_from(value: onnx_ir.Value | None, name: str) -> bool:
    """Whether a value is that input with axes added."""
    while value is not None and (node := value.producer()) is not None and node.op_type == "Unsqueeze":
        value = node.inputs[0]
    return value is not None and value.name == name


def _pools_bands_only(node: onnx_ir.Node | None) -> bool:
    assert node is not None
    kernel, pads = node.attributes["kernel_shape"].as_ints(), node.attributes.get("pads")
    return kernel[0] == 1 and (pads is None or not any(pads.as_ints()))
