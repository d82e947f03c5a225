"""The front end inside the graph: the same frames and the same scores as NumPy features before the graph."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.bundle import load_bundle
from edge_app.core.engine_cache import EngineFile, EngineKey, EngineMetadata, ProfileName
from edge_app.core.errors import SedgeError
from edge_app.core.logmel import LogMelConfig, log_mel
from edge_app.core.runtime import EMPTY_LOGIT, INPUT_NAMES, OUTPUT_NAMES
from export.precision import to_float16
from export.tensorrt import check as tensorrt_check
from export.waveform import INPUT_NAME, fourier_matrix, samples_for, with_waveform_input
from tests.export.graphs import open_session
from tests.models import DEMO_CLIP

CONFIG = LogMelConfig()
MARGIN, HOP = 320, 320


def recording(n_samples: int) -> np.ndarray:
    waveform, rate = soundfile.read(DEMO_CLIP, dtype="float32", frames=n_samples)
    assert rate == CONFIG.sample_rate
    return waveform


def framed(waveform: np.ndarray) -> np.ndarray:
    """The samples that a whole signal's frames need: zeros outside it, and what is left of a last cell."""
    frames = len(waveform) // HOP
    around = np.concatenate([np.zeros(MARGIN), waveform, np.zeros(MARGIN)]).astype(np.float32)
    return around[None, : HOP * (frames + 2)]


def rest_of_call(session: onnxruntime.InferenceSession, batch: int, frames: int, past: int = 0) -> dict:
    shapes = {node.name: node.shape for node in session.get_inputs()}
    _, members, _, labels = shapes["memory_logit"]
    ones = np.ones((batch, frames), np.float32)
    rng = np.random.default_rng(frames)
    memory = rng.normal(size=(2, batch, members, past, labels)).astype(np.float32)
    return {
        "frame_valid": ones,
        "frame_pooled": ones,
        "memory_logit": memory[0],
        "memory_evidence": memory[1],
    }


@pytest.fixture(scope="module")
def fused() -> onnx.ModelProto:
    """The graph of the built-in bundle."""
    return onnx.load(load_bundle().graph_path)


@pytest.fixture(scope="module")
def sessions(fused) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
    """The graph with log-mel input, and with samples."""
    return open_session(fused), open_session(with_waveform_input(fused, CONFIG))


@pytest.fixture(scope="module")
def front_end(fused) -> onnxruntime.InferenceSession:
    """The features that the graph with samples computes on its way."""
    model = with_waveform_input(fused, CONFIG)
    del model.graph.output[:], model.graph.input[1:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("log_mel", onnx.TensorProto.FLOAT, None))
    used = [
        node for node in model.graph.node if node.name.startswith("front_end") or node.output[0] == "log_mel"
    ]
    del model.graph.node[:]
    model.graph.node.extend(used)
    return open_session(model)


def features(front_end: onnxruntime.InferenceSession, samples: np.ndarray) -> np.ndarray:
    return front_end.run(["log_mel"], {INPUT_NAME: samples})[0]


def test_inputs_and_outputs_are_those_of_the_contract(fused) -> None:
    graph = with_waveform_input(fused, CONFIG).graph
    assert [node.name for node in graph.input] == [INPUT_NAME, *INPUT_NAMES[1:]]
    assert [node.name for node in graph.output] == list(OUTPUT_NAMES)
    signal = graph.input[0].type.tensor_type
    assert [dim.dim_param for dim in signal.shape.dim] == ["batch", "sample"]
    assert signal.elem_type == onnx.TensorProto.FLOAT


@pytest.mark.parametrize("n_samples", [160_000, 16_000 * 3 + 319, 320 * 7, 320])
def test_scores_of_a_recording_equal_numpy_features_and_graph(sessions, n_samples) -> None:
    waveform = recording(n_samples)
    frames = log_mel(waveform)[None]
    rest = rest_of_call(sessions[0], 1, frames.shape[1], past=40)
    expected = sessions[0].run(OUTPUT_NAMES, {"log_mel": frames, **rest})
    found = sessions[1].run(OUTPUT_NAMES, {INPUT_NAME: framed(waveform), **rest})
    for one, other in zip(found[:2], expected[:2], strict=True):  # scores and tags
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)


