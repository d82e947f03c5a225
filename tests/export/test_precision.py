"""The graph in half precision and in 8-bit integers: what stays exact, what is lost, and what is refused."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge_app.core.audio import read_blocks
from edge_app.core.bundle import Bundle, load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.logmel import log_mel
from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES, FusedInput
from edge_app.core.runtime_onnx import OnnxRuntime
from export.checking.agreement import disagreements, hear, n_same
from export.convert import Target, convert_bundle
from export.precision import to_float16, to_int8
from export.simplify import simplified
from tests.export.graphs import exported, open_session, padded_call, run_graph
from tests.models import DEMO_CLIP

TOLERANCE = 1e-2
MEMBERS = [1, 2, pytest.param(4, marks=pytest.mark.slow)]
TYPES = onnx.TensorProto


@dataclass(frozen=True)
class BuiltIn:
    """The model that comes with the program, in several precisions."""

    bundle: Bundle
    plain: onnx.ModelProto
    call: FusedInput


@pytest.fixture(scope="module")
def built_in() -> BuiltIn:
    bundle = load_bundle()
    waveform = np.concatenate(list(read_blocks(DEMO_CLIP)))
    frames = log_mel(waveform[: 10 * 16000])[None]
    ones = np.ones(frames.shape[:2], np.float32)
    empty = np.zeros((1, len(bundle.manifest.members), 0, len(bundle.manifest.event_labels)), np.float32)
    call = FusedInput(frames, ones, ones, empty, empty)
    return BuiltIn(bundle, simplified(onnx.load(bundle.graph_path)), call)


@pytest.fixture(scope="module")
def small(built_in) -> onnx.ModelProto:
    """The built-in model in int8, calibrated on the recording that it is compared on."""
    return to_int8(built_in.plain, [built_in.call])


def outputs(model: onnx.ModelProto, call: FusedInput) -> dict[str, np.ndarray]:
    inputs = tuple(torch.from_numpy(getattr(call, name)) for name in INPUT_NAMES)
    return dict(zip(OUTPUT_NAMES, run_graph(open_session(model), inputs), strict=True))


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        tensor.name: tensor.data_type for tensor in graph.initializer
    }


@pytest.mark.parametrize("n_members", MEMBERS)
def test_float16_gives_what_torch_gives(n_members) -> None:
    graph = exported(n_members)
    session = open_session(to_float16(graph.model))
    for batch, past in ((1, 0), (8, 1), (1, 250), (8, 500)):
        inputs = padded_call(graph.fused, batch, past)
        with torch.no_grad():
            expected = graph.fused(*inputs)
        for name, ours, theirs in zip(OUTPUT_NAMES, run_graph(session, inputs), expected, strict=True):
            # scores and tags are within 0 ... 1; the two numbers behind them may be large
            scale = max(1.0, float(theirs.abs().max()))
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=TOLERANCE * scale, err_msg=name)


def test_float16_halves_the_file(built_in) -> None:
    half = to_float16(built_in.plain)
    assert half.ByteSize() < 0.52 * built_in.plain.ByteSize()
    onnx.checker.check_model(half, full_check=True)


def test_inputs_and_outputs_stay_float32(built_in) -> None:
    for model in (to_float16(built_in.plain), exported(1).model):
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.elem_type == TYPES.FLOAT


def test_what_is_delicate_stays_float32_and_convolutions_do_not(built_in) -> None:
    model = to_float16(built_in.plain)
    of = types(model)
    for node in model.graph.node:
        if node.op_type in (
            "Softmax",
            "Sigmoid",
            "ReduceSum",
            "ReduceMean",
            "Clip",
            "Sub",
            "Div",
            "MatMul",
            "Gather",
        ):
            assert of[node.input[0]] == TYPES.FLOAT, node.name
        if node.op_type in ("Conv", "Relu", "MaxPool"):
            assert {of[name] for name in node.input} == {TYPES.FLOAT16}, node.name
    heavy = [tensor for tensor in model.graph.initializer if len(tensor.dims) >= 3]
    assert heavy
    assert {tensor.data_type for tensor in heavy} == {TYPES.FLOAT16}


def test_the_input_is_rounded_once_after_its_normalisation(built_in) -> None:
    model = to_float16(built_in.plain)
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type == "Cast" and node.attribute[0].i == TYPES.FLOAT16:
            source = makers.get(node.input[0])
            assert source is None or source.op_type in ("Mul", "Transpose")
            assert node.input[0] != "log_mel"
            assert node.input[0] == "frame_valid" or source is not None


def test_weights_beyond_float16_are_refused() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported(1).model)
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    large = np.full(tuple(weight.dims), 1e5, np.float32)
    weight.CopyFrom(onnx.numpy_helper.from_array(large, weight.name))
    with pytest.raises(SedgeError, match=r"float16: .*: expected weights up to 65504, found 100000"):
        to_float16(model)


def test_float16_hears_the_same_events_in_a_real_recording(built_in, tmp_path) -> None:
    half = convert_bundle(built_in.bundle, Target("float16"), tmp_path / "half")
    manifest = built_in.bundle.manifest
    assert half.manifest.graph.precision == "float16"
    assert half.manifest.decoding == manifest.decoding
    plain, halved = (hear(Detector(each, OnnxRuntime(each)), DEMO_CLIP) for each in (built_in.bundle, half))
    assert abs(halved.scores - plain.scores).max() <= TOLERANCE
    found = disagreements(plain, halved, manifest.event_labels, manifest.decoding, TOLERANCE)
    assert all(each.excused for each in found)
    assert n_same(plain.events, halved.events) > len(plain.events) / 2


def test_int8_is_close_on_a_real_recording_and_a_quarter_in_size(built_in, small) -> None:
    onnx.checker.check_model(small, full_check=True)
    assert small.ByteSize() < 0.32 * built_in.plain.ByteSize()
    plain, quantised = outputs(built_in.plain, built_in.call), outputs(small, built_in.call)
    assert abs(plain["scores"] - quantised["scores"]).max() < 0.1
    assert abs(plain["scores"] - quantised["scores"]).mean() < 0.005
    assert abs(plain["tags"] - quantised["tags"]).max() < 0.05


def test_int8_quantises_inner_convolutions_per_channel_and_leaves_first_and_last(small) -> None:
    makers = {name: node for node in small.graph.node for name in node.output}
    stored = {tensor.name: tensor for tensor in small.graph.initializer}
    quantised, plain = [], []
    for node in small.graph.node:
        if node.op_type == "Conv":
            (quantised if node.input[1] in makers else plain).append(node)
    # of the shared MLFL the first, of both tag-conditioned CNNs the first and the last
    assert len(plain) == 5
    assert len(quantised) == 22
    for node in quantised:
        dequantise = makers[node.input[1]]
        assert dequantise.op_type == "DequantizeLinear"
        weight, scale = stored[dequantise.input[0]], stored[dequantise.input[1]]
        assert weight.data_type == TYPES.INT8
        assert list(scale.dims) == [weight.dims[0]]


def test_int8_without_clips_is_refused(built_in) -> None:
    with pytest.raises(SedgeError, match="int8: expected clips to calibrate on, found none"):
        to_int8(built_in.plain, [])


def test_only_a_float32_bundle_is_converted(built_in, tmp_path) -> None:
    half = convert_bundle(built_in.bundle, Target("float16"), tmp_path / "half")
    with pytest.raises(
        SedgeError, match=r"graph\.precision: expected float32 to convert from, found float16"
    ):
        convert_bundle(half, Target("float32"), tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == ["half"]


def test_int8_bundle_without_measured_clips_is_refused(built_in, tmp_path) -> None:
    with pytest.raises(
        SedgeError, match="int8: expected clips to calibrate on and annotated clips to measure"
    ):
        convert_bundle(built_in.bundle, Target("int8", (Path(DEMO_CLIP),)), tmp_path / "small")
    assert list(tmp_path.iterdir()) == []
