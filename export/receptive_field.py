"""How many frames of `log_mel` a frame of `logit` and of `scores` depends on, read off the graph.

A walk from `log_mel` forward, which knows for each value where its frames lie and how far before and after
itself a frame has looked. The tags are a condition and no part of the field: a sum over frames that a softmax
over them weighs ends the walk there. Whatever else might mix frames, or is not known, is refused by name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import cast

import onnx
import onnx_ir

from edge_app.core.bundle import ReceptiveField
from edge_app.core.errors import SedgeError

ELEMENTWISE = frozenset(
    {"Add", "Cast", "Clip", "DequantizeLinear", "Div", "Identity", "Max", "Min", "Mul", "Neg"}
    | {"QuantizeLinear", "Relu", "Sigmoid", "Sub"}
)


@dataclass(frozen=True)
class Reach:
    """Frames of the input that a frame of a value depends on."""

    axis: int
    """Axis of the value that counts frames."""
    before: int = 0
    after: int = 0
    mixed_by: str | None = None
    """The node since which the axis no longer counts the input's frames alone, if there is one."""
    weighed: bool = False
    """Whether a softmax over frames has weighed them: their sum is a tag."""


@dataclass(frozen=True)
class Step:
    """One node on the walk, and what is known of its inputs."""

    node: onnx_ir.Node
    reaches: tuple[Reach | None, ...]

    def refused(self, reason: str) -> SedgeError:
        """Why the walk ends here."""
        return SedgeError(f"receptive field: {self.node.op_type} {self.node.name!r}: {reason}")

    @property
    def only(self) -> Reach:
        """The reach of the first input, the only one that may have frames."""
        first, *others = self.reaches
        if first is None or any(others):
            raise self.refused("expected frames in its first input only")
        return first

    @property
    def aligned(self) -> Reach:
        """As `only`, refusing an axis that no longer counts the input's frames."""
        if self.only.mixed_by is not None:
            raise self.refused(f"expected frames of the input, found what {self.only.mixed_by} mixed")
        return self.only

    def rank(self, index: int = 0) -> int:
        """Number of axes of an input."""
        return len(self.shape(self.node.inputs[index]))

    def shape(self, value: onnx_ir.Value | None) -> onnx_ir.Shape:
        """Shape of a value; SedgeError where it is not known."""
        if value is None or value.shape is None:
            raise self.refused("expected values of known shapes")
        return value.shape

    def integers(self, name: str, index: int | None = None) -> list[int] | None:
        """An attribute, or a constant input, that holds whole numbers."""
        if name in self.node.attributes:
            attribute = self.node.attributes[name]
            value = attribute.value
            return [int(value)] if isinstance(value, int) else [int(number) for number in value]
        if index is None or index >= len(self.node.inputs) or self.node.inputs[index] is None:
            return None
        constant = cast(onnx_ir.Value, self.node.inputs[index]).const_value
        if constant is None:
            raise self.refused(f"expected constant {name}")
        return [int(number) for number in constant.numpy().reshape(-1)]

    def axes(self, rank: int) -> list[int]:
        """The axes that the node names, counted from the front."""
        named = self.integers("axis") or self.integers("axes", 1)
        if named is None:
            raise self.refused("expected axes")
        return [axis % rank for axis in named]


def receptive_field(model: onnx.ModelProto) -> ReceptiveField:
    """Frames to either side, the larger of both, that `logit` (mlfl) and `scores` (tag_cnn) depend on.

    Raises SedgeError with the name of the node that mixes frames otherwise than by stride-one windows and tags.
    """
    reaches = frame_reaches(model)
    return ReceptiveField(
        mlfl=max(reaches["logit"].before, reaches["logit"].after),
        tag_cnn=max(reaches["scores"].before, reaches["scores"].after),
    )


def frame_reaches(model: onnx.ModelProto) -> dict[str, Reach]:
    """Reach of `logit` and `scores`, before and after."""
    graph = onnx_ir.from_proto(onnx.shape_inference.infer_shapes(model, data_prop=True)).graph
    known: dict[onnx_ir.Value, Reach] = {
        value: Reach(axis=1) for value in graph.inputs if value.name == "log_mel"
    }
    for node in graph:
        step = Step(node, tuple(known.get(value) if value else None for value in node.inputs))
        if any(step.reaches) and (found := _walked(step)) is not None:
            known.update(dict.fromkeys(node.outputs, found))
    outputs = {value.name: known.get(value) for value in graph.outputs}
    return {name: _of_output(name, outputs.get(name), axis) for name, axis in (("logit", 2), ("scores", 1))}


def _of_output(name: str, reach: Reach | None, axis: int) -> Reach:
    if reach is None or reach.mixed_by is not None or reach.axis != axis:
        found = "none" if reach is None else f"them on axis {reach.axis}, mixed by {reach.mixed_by}"
        raise SedgeError(f"receptive field: {name}: expected frames on axis {axis}, found {found}")
    return reach


def _walked(step: Step) -> Reach | None:
    """Reach of a node's outputs; None where no frames are left, as in a shape or a tag."""
    kind = step.node.op_type
    if kind in ELEMENTWISE:
        return _elementwise(step)
    if kind not in WALKS:
        raise step.refused("expected an operator that is known not to mix frames")
    return WALKS[kind](step)


def _elementwise(step: Step) -> Reach:
    """Values of the same frame meet; shapes are aligned at their last axes."""
    rank = max(step.rank(index) for index, value in enumerate(step.node.inputs) if value is not None)
    moved = [
        Reach(reach.axis + rank - step.rank(index), reach.before, reach.after, reach.mixed_by, reach.weighed)
        for index, reach in enumerate(step.reaches)
        if reach is not None
    ]
    return _union(step, moved)