def test_features_of_a_recording_equal_numpy(front_end) -> None:
    waveform = recording(160_000)
    found = features(front_end, framed(waveform))[0]
    difference = np.abs(found - log_mel(waveform.astype(np.float64)))
    assert np.quantile(difference, 0.99) < 1e-4
    assert difference.max() < 1e-2


@given(frames=st.integers(1, 30), rest=st.integers(0, 319), quiet=st.integers(0, 5))
@settings(max_examples=20)
def test_every_length_gives_its_frames(front_end, frames: int, rest: int, quiet: int) -> None:
    waveform = recording(HOP * frames + rest) * np.float32(10**-quiet)
    found = features(front_end, framed(waveform))
    assert found.shape == (1, frames, 128)
    np.testing.assert_allclose(found[0], log_mel(waveform), rtol=0, atol=1e-2)


def test_a_piece_with_its_real_neighbours_equals_the_whole_signal(front_end) -> None:
    waveform = recording(HOP * 100)
    whole = features(front_end, framed(waveform))
    first, end = 40, 65
    piece = waveform[None, HOP * first - MARGIN : HOP * end + MARGIN]
    assert piece.shape[1] == samples_for(end - first, CONFIG)
    np.testing.assert_allclose(features(front_end, piece), whole[:, first:end], rtol=0, atol=1e-4)


def test_silence_and_full_scale_are_finite(front_end) -> None:
    rng = np.random.default_rng(0)
    square = np.sign(rng.normal(size=HOP * 12)).astype(np.float32)
    for waveform in (np.zeros(HOP * 12, np.float32), square):
        found = features(front_end, framed(waveform))[0]
        np.testing.assert_allclose(found, log_mel(waveform), rtol=0, atol=1e-3)


def test_signals_of_a_batch_do_not_mix(sessions) -> None:
    signals = np.concatenate([framed(recording(HOP * 50)), framed(recording(HOP * 100)[HOP * 50 :])])
    rest = rest_of_call(sessions[1], 2, 50, past=3)
    together = sessions[1].run(OUTPUT_NAMES, {INPUT_NAME: signals, **rest})
    for number in range(2):
        one = {name: array[number : number + 1] for name, array in rest.items()}
        alone = sessions[1].run(OUTPUT_NAMES, {INPUT_NAME: signals[number : number + 1], **one})
        for found, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(found[number], expected[0], rtol=1e-4, atol=1e-4)


