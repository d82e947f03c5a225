"""`sedge bench-throughput`: that it runs, that its figures agree with each other, and that stages add up."""

import contextlib
import io
import os
from statistics import median

import numpy as np
import pytest

from benchmarks.files.arguments import BenchThroughput
from benchmarks.files.one_core import BASELINE, many_files
from benchmarks.files.stages import StagedScoring
from benchmarks.files.throughput import main
from benchmarks.files.ways import one_core, run_by_turns, throughput
from benchmarks.recording import soundscape, write_files
from benchmarks.report import read_result
from edge_app import cli
from edge_app.core.audio import read_blocks
from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.formats.frame_scores import read_frame_scores

DELAY_S = 0.02


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class LateRuntime(OnnxRuntime):
    """Takes 20 ms a call by a clock."""

    def __init__(self, bundle, clock: Clock) -> None:
        super().__init__(bundle)
        self.clock, self.calls = clock, 0

    def run(self, call):
        self.clock.now_s += DELAY_S
        self.calls += 1
        return super().run(call)


def test_factor_is_of_the_median_run():
    figures = throughput([4.0, 1.0, 2.0], audio_s=7200, events=5)
    assert figures.real_time_factor == pytest.approx(2 / 7200)
    assert figures.times_real_time == pytest.approx(3600)
    assert figures.hours_per_s == pytest.approx(1)
    assert figures.wall_s == (4.0, 1.0, 2.0)
    assert figures.times_faster_than(throughput([6.0], 7200, 0)) == pytest.approx(3)


def test_ways_are_gone_by_turns():
    clock, gone = Clock(), []

    def way(name: str, spent_s: float) -> int:
        gone.append(name)
        clock.now_s += spent_s
        return len(gone)

    ways = {"slow": lambda: way("slow", 4), "fast": lambda: way("fast", 1)}
    measured = run_by_turns(ways, audio_s=8, repeats=2, clock=clock)
    assert gone == ["slow", "fast"] * 2
    assert measured["slow"].wall_s == (4, 4)
    assert measured["fast"].times_real_time == 8
    assert measured["fast"].events == 4


def test_files_are_the_soundscape_one_after_the_other(tmp_path):
    paths = write_files(tmp_path, 3, 1.5, 16_000)
    assert list(paths) == ["000000.flac", "000001.flac", "000002.flac"]
    joined = np.concatenate([np.concatenate(list(read_blocks(path))) for path in paths.values()])
    np.testing.assert_allclose(joined, soundscape()[: len(joined)], atol=2**-15)
    assert len(joined) == 3 * 24_000


def test_planted_delay_is_in_its_stage_and_in_the_whole(tiny_bundle, tmp_path):
    clock, bundle = Clock(), load_bundle(tiny_bundle)
    runtime = LateRuntime(bundle, clock)
    paths = write_files(tmp_path / "sounds", 2, 12, 44_100)
    times = StagedScoring(Detector(bundle, runtime, "clip"), tmp_path, clock).run(list(paths.values()))
    assert runtime.calls == 4  # two overlapping windows a file
    assert times.stages["inference"] == pytest.approx(4 * DELAY_S)
    assert times.whole_s == pytest.approx(4 * DELAY_S)
    assert sum(times.stages.values()) == pytest.approx(4 * DELAY_S)
    assert times.audio_s == pytest.approx(24, abs=1e-3)


def test_stages_are_the_detector_s_own_work(tiny_bundle, tmp_path):
    bundle = load_bundle(tiny_bundle)
    detector = Detector(bundle, OnnxRuntime(bundle), "clip")
    path = next(iter(write_files(tmp_path / "sounds", 1, 11, 44_100).values()))
    times = StagedScoring(detector, tmp_path).run([path])
    assert all(spent_s > 0 for spent_s in times.stages.values())
    assert 0 <= times.other_s < times.whole_s
    scores = []
    detection = detector.detect_file(path, lambda raw, _: scores.append(raw))
    _, written = read_frame_scores(tmp_path / "000000.tsv")
    np.testing.assert_allclose(written, np.concatenate(scores), atol=6e-6)
    rows = (tmp_path / "events.tsv").read_text().splitlines()[1:]
    assert sum(not row.endswith("\t") for row in rows) == len(detection.events)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin processes")
def test_one_core_is_kept_and_given_back():
    former = os.sched_getaffinity(0)
    with one_core() as core:
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == former


