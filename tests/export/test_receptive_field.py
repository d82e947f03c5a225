"""The receptive field read off the graph, and the frames that really change an output."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from edge_app.core.bundle import DEFAULT_BUNDLE, ReceptiveField
from edge_app.core.errors import SedgeError
from edge_app.core.runtime import FusedInput
from export.fuse import FusedEnsemble
from export.onnx import fused_graph
from export.precision import to_float16, to_int8
from export.receptive_field import Reach, frame_reaches, receptive_field
from tests.export.graphs import exported, memory, open_session, real_frames, run_graph
from train.models.mlfl import MLFL, MLFLConfig
from train.models.tag_cnn import TagCNN, TagCNNConfig

N_FRAMES = 41
FIELD = ReceptiveField(mlfl=5, tag_cnn=12)


def calls(n_members: int, n_labels: int) -> list[FusedInput]:
    frames, ones = real_frames(1, 200).numpy(), np.ones((1, 200), np.float32)
    empty = np.zeros((1, n_members, 0, n_labels), np.float32)
    return [FusedInput(frames, ones, ones, empty, empty)]


@pytest.fixture(scope="module", params=["float32", "float16", "int8"])
def model(request) -> onnx.ModelProto:
    graph = exported(2)
    if request.param == "float16":
        return to_float16(graph.model)
    if request.param == "int8":
        return to_int8(graph.model, calls(2, graph.fused.n_labels))
    return graph.model


@pytest.fixture(scope="module")
def touched(model) -> dict[str, np.ndarray]:
    """For logit and scores: whether a change of input frame i changes output frame t, at [i, t].

    No frame of the call is pooled, so the tags rest on the memory alone and do not move.
    """
    session, fused = open_session(model), exported(2).fused
    frames = real_frames(1, N_FRAMES)
    ones, none = torch.ones(1, N_FRAMES), torch.zeros(1, N_FRAMES)
    remembered = memory(fused, 1, 30)
    still = run_graph(session, (frames, ones, none, *remembered))
    moved: dict[str, list[np.ndarray]] = {"logit": [], "scores": []}
    for frame in range(N_FRAMES):
        changed = frames.clone()
        # no constant: a convolution without a bias toward the middle would pass over it
        changed[0, frame] += torch.linspace(-30, 30, 128)
        scores, tags, logit, _ = run_graph(session, (changed, ones, none, *remembered))
        np.testing.assert_array_equal(tags, still[1])
        moved["scores"].append((scores != still[0]).any(axis=(0, 2)))
        moved["logit"].append((logit != still[2]).any(axis=(0, 1, 3)))
    return {name: np.stack(rows) for name, rows in moved.items()}


def test_field_is_that_of_the_published_models(model) -> None:
    assert receptive_field(model) == FIELD
    assert frame_reaches(model) == {"logit": Reach(2, 5, 5), "scores": Reach(1, 12, 12)}


def test_no_frame_beyond_the_field_changes_an_output(model, touched) -> None:
    reaches = frame_reaches(model)
    for name, changes in touched.items():
        for source, target in zip(*np.nonzero(changes), strict=True):
            assert -reaches[name].after <= target - source <= reaches[name].before, name


def test_frames_at_both_edges_of_the_field_change_an_output(model, touched) -> None:
    reaches = frame_reaches(model)
    if "QuantizeLinear" in {node.op_type for node in model.graph.node}:
        touched = {
            "logit": touched["logit"]
        }  # twelve roundings to 8 bits swallow what the edge adds to a score
    for name, changes in touched.items():
        before, after = reaches[name].before, reaches[name].after
        assert np.diagonal(changes, -after).any(), name
        assert np.diagonal(changes, before).any(), name


def test_field_of_the_built_in_model_is_the_one_in_its_manifest() -> None:
    assert receptive_field(onnx.load(DEFAULT_BUNDLE / "fused.onnx")) == FIELD


@pytest.mark.slow
def test_field_of_other_models_is_theirs_and_the_widest_of_the_members() -> None:
    configs = [
        (MLFLConfig(3, channels=(4, 4, 4), kernels=(3, 1, 1)), (4, 4, 4, 4, 4), (8,)),
        (MLFLConfig(3, channels=(4, 4, 4), kernels=(3, 3, 7)), (4, 4, 4, 4, 4), (8, 8)),
    ]
    members = [
        (MLFL(mlfl), TagCNN(TagCNNConfig(3, channels=planes, pool_after=(1, 2, 3, 4, 5), row_channels=rows)))
        for mlfl, planes, rows in configs
    ]
    for mlfl, tag_cnn in members:
        found = receptive_field(fused_graph(FusedEnsemble([(mlfl, tag_cnn)], (1.0,))))
        assert found == ReceptiveField(
            mlfl=mlfl.config.receptive_field, tag_cnn=tag_cnn.config.receptive_field
        )
    both = receptive_field(fused_graph(FusedEnsemble(members, (0.5, 0.5))))
    assert both == ReceptiveField(mlfl=5, tag_cnn=8)


def small_graph(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray] | None = None) -> onnx.ModelProto:
    """A graph from log_mel (batch frame 8) by `nodes` to `scores`; the logit is log_mel itself, unsqueezed."""
    constants = {"one": np.array([1]), **(constants or {})}
    graph = helper.make_graph(
        [*nodes, helper.make_node("Unsqueeze", ["log_mel", "one"], ["logit"], name="last")],
        "small",
        [helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, ["batch", "frame", 8])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)
            for name, rank in (("scores", 3), ("logit", 4))
        ],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def convolution(size: int, **attributes: Any) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """Convolution over frames of the transposed log_mel."""
    nodes = [
        helper.make_node("Transpose", ["log_mel"], ["bands"], perm=[0, 2, 1]),
        helper.make_node(
            "Conv", ["bands", "weight"], ["mixed"], name="blur", kernel_shape=[size], **attributes
        ),
        helper.make_node("Transpose", ["mixed"], ["scores"], perm=[0, 2, 1]),
    ]
    return nodes, {"weight": np.ones((4, 8, size), np.float32)}


@pytest.mark.parametrize(
    ("size", "attributes", "before", "after"),
    [
        (3, {"pads": [1, 1]}, 1, 1),
        (5, {"pads": [4, 0]}, 4, 0),
        (3, {"pads": [0, 2]}, 0, 2),
        (3, {"pads": [2, 2], "dilations": [2]}, 2, 2),
        (1, {}, 0, 0),
    ],
)
def test_windows_reach_as_far_as_their_padding(size, attributes, before, after) -> None:
    nodes, constants = convolution(size, **attributes)
    reach = frame_reaches(small_graph(*nodes, constants=constants))["scores"]
    assert (reach.before, reach.after) == (before, after)


def refused(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray] | None = None) -> str:
    with pytest.raises(SedgeError) as caught:
        receptive_field(small_graph(*nodes, constants=constants))
    return str(caught.value)


@pytest.mark.parametrize(
    ("size", "attributes"),
    [
        (3, {"pads": [1, 1], "strides": [2]}),
        (3, {}),
        (3, {"pads": [3, 3]}),
        (3, {"auto_pad": "SAME_UPPER"}),
    ],
)
def test_windows_that_move_the_frames_are_refused_by_name(size, attributes) -> None:
    nodes, constants = convolution(size, **attributes)
    assert "Conv 'blur': expected stride 1 and 2 frames of padding" in refused(*nodes, constants=constants)


def node(kind: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, ["log_mel", *inputs], ["scores"], name="guilty", **attributes)


@pytest.mark.parametrize(
    "mixing",
    [
        node("CumSum", "one"),
        node("ReduceMean", "one", keepdims=1),
        node("ReduceSum", "one", keepdims=1),
        node("Softmax", axis=1),
        node("Concat", "log_mel", axis=1),
        node("Reshape", "shape"),
        node("Gather", "one", axis=1),
        node("MatMul", "square"),
        node("ReverseSequence", "one"),
    ],
    ids=lambda mixing: mixing.op_type,
)
def test_what_might_mix_frames_is_refused_by_name(mixing) -> None:
    constants = {"shape": np.array([1, -1, 8]), "square": np.ones((1, 8, 8), np.float32)}
    assert "guilty" in refused(mixing, constants=constants)


def test_a_frame_in_the_channels_of_a_convolution_is_refused() -> None:
    nodes = [helper.make_node("Conv", ["log_mel", "weight"], ["scores"], name="blind")]
    assert "'blind': expected frames on a spatial axis" in refused(
        *nodes, constants={"weight": np.ones((4, 8, 1), np.float32)}
    )


def test_mixed_frames_go_through_no_convolution() -> None:
    nodes, constants = convolution(1)
    nodes[0] = helper.make_node("Transpose", ["twice"], ["bands"], perm=[0, 2, 1])
    doubled = helper.make_node("Concat", ["log_mel", "log_mel"], ["twice"], axis=1, name="doubling")
    assert "found what doubling mixed" in refused(doubled, *nodes, constants=constants)
