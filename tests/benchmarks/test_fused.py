"""`sedge bench-fused`: that it counts the arithmetic right, times what it says, and its figures agree."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.arithmetic import MatrixProduct, count_flop
from benchmarks.fused import fused_gpu
from benchmarks.fused.baseline import export_baseline
from benchmarks.fused.fused import window_features
from benchmarks.fused.fused_gpu import best_batch, runtime_speeds, torch_speeds, with_parity
from benchmarks.fused.fused_graphs import (
    PRECISIONS,
    bundle_graphs,
    clip_call,
    ensemble,
    step_call,
    untrained_pairs,
)
from benchmarks.fused.fused_times import LEAST_ROUNDS, MOST_IN_A_TURN, by_turns
from benchmarks.report import Result, read_result
from edge_app import cli
from edge_app.core.bundle import Bundle, load_bundle
from edge_app.core.parity import TOLERANCES, check_parity
from edge_app.core.runtime import INPUT_NAMES, FusedInput
from edge_app.core.runtime_onnx import OnnxRuntime
from export.fold import folded
from export.fuse import FusedEnsemble
from tests.models import TINY_LABELS, tiny_member, write_tiny_run
from train.models.baseline_crnn import BaselineCRNN, BaselineCRNNConfig

HOPS = ("hop 10", "hop 25", "hop 50")


@pytest.fixture(scope="module")
def bundle(tiny_bundle) -> Bundle:
    return load_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def features(bundle):
    return window_features(bundle)


@pytest.fixture(scope="module")
def pair():
    """The models of the bundle."""
    return tiny_member(len(TINY_LABELS), 0)


def feed(call: FusedInput) -> dict:
    return {name: getattr(call, name) for name in INPUT_NAMES}


@torch.no_grad()
def torch_flop(fused: FusedEnsemble, call: FusedInput) -> int:
    """What torch itself counts; the detection branch of MLFL, which gives no output, is left out."""
    model = folded(fused)
    with FlopCounterMode(display=False) as counter:
        model(*(torch.from_numpy(array) for array in feed(call).values()))
    detectors = [weight for name, weight in model.named_parameters() if name.endswith("detector.weight")]
    unused = sum(2 * weight.numel() * call.log_mel.shape[1] for weight in detectors)
    return counter.get_total_flops() - unused


@pytest.mark.parametrize("hop", [None, 10, 50])
def test_arithmetic_is_what_torch_counts(hop, bundle, pair, features):
    manifest = bundle.manifest
    call = clip_call(manifest, features) if hop is None else step_call(manifest, features, hop)
    assert count_flop(bundle.graph_path, feed(call)) == torch_flop(ensemble([pair]), call)


def test_untrained_members_have_nothing_to_share():
    first, second = untrained_pairs(2, 3, "small")
    for one, other in zip(first, second, strict=True):
        weights = zip(one.named_parameters(), other.parameters(), strict=True)
        same = [name for (name, weight), twin in weights if weight.ndim > 1 and torch.equal(weight, twin)]
        assert not same


def test_product_of_transposed_and_stacked_matrices_is_counted(tmp_path):
    nodes = [
        onnx.helper.make_node("Gemm", ["a", "b"], ["gemm"], transA=1),
        onnx.helper.make_node("MatMul", ["c", "b"], ["stacked"]),
    ]
    value = onnx.helper.make_tensor_value_info
    shapes = {"a": (7, 4), "b": (7, 5), "c": (2, 3, 7)}
    inputs = [value(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs = [value(name, onnx.TensorProto.FLOAT, None) for name in ("gemm", "stacked")]
    graph = onnx.helper.make_graph(nodes, "products", inputs, outputs)
    onnx.save(
        onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 18)]),
        tmp_path / "products.onnx",
    )
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    assert count_flop(tmp_path / "products.onnx", arrays) == 2 * 4 * 7 * 5 + 2 * 2 * 3 * 7 * 5
    assert MatrixProduct(32).flop == 2 * 32**3


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """A small baseline far from its start, and its graph for clips of 100 frames."""
    torch.manual_seed(1)
    config = BaselineCRNNConfig(n_labels=3, channels=(4, 4, 4, 8, 8, 8, 8), gru_width=8)
    path = tmp_path_factory.mktemp("baseline") / "baseline.onnx"
    model = BaselineCRNN(config).eval()
    export_baseline(model, 100, path)
    return model, path


def test_baseline_graph_gives_what_the_model_gives(baseline, features):
    model, path = baseline
    frames = np.ascontiguousarray(features[None, :100])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"log_mel": frames, "frame_valid": np.ones((1, 100), np.float32)})
    with torch.no_grad():
        expected = model(torch.from_numpy(frames), torch.ones(1, 100))
    np.testing.assert_allclose(found[0], expected.scores, atol=1e-5)
    np.testing.assert_allclose(found[1], expected.tags, atol=1e-5)


def test_arithmetic_of_the_baseline_holds_its_recurrent_part(baseline, features):
    model, path = baseline
    arrays = {"log_mel": features[None, :100], "frame_valid": np.ones((1, 100), np.float32)}
    frames, mels, n_in, expected = 100, 128, 1, 0
    for n_out, pool in zip(model.config.channels, model.config.frame_pools, strict=True):
        expected += 2 * frames * mels * n_out * (9 * n_in + n_out)  # the convolution and the gate
        frames, mels, n_in = frames // pool, mels // 2, n_out
    for n_from in (8, 16):  # two layers of two directions, three gates of width 8
        expected += 2 * frames * 2 * 3 * 8 * (n_from + 8)
    expected += 2 * frames * 16 * 3 * 2  # output and attention
    assert count_flop(path, arrays) == expected


def test_bundle_is_timed_as_it_is_and_in_each_precision(bundle, features, tmp_path):
    found = bundle_graphs(bundle, PRECISIONS, tmp_path, features)
    assert [graph.precision for graph in found] == ["float32", "float16", "int8"]
    assert found[0].bundle is bundle
    assert found[1].size_bytes < 0.8 * found[0].size_bytes
    graph = bundle.manifest.graph.model_copy(update={"precision": "int8"})
    rounded = Bundle(bundle.folder, bundle.manifest.model_copy(update={"graph": graph}))
    assert [each.precision for each in bundle_graphs(rounded, PRECISIONS, tmp_path / "none", features)] == [
        "int8"
    ]


def test_works_take_turns():
    order: list[str] = []

    def work(name: str, seconds: float):
        def run() -> float:
            order.append(name)
            return seconds

        return run

    times = by_turns(
        {"short": work("short", 0.04), "tiny": work("tiny", 1e-5), "long": work("long", 3.0)}, 1e-9
    )
    one_round = ["short"] * 2 + ["tiny"] * MOST_IN_A_TURN + ["long"]
    assert order == ["short"] * 2 + ["tiny"] * 2 + ["long"] * 2 + LEAST_ROUNDS * one_round
    assert {name: len(each) for name, each in times.items()} == {"short": 6, "tiny": 30, "long": 3}


def bench(tiny_bundle: Path, path: Path, *words: object) -> dict:
    """The details of a short run, as the command writes them."""
    options = ["--bundle", tiny_bundle, "--seconds", 0.01, "--json", path, *words]
    assert cli.main(["bench-fused", *map(str, options)]) == 0
    result = read_result(path)
    check_figures(result)
    return result.details


def check_figures(result: Result) -> None:
    """The figures that runs are compared by are those of the details."""
    figures = {figure.name: figure.value for figure in result.figures}
    for group in result.details["groups"]:
        for graph in group["graphs"]:
            name = f"{group['title']} / {graph['precision']}"
            for work, speed in graph["works"].items():
                assert figures.pop(f"{name} / {work}") == speed["time"]["p50_ms"]
            assert figures.pop(f"{name} / clip beside the baseline") == graph["clip_by_baseline"]
        assert figures.pop(f"{group['title']} / matrix product") == group["product"]["gflop_per_s"]
        assert figures.pop(f"{group['title']} / baseline CRNN / clip") == group["baseline"]["time"]["p50_ms"]
    assert all(name.startswith("GPU / ") for name in figures)


@pytest.fixture(scope="module")
def report(tiny_bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "fused.json"
    return bench(tiny_bundle, path, "--members", "--preset", "small", "--precisions", "float32", "int8")


def test_figures_agree(report):
    (group,) = report["groups"]
    assert (group["title"], group["members"]) == ("the bundle's", 1)
    for group in report["groups"]:
        product_rate = group["product"]["gflop_per_s"]
        assert [graph["precision"] for graph in group["graphs"]] == ["float32", "int8"]
        for graph in group["graphs"]:
            assert list(graph["works"]) == [*HOPS, "clip"]
            clip = graph["works"]["clip"]
            for speed in graph["works"].values():
                rate = 1000 * speed["gflop"] / speed["time"]["p50_ms"]
                assert speed["gflop_per_s"] == pytest.approx(rate)
                assert speed["of_product"] == pytest.approx(rate / product_rate)
            for hop in HOPS:
                step = graph["works"][hop]
                ratio = clip["time"]["p50_ms"] / step["time"]["p50_ms"]
                assert graph["window_by_hop"][hop] == pytest.approx(ratio)
                assert graph["ceiling_by_hop"][hop] == pytest.approx(clip["gflop"] / step["gflop"])
            ratio = clip["time"]["p50_ms"] / group["baseline"]["time"]["p50_ms"]
            assert graph["clip_by_baseline"] == pytest.approx(ratio)


def test_ceiling_of_the_half_second_hop_is_the_frames_ratio(report):
    # 500 frames against 25 with 12 of context on either side
    for group in report["groups"]:
        assert group["graphs"][0]["ceiling_by_hop"]["hop 25"] == pytest.approx(500 / 49, rel=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seconds", "0"], "--seconds: expected more than 0, found 0"),
        (["--members", "1", "0"], "--members: expected more than 0, found 0"),
        (["--runs", "no run"], "no run: expected mlfl/<seed>/"),
    ],
)
def test_wrong_use_is_told_in_one_line(words, message, tiny_bundle, capsys):
    arguments = ["--bundle", str(tiny_bundle), "--precisions", "float32", *words]
    assert cli.main(["bench-fused", *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"sedge: {message}")


def test_torch_is_timed_on_the_device(bundle, pair, features, monkeypatch):
    monkeypatch.setattr(fused_gpu, "BATCHES", (1, 2))
    device = torch.device("cpu")
    found = list(torch_speeds(ensemble([pair]), bundle.manifest, features, 0.01, device, ("torch eager",)))
    assert [(each.way, each.precision) for each in found] == [
        ("torch eager", "float32"),
        ("torch eager", "float16"),
    ]
    for each in found:
        assert not each.error
        assert each.step is not None
        assert (each.clips_per_s or 0) > 0
        assert each.batch in (1, 2)


def test_way_that_cannot_run_is_told_with_its_reason(bundle, pair, features):
    if torch.cuda.is_available():
        pytest.skip("CUDA graphs work here")
    device = torch.device("cpu")
    found = list(torch_speeds(ensemble([pair]), bundle.manifest, features, 0.01, device, ("CUDA graph",)))
    assert all(each.error and each.step is None and "\n" not in each.error for each in found)


def test_every_graph_has_a_clip_that_runtimes_are_checked_by(bundle, features, tmp_path):
    for graph in bundle_graphs(bundle, ("float16",), tmp_path, features):
        checkable = with_parity(graph.bundle, features)
        result = check_parity(checkable, OnnxRuntime(checkable))
        assert result.passed
        assert result.tolerance == TOLERANCES[graph.precision]


def test_runtimes_are_timed_or_told_with_their_reasons(bundle, features, tmp_path, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is an NVIDIA GPU")
    graphs = bundle_graphs(bundle, ("float16",), tmp_path, features)[1:]
    for each in runtime_speeds(graphs, features, 0.01, tmp_path):
        assert each.step is None
        assert each.error
        assert "parity" not in each.error
    monkeypatch.setattr(fused_gpu, "BATCHES", (1, 2))
    monkeypatch.setattr(fused_gpu, "GPU_RUNTIMES", ("cpu",))
    (timed,) = runtime_speeds(graphs, features, 0.01, tmp_path)
    assert not timed.error
    assert (timed.clips_per_s or 0) > 0


def test_best_batch_is_the_fastest_that_fits(bundle, features):
    def make(call: FusedInput):
        if len(call.log_mel) > 8:
            raise torch.cuda.OutOfMemoryError
        return lambda: None

    rate, batch = best_batch(make, clip_call(bundle.manifest, features), 0.001)
    assert batch in (1, 8)
    assert rate > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_every_way_runs_on_a_gpu(bundle, pair, features):
    found = list(torch_speeds(ensemble([pair]), bundle.manifest, features, 0.1, torch.device("cuda")))
    assert [each.error for each in found] == [""] * 6


@pytest.mark.slow
def test_pitfall_members_of_an_ensemble_are_not_merged(tiny_bundle, tmp_path):
    words = ["--runs", write_tiny_run(tmp_path / "run", (1, 2)), "--members", 2, "--precisions", "float32"]
    one, two = bench(tiny_bundle, tmp_path / "fused.json", *words)["groups"]
    assert (two["title"], two["members"]) == ("K = 2", 2)
    for work, speed in two["graphs"][0]["works"].items():
        assert speed["gflop"] == pytest.approx(2 * one["graphs"][0]["works"][work]["gflop"])


@pytest.mark.slow
def test_untrained_ensembles_are_timed(tiny_bundle, tmp_path):
    found = bench(tiny_bundle, tmp_path / "fused.json", "--members", 1, "--preset", "small")
    graphs = found["groups"][1]["graphs"]
    assert [graph["precision"] for graph in graphs] == list(PRECISIONS)
    sizes = [graph["size_bytes"] for graph in graphs]
    assert sizes[0] > 1.8 * sizes[1] > 1.8 * sizes[2]
