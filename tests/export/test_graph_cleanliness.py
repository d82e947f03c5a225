"""What an exported graph holds, and what it does not hold any more."""

from collections import Counter

import onnx
import onnx_ir
import pytest
from onnx import numpy_helper

from edge_app.core.bundle import DEFAULT_BUNDLE
from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES
from export.fuse import FusedMember
from export.onnx import write_graph
from export.simplify import simplified
from tests.export.graphs import KINDS, Exported, exported, open_session, real_frames, run_graph


@pytest.fixture(scope="module", params=[1, 2], ids="K={}".format)
def graph(request) -> Exported:
    return exported(request.param)


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def axes(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_graph_has_the_names_and_shapes_of_the_contract(graph) -> None:
    members, labels = len(graph.fused.members), graph.fused.n_labels
    assert {value.name: axes(value) for value in graph.model.graph.input} == {
        "log_mel": ["batch", "frame", 128],
        "frame_valid": ["batch", "frame"],
        "frame_pooled": ["batch", "frame"],
        "memory_logit": ["batch", members, "past", labels],
        "memory_evidence": ["batch", members, "past", labels],
    }
    assert {value.name: axes(value) for value in graph.model.graph.output} == {
        "scores": ["batch", "frame", labels],
        "tags": ["batch", members, labels],
        "logit": ["batch", members, "frame", labels],
        "evidence": ["batch", members, "frame", labels],
    }
    assert [value.name for value in graph.model.graph.input] == list(INPUT_NAMES)
    assert [value.name for value in graph.model.graph.output] == list(OUTPUT_NAMES)


def test_every_dimension_is_a_number_or_has_a_name(graph) -> None:
    values = {value.name: axes(value) for value in graph.model.graph.value_info}
    made = {name for node in graph.model.graph.node for name in node.output} - set(OUTPUT_NAMES)
    assert made <= set(values)
    names = {axis for shape in values.values() for axis in shape if isinstance(axis, str)}
    assert names == {"batch", "frame", "past", "past + frame"}


def test_graph_is_one_file_that_the_checker_passes(graph, tmp_path) -> None:
    write_graph(graph.model, tmp_path / "fused.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["fused.onnx"]
    onnx.checker.check_model(tmp_path / "fused.onnx", full_check=True)
    assert not any(tensor.external_data for tensor in onnx.load(tmp_path / "fused.onnx").graph.initializer)


def test_no_batch_norm_is_left(graph) -> None:
    assert "BatchNormalization" not in kinds(graph.model)
    assert kinds(graph.model)["Conv"] == 3 + 12 * len(graph.fused.members)


def test_no_weight_is_stored_twice(graph) -> None:
    stored = [
        (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        for tensor in graph.model.graph.initializer
    ]
    assert len(stored) == len(set(stored))


def test_nothing_is_computed_twice(graph) -> None:
    done = [
        (node.op_type, tuple(node.input), str(sorted(map(str, node.attribute))))
        for node in graph.model.graph.node
    ]
    assert len(done) == len(set(done))


def test_members_that_share_a_model_share_its_arithmetic() -> None:
    alone, pair = kinds(exported(1).model), kinds(exported(2).model)
    assert pair["Conv"] == alone["Conv"] + 12
    assert pair["MaxPool"] == alone["MaxPool"] + 5
    assert pair["MatMul"] == alone["MatMul"] == 2
    assert pair["Softmax"] == 2  # each member has a memory of its own
    weights = sum(tensor.ByteSize() for tensor in exported(2).model.graph.initializer)
    first = exported(2).fused.members[0]
    assert isinstance(first, FusedMember)
    mlfl = sum(weight.numel() for weight in first.mlfl.blocks.parameters())
    apart = sum(weight.numel() for weight in exported(2).fused.parameters())
    assert weights < 4 * (apart - mlfl) + 100 * len(exported(2).model.graph.initializer)


def test_masks_come_after_the_pools_over_bands(graph) -> None:
    makers = {name: node for node in graph.model.graph.node for name in node.output}
    pools = [node for node in graph.model.graph.node if node.op_type == "MaxPool"]
    assert len(pools) == 3 + 5 * len(graph.fused.members)
    assert {makers[pool.input[0]].op_type for pool in pools} == {"Relu"}


def test_graph_tells_nothing_of_where_it_was_made(graph) -> None:
    model = graph.model
    parts = [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer]
    assert not any(part.doc_string or part.metadata_props for part in parts)
    assert b".py" not in model.SerializeToString()


def test_simplifying_an_older_graph_changes_no_output() -> None:
    older = onnx.load(DEFAULT_BUNDLE / "fused.onnx")
    newer = simplified(older)
    assert len(newer.graph.node) <= len(older.graph.node)
    frames = real_frames(2, 80)
    n_members, n_labels = map(int, axes(older.graph.input[3])[1::2])
    ones, logit = frames.new_ones(2, 80), frames.new_ones(2, n_members, 30, n_labels)
    ones[1, 70:] = 0
    inputs = (frames, ones, ones, logit, 0.3 * logit)
    for ours, theirs in zip(
        run_graph(open_session(newer), inputs), run_graph(open_session(older), inputs), strict=True
    ):
        assert abs(ours - theirs).max() < 1e-5


def test_simplifying_twice_changes_nothing_more(graph) -> None:
    again = onnx_ir.from_proto(simplified(graph.model))
    assert [node.op_type for node in again.graph] == [node.op_type for node in graph.model.graph.node]


def test_kinds_of_graphs_cover_what_is_promised() -> None:
    assert {of[0] for of in KINDS.values()} == {8, 10}
    assert all(abs(sum(of[1]) - 1) < 1e-9 and len(of[1]) == n for n, of in KINDS.items())