def test_system_that_cannot_pin_says_so(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with one_core() as core:
        assert core is None


@pytest.mark.parametrize(("workers", "counts"), [((), None), ((3,), (1, 3)), ((2, 1, 2), (1, 2))])
def test_one_worker_is_always_among_the_counts(workers, counts):
    found = BenchThroughput(workers=workers).worker_counts
    assert found[0] == 1
    assert found == counts or (counts is None and found == tuple(sorted(set(found))))


MANY, CLIP, LIVE = "score, 3 files of 4 s", "score, context clip", "score, context live"
BATCHED = f"{CLIP}, batch 2"


@pytest.fixture(scope="module")
def run(tiny_bundle, tmp_path_factory):
    """What one run of the command writes and prints."""
    path = tmp_path_factory.mktemp("throughput") / "throughput.json"
    words = ["--bundle", tiny_bundle, "--seconds-of-audio", 12, "--file-seconds", 4, "--repeats", 2]
    words += ["--batches", 2, "--workers", 1, "--json", path]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert cli.main(["bench-throughput", *map(str, words)]) == 0
    return read_result(path), out.getvalue()


def test_figures_of_one_core_agree(run):
    result, out = run
    assert (result.benchmark, result.settings["threads"]) == ("throughput", 1)
    assert [bundle["name"] for bundle in result.settings["bundle"]] == ["tiny"]
    single = result.details["one_core"]
    ours = [f"tiny / {way}" for way in (CLIP, LIVE, "listen", MANY, BATCHED)]
    assert list(single["ways"]) == [*ours, *(f"{BASELINE} / {way}" for way in (MANY, CLIP, BATCHED))]
    for name, figures in single["ways"].items():
        assert len(figures["wall_s"]) == 2
        assert figures["real_time_factor"] == pytest.approx(median(figures["wall_s"]) / 12)
        assert f"{figures['real_time_factor']:.4f}" in out, name
    assert single["ways"]["tiny / listen"]["events"] == single["ways"][f"tiny / {LIVE}"]["events"]
    assert ("; pinned to one core" in out) == (single["core"] is not None)


def test_baseline_is_compared_repeat_by_repeat(run):
    result, _ = run
    ways = result.details["one_core"]["ways"]
    pairs = zip(ways[f"{BASELINE} / {MANY}"]["wall_s"], ways[f"tiny / {MANY}"]["wall_s"], strict=True)
    values = {figure.name: figure.value for figure in result.figures}
    expected = median(theirs / ours for theirs, ours in pairs)
    assert values["one core / tiny / speed by the baseline's"] == pytest.approx(expected)


def test_figures_of_workers_agree(run):
    result, out = run
    scaling, values = result.details["scaling"], {figure.name: figure.value for figure in result.figures}
    assert list(scaling["workers"]) == ["1"]
    runs = scaling["workers"]["1"]
    events = {each["events"] for each in (*runs, *scaling["without_journal"])}
    # four files for the one worker, the first of the three twice
    assert (result.settings["files_for_workers"], scaling["audio_s"]) == (4, 16)
    assert len(events) == 1
    assert min(events) >= result.details["one_core"]["ways"][f"tiny / {MANY}"]["events"]
    assert values["workers / 1 / speed"] == pytest.approx(median(16 / each["steady_s"] for each in runs))
    assert "workers / 1 / speed by one worker's" not in values  # it is 1
    assert all(0 < each["aside_s"] < each["wall_s"] for each in runs)
    assert f"{values['journal / share of the run']:.2f} % of the run" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--repeats", "0"], "--repeats: expected more than 0, found 0"),
        (["--batches", "4", "0"], "--batches: expected more than 0, found 0"),
    ],
)
def test_wrong_use_is_told_in_one_line(words, message, capsys):
    assert cli.main(["bench-throughput", *words]) == 2
    assert capsys.readouterr().err == f"sedge: {message}\n"


def test_unusable_model_is_told_before_sound_is_written(tmp_path, capsys):
    with pytest.raises(SedgeError, match=r"bundle\.json"):
        main(["--bundle", str(tmp_path)])
    assert "writing" not in capsys.readouterr().err


def test_many_workers_have_four_files_each():
    args = BenchThroughput(seconds_of_audio=60, workers=(16,))
    assert (args.n_files, args.n_worker_files) == (6, 64)
    assert BenchThroughput(seconds_of_audio=600, workers=(2,)).n_worker_files == 60


def test_many_files_are_named_by_their_number_and_length():
    args = BenchThroughput(seconds_of_audio=61, file_seconds=2.5)
    assert many_files(args) == "score, 24 files of 2.5 s"
    assert args.audio_s == 60
