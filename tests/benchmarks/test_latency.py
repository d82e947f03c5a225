"""`sedge bench-latency`: what it compares, and that its figures agree with each other. Nothing here is timed."""

import json

import numpy as np
import pytest

from benchmarks.latency import latency
from benchmarks.latency.contest import Contest, compare
from benchmarks.latency.live_path import LAST_BLOCK, STAGES, WHOLE, Pace
from benchmarks.recording import soundscape
from edge_app import cli
from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.logmel import log_mel
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.runtime_onnx import OnnxRuntime
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


@pytest.fixture
def report(tiny_bundle, tmp_path, monkeypatch, capsys):
    """The figures and the output of a short run that does not sleep."""
    monkeypatch.setattr(latency, "Pace", lambda interval_s: Pace(interval_s, lambda: 0.0, lambda _: None))
    path = tmp_path / "latency.json"
    words = [
        "--bundle",
        tiny_bundle,
        "--hop-frames",
        10,
        "--seconds",
        1,
        "--paced-seconds",
        0.5,
        "--json",
        path,
    ]
    assert cli.main(["bench-latency", *map(str, words)]) == 0
    return json.loads(path.read_text()), capsys.readouterr().out


def test_figures_agree(report):
    figures, _ = report
    assert figures["hop_frames"] == 10
    assert figures["warm_up"]["steps"] == 50
    for pair in figures["comparison"].values():
        assert pair["ratio_of_medians"] == pytest.approx(pair["window"]["p50_ms"] / pair["step"]["p50_ms"])
    assert figures["comparison"]["hot"]["step"]["count"] == 5
    assert figures["comparison"]["paced"]["step"]["count"] == 1
    for stages in figures["stages"].values():
        assert list(stages) == [*STAGES, WHOLE, LAST_BLOCK]
        assert stages[LAST_BLOCK]["max_ms"] <= stages[WHOLE]["max_ms"]
        assert max(stages[stage]["max_ms"] for stage in STAGES) <= stages[WHOLE]["max_ms"]
    timings = [stages[name] for stages in figures["stages"].values() for name in stages]
    timings += [pair[side] for pair in figures["comparison"].values() for side in ("step", "window")]
    for each in timings:
        assert 0 < each["p50_ms"] <= each["p95_ms"] <= each["p99_ms"] <= each["max_ms"]


def test_output_tells_all_of_it(report):
    figures, out = report
    rows = [f"{stage}, {name}" for stage in (*STAGES, WHOLE, LAST_BLOCK) for name in ("hot", "paced")]
    for words in (
        *rows,
        "live step, hot",
        "window of 500 frames, paced",
        "Warm-up",
        "up to 200 ms",
        "Speech",
    ):
        assert words in out
    assert f"{figures['comparison']['hot']['ratio_of_medians']:.2f}" in out
    assert figures["machine"]["cpu"] in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seconds", "0"], "--seconds: expected more than 0"),
        (["--paced-seconds", "nan"], "--paced-seconds: expected more than 0"),
        (["--hop-frames", "7"], "hop: expected one of"),
    ],
)
def test_wrong_use_is_told_in_one_line(words, message, tiny_bundle, capsys):
    assert cli.main(["bench-latency", "--bundle", str(tiny_bundle), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sedge: {message}")
    assert error.count("\n") == 1


def test_model_that_is_not_there_is_told_with_its_exit_code(tmp_path, capsys):
    assert cli.main(["bench-latency", "--bundle", str(tmp_path / "none")]) == 3
    assert "expected a bundle folder" in capsys.readouterr().err