def test_padding_inside_a_call_stays_nothing(sessions) -> None:
    """The live start: 12 frames of padding, then the signal."""
    waveform = recording(HOP * 60)
    rest = rest_of_call(sessions[1], 1, 72)
    for name in ("frame_valid", "frame_pooled"):
        rest[name] = np.pad(np.ones((1, 60), np.float32), ((0, 0), (12, 0)))
    padded = np.concatenate([np.zeros((1, 12 * HOP), np.float32), framed(waveform)], axis=1)
    found = sessions[1].run(["scores"], {INPUT_NAME: padded, **rest})[0][:, 12:]
    whole = rest_of_call(sessions[0], 1, 60)
    expected = sessions[0].run(["scores"], {"log_mel": log_mel(waveform)[None], **whole})[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_the_matrix_is_the_transform_of_the_window_by_definition() -> None:
    config = replace(CONFIG, n_fft=16, window_length=12, hop_length=4)
    window = [0.42 - 0.5 * np.cos(2 * np.pi * n / 12) + 0.08 * np.cos(4 * np.pi * n / 12) for n in range(12)]
    matrix = fourier_matrix(config)
    assert matrix.shape == (12, 2 * 9)
    for n in range(12):
        for k in range(9):
            turn = window[n] * np.exp(-2j * np.pi * n * k / 16)
            assert abs(matrix[n, k] - turn.real) < 1e-12
            assert abs(matrix[n, 9 + k] - turn.imag) < 1e-12


def test_the_front_end_before_a_float16_graph_is_float32(fused) -> None:
    model = with_waveform_input(to_float16(fused), CONFIG)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    kinds = {
        value.name: value.type.tensor_type.elem_type for value in [*inferred.value_info, *inferred.input]
    }
    kinds |= {weight.name: weight.data_type for weight in inferred.initializer}
    half = [name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT16]
    assert len(half) > 20
    assert not [name for name in half if name.startswith("front_end")]
    assert kinds["log_mel"] == kinds[INPUT_NAME] == onnx.TensorProto.FLOAT
    found, expected = open_session(model), open_session(fused)
    waveform = recording(HOP * 100)
    rest = rest_of_call(found, 1, 100)
    scores = found.run(["scores"], {INPUT_NAME: framed(waveform), **rest})[0]
    reference = expected.run(["scores"], {"log_mel": log_mel(waveform)[None], **rest})[0]
    np.testing.assert_allclose(scores, reference, rtol=0, atol=1e-2)


def test_the_model_given_is_left_as_it_was(fused) -> None:
    before = fused.SerializeToString()
    with_waveform_input(fused, CONFIG)
    assert fused.SerializeToString() == before


@pytest.mark.parametrize("window_length", [1280, 1000, 640])
def test_windows_that_are_not_cells_side_by_side_are_refused(fused, window_length) -> None:
    with pytest.raises(SedgeError, match=rf"window_length: expected an odd number of hops.*{window_length}"):
        with_waveform_input(fused, replace(CONFIG, window_length=window_length))


def test_a_graph_without_log_mel_is_refused(fused) -> None:
    with pytest.raises(SedgeError, match=r"expected the input log_mel, found .'waveform'"):
        with_waveform_input(with_waveform_input(fused, CONFIG), CONFIG)


def test_an_empty_slot_of_memory_weighs_nothing(sessions) -> None:
    rest = rest_of_call(sessions[1], 1, 50, past=20)
    rest["memory_logit"][:], rest["memory_evidence"][:] = EMPTY_LOGIT, 0
    samples = framed(recording(HOP * 50))
    with_slots = sessions[1].run(["scores", "tags"], {INPUT_NAME: samples, **rest})
    without = sessions[1].run(["scores", "tags"], {INPUT_NAME: samples, **rest_of_call(sessions[1], 1, 50)})
    for found, expected in zip(with_slots, without, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def engine_on_samples(profiles: tuple[ProfileName, ...]) -> EngineFile:
    """What the cache says of one; there are no bytes."""
    key = EngineKey(
        graph_sha256="0" * 64,
        gpu_name="GPU",
        compute_capability=(9, 0),
        driver_version="1",
        tensorrt_version="11",
        precision="float32",
        input="waveform",
        profiles=profiles,
        max_batch=1,
        version_compatible=False,
    )
    metadata = EngineMetadata(key=key, created_at="", sedge_version="", engine_sha256="0" * 64, build_s=0)
    return EngineFile(DEMO_CLIP, metadata)


@pytest.mark.parametrize("profiles", [("live",), ("clip",)])
def test_an_engine_on_samples_is_compared_with_the_cpu_on_the_same_recording(
    fused, monkeypatch, profiles
) -> None:
    """The comparison that an engine must pass, with ONNX Runtime in the engine's place."""
    stand_in, offset = open_session(with_waveform_input(fused, CONFIG)), [0.0]

    def run(file: EngineFile, inputs: dict) -> dict:
        found = dict(zip(OUTPUT_NAMES, stand_in.run(OUTPUT_NAMES, inputs), strict=True))
        return {**found, "tags": found["tags"] + np.float32(offset[0])}

    monkeypatch.setattr(tensorrt_check, "run_engine", run)
    bundle, engine = load_bundle(), engine_on_samples(profiles)
    result = tensorrt_check.check_engine(bundle, engine)
    assert result.max_difference < 1e-5
    assert result.tolerance == 1e-3
    for offset[0] in (2e-3, float("nan")):
        with pytest.raises(
            SedgeError, match="expected the bundle's own scores within 1e-03, found a difference"
        ):
            tensorrt_check.check_engine(bundle, engine)
