"""`sedge bench-latency`: what it compares, and that its figures agree with each other."""

import contextlib
import time
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.latency import latency, runtime_runs
from benchmarks.latency.contest import Contest, compare
from benchmarks.latency.live_path import LAST_BLOCK, STAGES, WHOLE, Pace
from benchmarks.latency.runtime_runs import HopRuns, RuntimeRuns
from benchmarks.machine_watch import MachineUse, MachineWatch
from benchmarks.recording import soundscape
from benchmarks.report import read_result
from edge_app import cli
from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import RuntimeUnavailable
from edge_app.core.logmel import log_mel
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.core.runtimes import RuntimeName
from tests.stream.fakes import FakeRuntime, fake_detector


class ShapeRuntime(FakeRuntime):
    """Notes frames fed and frames of memory of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, int]] = []

    def run(self, call: FusedInput) -> FusedOutput:
        self.shapes.append((call.log_mel.shape[1], call.memory_logit.shape[2]))
        return super().run(call)


@pytest.fixture(scope="module")
def features():
    return log_mel(soundscape())


@pytest.mark.parametrize("hop_frames", [5, 25])
def test_step_and_window_take_turns_in_the_shapes_of_the_live_step_and_the_whole_window(features, hop_frames):
    runtime = ShapeRuntime()
    compare(Contest(fake_detector(runtime, hop_frames), features), 3)
    assert runtime.shapes == [(12 + hop_frames + 12, 500 - hop_frames), (500, 0)] * 3


def test_ratio_is_the_quotient_of_the_medians(features):
    contest = Contest(fake_detector(), features)
    pair = compare(contest, 3)
    assert pair.step.count == pair.window.count == 3
    assert pair.ratio_of_medians == pytest.approx(pair.window.p50_ms / pair.step.p50_ms)
    assert pair.ratios is not None
    assert 0 < pair.ratios[0] <= pair.ratios[1]
    assert compare(contest, 1).ratios is None


def test_each_call_waits_for_the_pace(features):
    slept: list[float] = []
    compare(Contest(fake_detector(), features), 2, Pace(0.5, lambda: 0.0, slept.append))
    assert slept == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_window_is_scored_as_a_whole_clip(tiny_bundle, features):
    bundle = load_bundle(tiny_bundle)
    runtime = OnnxRuntime(bundle)
    contest = Contest(Detector(bundle, runtime, "live"), features)
    for _ in range(25):
        contest.step_s()
    scorer = Detector(bundle, runtime, "clip").scorer()
    end = 12 + 25 * 25
    hops = scorer.push(features[end - 500 : end]) + scorer.finish()
    expected = np.concatenate([hop.scores for hop in hops])
    np.testing.assert_allclose(contest.window()().scores[0], expected, atol=1e-5)


def no_wait(interval_s: float) -> Pace:
    return Pace(interval_s, lambda: 0.0, lambda _: None)


SHORT = (
    "--seconds",
    "1",
    "--paced-seconds",
    "0.5",
    "--most-batch",
    "2",
    "--clip-calls",
    "2",
    "--runtime",
    "cpu",
)


@pytest.fixture
def run(tiny_bundle, tmp_path, monkeypatch, capsys):
    """Runs the command shortly and without sleeping: its exit code, its result and its output."""
    monkeypatch.setattr(runtime_runs, "Pace", no_wait)

    def command(*words: str):
        path = tmp_path / "latency.json"
        code = cli.main(["bench-latency", "--bundle", str(tiny_bundle), *SHORT, *words, "--json", str(path)])
        return code, read_result(path), capsys.readouterr().out

    return command


def test_figures_agree(run):
    code, result, _ = run("--hop-frames", "10", "25")
    assert code == 0
    assert result.benchmark == "latency"
    assert result.settings["hops_frames"] == [10, 25]
    (runtime,) = result.details["runtimes"]
    assert runtime["name"] == "cpu"
    assert runtime["warm_up"]["steps"] == 50
    for pair in runtime["comparison"].values():
        assert pair["ratio_of_medians"] == pytest.approx(pair["window"]["p50_ms"] / pair["step"]["p50_ms"])
    assert runtime["comparison"]["hot"]["step"]["count"] == 5
    assert runtime["comparison"]["paced"]["step"]["count"] == 1
    assert [list(runtime["hops"]), list(runtime["clips"])] == [["10", "25"], ["1", "2"]]
    timings = [*runtime["clips"].values()]
    for hop, count in (("10", 5), ("25", 2)):
        assert list(runtime["hops"][hop]) == ["hot", "paced"]
        for paced in runtime["hops"][hop].values():
            stages = paced["stages"]
            assert list(stages) == [*STAGES, WHOLE, LAST_BLOCK]
            assert stages[LAST_BLOCK]["max_ms"] <= stages[WHOLE]["max_ms"]
            assert max(stages[stage]["max_ms"] for stage in STAGES) <= stages[WHOLE]["max_ms"]
            assert 0 < paced["use"]["cpu_share"] < 64
            assert paced["use"]["most_resident_mib"] > 20
            timings += stages.values()
        assert runtime["hops"][hop]["hot"]["stages"][WHOLE]["count"] == count
    assert all(0 < each["p50_ms"] <= each["p95_ms"] <= each["p99_ms"] <= each["max_ms"] for each in timings)


def test_what_results_are_compared_by(run):
    _, result, _ = run("--hop-frames", "10", "--seconds", "5")
    found = {figure.name: figure for figure in result.figures}
    stages = result.details["runtimes"][0]["hops"]["10"]["paced"]["stages"]
    for stage in (*STAGES, WHOLE, LAST_BLOCK):
        figure = found[f"cpu / hop of 10 frames / paced / {stage}"]
        assert (figure.unit, figure.better) == ("ms", "lower")
        assert figure.value == pytest.approx(stages[stage]["p50_ms"])
        assert figure.low <= figure.value <= figure.high
    assert found["cpu / clip, 2 a call / each"].count == 2
    hot = result.details["runtimes"][0]["hops"]["10"]["hot"]["stages"][WHOLE]
    name = "cpu / hop of 10 frames / hot / whole hop"
    assert found[f"{name} / p95"].value == pytest.approx(hot["p95_ms"])
    assert f"{name} / p99" not in found  # of so few it would be the longest one
    assert found["cpu / load"].value > 0


def test_output_tells_all_of_it(run):
    _, result, out = run("--runtime", "all")
    rows = [f"{stage}, {name}" for stage in (*STAGES, WHOLE, LAST_BLOCK) for name in ("hot", "paced")]
    rows += [f"{hop:g} s, {name}" for hop in (0.1, 0.2, 0.5, 1) for name in ("hot", "paced")]
    for words in (
        *rows,
        "live step, hot",
        "window of 500 frames, paced",
        "Warm-up",
        "up to 500 ms",
        "Speech",
    ):
        assert words in out
    for passed_over in result.details["passed_over"]:
        assert f"Not measured: {passed_over['name']}: {passed_over['reason']}" in out
    names = {each["name"] for each in (*result.details["runtimes"], *result.details["passed_over"])}
    assert names == {"cpu", "cuda", "onnx-tensorrt", "tensorrt"}
    assert result.machine.cpu in out


@pytest.mark.parametrize(("budget_ms", "code", "verdict"), [("0.001", 1, "missed"), ("60000", 0, "met")])
def test_a_budget_decides_the_exit_code(run, budget_ms, code, verdict):
    found, result, out = run("--hop-frames", "50", "--budget-ms", budget_ms)
    assert found == code
    assert f"Budget {verdict}: the live step of 50 frames, paced, on cpu" in out
    p95_ms = result.details["runtimes"][0]["hops"]["50"]["paced"]["stages"][WHOLE]["p95_ms"]
    assert result.details["budget"]["p95_ms"] == p95_ms


def test_a_delay_of_20_ms_in_the_graph_shows_in_its_stage_and_in_the_whole(run, monkeypatch):
    graph_run = OnnxRuntime.run

    def slow_run(self: OnnxRuntime, call: FusedInput) -> FusedOutput:
        time.sleep(0.02)
        return graph_run(self, call)

    monkeypatch.setattr(OnnxRuntime, "run", slow_run)
    _, result, _ = run("--hop-frames", "25", "--seconds", "3", "--paced-seconds", "1.5")
    for paced in result.details["runtimes"][0]["hops"]["25"].values():
        spent_ms = {stage: timed["p50_ms"] for stage, timed in paced["stages"].items()}
        assert min(spent_ms["inference"], spent_ms[WHOLE], spent_ms[LAST_BLOCK]) >= 20
        assert max(spent_ms[stage] for stage in STAGES if stage != "inference") < 20


def runs_of(name: RuntimeName, use: MachineUse) -> RuntimeRuns:
    paced = {"paced": HopRuns({WHOLE: [0.01, 0.02]}, use)}
    return RuntimeRuns(name, name, 0.1, 0.1, None, 20, hops={25: paced})


def test_a_processor_that_others_use_is_told():
    use = MachineWatch().use()
    cases: list[tuple[RuntimeName, float, bool]] = [
        ("cpu", 0.46, True),
        ("cpu", 0.95, False),
        ("cuda", 0.46, False),
    ]
    for name, share, told in cases:
        hot = {"hot": HopRuns({WHOLE: [0.01] * 3}, replace(use, cpu_share=share, stolen_share=0.0))}
        runs = RuntimeRuns(name, name, 0.1, 0.1, None, 20, hops={25: hot})
        assert ("hot steps had 46% of a core" in " ".join(runs.warnings)) == told


def test_the_budget_is_held_against_what_the_program_would_choose():
    use = MachineWatch().use()
    cpu, onnx_tensorrt, cuda = (runs_of(name, use) for name in ("cpu", "onnx-tensorrt", "cuda"))
    assert latency.budget_of([cpu, onnx_tensorrt, cuda], 5.0).runtime == "cuda"
    assert latency.budget_of([cpu, onnx_tensorrt], 5.0).runtime == "cpu"
    assert not latency.budget_of([cpu], 15.0).is_met
    assert latency.budget_of([cpu], 19.6).is_met


def test_what_the_processor_does_in_the_warm_up_is_not_in_its_share(tiny_bundle, monkeypatch):
    began = []

    class Watch(MachineWatch):
        def __post_init__(self) -> None:
            began.append(calls[0])
            super().__post_init__()

    bundle, calls, runtime_run = load_bundle(tiny_bundle), [0], OnnxRuntime.run

    def counted(self: OnnxRuntime, call: FusedInput) -> FusedOutput:
        calls[0] += 1
        return runtime_run(self, call)

    monkeypatch.setattr(OnnxRuntime, "run", counted)
    monkeypatch.setattr(runtime_runs, "MachineWatch", Watch)
    monkeypatch.setattr(runtime_runs, "Pace", no_wait)
    settings = runtime_runs.RunSettings((25,), 1.0, 1.0, 1, 1, 1)
    runtime_runs._hop_runs(Detector(bundle, OnnxRuntime(bundle), "live"), settings)
    warm_up, counted_runs = runtime_runs.WARM_UP_RUNS, 2
    assert began == [warm_up, 2 * warm_up + counted_runs]


def test_batches_are_powers_of_two():
    assert [runtime_runs.batches(most) for most in (1, 2, 5, 8)] == [[1], [1, 2], [1, 2, 4], [1, 2, 4, 8]]


def test_clips_of_one_call_are_whole_windows_half_a_window_apart(tiny_bundle, features):
    bundle = load_bundle(tiny_bundle)
    runtime = OnnxRuntime(bundle)
    contest = Contest(Detector(bundle, runtime, "live"), features)
    for _ in range(30):
        contest.step_s()
    scores, end = contest.clips(2)().scores, 12 + 30 * 25
    for clip, clip_end in zip(scores, (end, end - 250), strict=True):
        scorer = Detector(bundle, runtime, "clip").scorer()
        hops = scorer.push(features[clip_end - 500 : clip_end]) + scorer.finish()
        np.testing.assert_allclose(clip, np.concatenate([hop.scores for hop in hops]), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seconds", "0"], "--seconds: expected more than 0"),
        (["--paced-seconds", "nan"], "--paced-seconds: expected more than 0"),
        (["--hop-frames", "7"], "hop: expected one of"),
        (["--hop-frames", "5", "5"], "--hop-frames: expected each once"),
        (["--most-batch", "0"], "--most-batch: expected more than 0"),
        (["--budget-ms", "-1"], "--budget-ms: expected more than 0"),
    ],
)
def test_wrong_use_is_told_in_one_line(words, message, tiny_bundle, capsys):
    assert cli.main(["bench-latency", "--bundle", str(tiny_bundle), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sedge: {message}")
    assert error.count("\n") == 1


def test_a_runtime_that_is_not_there_is_an_error_where_it_is_asked_for(tiny_bundle, capsys):
    with contextlib.suppress(RuntimeUnavailable):
        runtime_runs.open_one(tiny_bundle, "tensorrt", 1)
        pytest.skip("it is there")
    assert cli.main(["bench-latency", "--bundle", str(tiny_bundle), "--runtime", "tensorrt"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_model_that_is_not_there_is_told_with_its_exit_code(tmp_path, capsys):
    assert cli.main(["bench-latency", "--bundle", str(tmp_path / "none")]) == 3
    assert "expected a bundle folder" in capsys.readouterr().err