def _union(step: Step, reaches: list[Reach]) -> Reach:
    if len({reach.axis for reach in reaches}) > 1:
        raise step.refused("expected frames on one axis of all inputs")
    mixed = [reach.mixed_by for reach in reaches if reach.mixed_by is not None]
    return Reach(
        reaches[0].axis,
        max(reach.before for reach in reaches),
        max(reach.after for reach in reaches),
        mixed[0] if mixed else None,
        any(reach.weighed for reach in reaches),
    )


def _moved(reach: Reach, axis: int) -> Reach:
    return Reach(axis, reach.before, reach.after, reach.mixed_by, reach.weighed)


def _window(step: Step) -> Reach:
    """Convolutions and pools: output frame t looks at t - pad ... t - pad + dilation (kernel - 1)."""
    reach = step.aligned
    axis = reach.axis - 2
    n_spatial = step.rank() - 2
    if axis < 0:
        raise step.refused("expected frames on a spatial axis")
    kernel = step.integers("kernel_shape")
    if kernel is None:
        raise step.refused("expected a kernel_shape")
    pads = step.integers("pads") or [0] * 2 * n_spatial
    stride, dilation = ((step.integers(name) or [1] * n_spatial)[axis] for name in ("strides", "dilations"))
    span = dilation * (kernel[axis] - 1)
    auto_pad = step.node.attributes.get_string("auto_pad", "NOTSET")
    before, after = pads[axis], pads[axis + n_spatial]
    if stride != 1 or auto_pad != "NOTSET" or before + after != span:
        raise step.refused(
            f"expected stride 1 and {span} frames of padding, found stride {stride}, {auto_pad} and {before} + {after}"
        )
    return Reach(reach.axis, reach.before + before, reach.after + span - before)


def _matmul(step: Step) -> Reach:
    reach = step.aligned
    if reach.axis == step.rank() - 1 or step.rank(1) != 2:
        raise step.refused("expected a product over another axis than frames, with one matrix")
    return reach


def _transpose(step: Step) -> Reach:
    order = step.integers("perm") or list(range(step.rank()))[::-1]
    return _moved(step.only, order.index(step.only.axis))


def _unsqueeze(step: Step) -> Reach:
    rank = len(step.shape(step.node.outputs[0]))
    added = step.axes(rank)
    kept = [axis for axis in range(rank) if axis not in added]
    return _moved(step.only, kept[step.only.axis])


def _squeeze(step: Step) -> Reach:
    removed = step.axes(step.rank())
    kept = [axis for axis in range(step.rank()) if axis not in removed]
    if step.only.axis not in kept:
        raise step.refused("expected frames on an axis that stays")
    return _moved(step.only, kept.index(step.only.axis))


def _expand(step: Step) -> Reach:
    return _moved(step.only, step.only.axis + len(step.shape(step.node.outputs[0])) - step.rank())


def _reshape(step: Step) -> Reach:
    """Frames stay whole where as much lies before and after their axis as did, and it is the open one."""
    reach, old = step.aligned, list(step.shape(step.node.inputs[0]))
    new = list(step.shape(step.node.outputs[0]))
    around = _volume(old[: reach.axis]), _volume(old[reach.axis + 1 :])
    places = [
        axis
        for axis in range(len(new))
        if not isinstance(new[axis], int) and (_volume(new[:axis]), _volume(new[axis + 1 :])) == around
    ]
    if len(places) != 1 or around[1][1]:
        raise step.refused(f"expected frames to stay whole, found {old} as {new}")
    return _moved(reach, places[0])


def _volume(sizes: list[int | onnx_ir.SymbolicDim]) -> tuple[int, int]:
    """Product of the known sizes, and how many others there are."""
    numbers = [size for size in sizes if isinstance(size, int)]
    return prod(numbers), len(sizes) - len(numbers)


def _softmax(step: Step) -> Reach:
    axis = (step.integers("axis") or [-1])[0] % step.rank()
    reach = step.only
    if axis != reach.axis:
        return step.aligned
    return Reach(axis, reach.before, reach.after, reach.mixed_by or step.node.name, weighed=True)


def _reduce(step: Step) -> Reach | None:
    reach, gone = step.only, step.axes(step.rank())
    if reach.axis not in gone:
        keeps = (step.integers("keepdims") or [1])[0]
        return reach if keeps else _moved(reach, reach.axis - sum(axis < reach.axis for axis in gone))
    if step.node.op_type == "ReduceSum" and reach.weighed:
        return None
    raise step.refused("expected no mean or sum over frames but that of tags")


def _concat(step: Step) -> Reach:
    """Beside each other, frames stay; after each other, they are those of the memory and of the call."""
    reach = _union(step, [reach for reach in step.reaches if reach is not None])
    axis = step.axes(step.rank())[0]
    return reach if axis != reach.axis else Reach(axis, reach.before, reach.after, step.node.name)


def _gather(step: Step) -> Reach:
    axis = (step.integers("axis") or [0])[0] % step.rank()
    if axis == step.only.axis or step.rank(1) > 1:
        raise step.refused("expected parts of another axis than frames")
    return _moved(step.only, step.only.axis - (step.rank(1) == 0 and axis < step.only.axis))


def _split(step: Step) -> Reach:
    if (step.integers("axis") or [0])[0] % step.rank() == step.only.axis:
        raise step.refused("expected parts of another axis than frames")
    return step.only


WALKS: dict[str, Callable[[Step], Reach | None]] = {
    "AveragePool": _window,
    "BatchNormalization": lambda step: step.only,
    "Concat": _concat,
    "Conv": _window,
    "Expand": _expand,
    "Gather": _gather,
    "MatMul": _matmul,
    "MaxPool": _window,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Shape": lambda _: None,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
