"""`sedge score` as a user runs it: what it writes, and what becomes of every bad input."""

import io
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app import cli
from edge_app.commands import score_args
from edge_app.core.bundle import load_bundle
from edge_app.core.decode import decode
from edge_app.core.detect import Detector
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.tag_memory import HostTagMemory
from edge_app.formats.desed_tsv import read_durations, read_events
from edge_app.formats.frame_scores import read_frame_scores

REPOSITORY = Path(__file__).parent.parent.parent
BANK = REPOSITORY / "tests" / "data" / "bank"
SUMMARY_FIELDS = [
    "schema_version",
    "sedge_version",
    "bundle",
    "runtime",
    "runtimes_passed_over",
    "settings",
    "files",
    "failures",
    "audio_s",
    "wall_s",
    "real_time_factor",
]


@pytest.fixture
def score(tiny_bundle, tmp_path):
    """Runs the command on paths into tmp_path/out, within this process; gives the exit code."""

    def run(*arguments: object) -> int:
        words = ["score", *map(str, arguments), "--out", str(tmp_path / "out"), "--bundle", str(tiny_bundle)]
        return cli.main([*words, *([] if "--workers" in arguments else ["--workers", "0"])])

    return run


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def noise(path: Path, seconds: float = 1.0, sample_rate: int = 16_000, channels: int = 1, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (round(seconds * sample_rate), channels)
    soundfile.write(path, 0.1 * np.random.default_rng(1).standard_normal(shape), sample_rate, **options)
    return path


def summary_of(out: Path) -> dict:
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary) == SUMMARY_FIELDS
    assert list(out.rglob(".*")) == []
    return summary


def test_everything_that_is_written_agrees(score, out, tiny_bundle, capsys) -> None:
    assert score(BANK / "background", "--format", "desed,jsonl", "--frame-scores", "raw") == 0
    summary, bundle = summary_of(out), load_bundle(tiny_bundle)
    manifest = bundle.manifest
    events, durations = read_events(out / "events.tsv"), read_durations(out / "durations.tsv")
    recordings = sorted(path.name for path in (BANK / "background").glob("*.flac"))
    assert list(events) == list(durations) == recordings
    assert summary["files"] == {"done": len(recordings), "failed": 0}
    assert summary["failures"] == []
    assert summary["bundle"] == {"name": manifest.name, "graph_sha256": manifest.graph.sha256}
    assert summary["settings"]["context"] == "clip"
    assert summary["audio_s"] == pytest.approx(sum(durations.values()), abs=0.01)
    assert summary["real_time_factor"] == pytest.approx(summary["wall_s"] / summary["audio_s"], abs=1e-3)
    objects = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    rows = [
        (name, event.onset, event.offset, event.event_label)
        for name, found in events.items()
        for event in found
    ]
    assert [tuple(list(item.values())[:4]) for item in objects] == rows
    assert all(list(item) == ["filename", "onset", "offset", "event_label", "score"] for item in objects)
    for name in recordings:
        seconds = soundfile.info(BANK / "background" / name).duration
        assert durations[name] == pytest.approx(seconds, abs=1e-3)
        labels, scores = read_frame_scores(out / "scores" / f"{Path(name).stem}.tsv")
        assert labels == manifest.event_labels
        assert len(scores) == int(seconds / 0.02 + 1e-6)
    assert capsys.readouterr().err.startswith(f"files: {len(recordings)} done; events: {len(rows)}; ")


def test_events_are_those_of_the_frame_scores(score, out, tiny_bundle) -> None:
    recording = sorted((BANK / "background").glob("*.flac"))[0]
    manifest = load_bundle(tiny_bundle).manifest
    for context in ("clip", "live"):
        assert score(recording, "--frame-scores", "raw", "--context", context, "--overwrite") == 0
        _, scores = read_frame_scores(out / "scores" / f"{recording.stem}.tsv")
        expected = decode(scores, manifest.event_labels, manifest.decoding)
        found = read_events(out / "events.tsv")[recording.name]
        # A score that lies on a threshold may be rounded across it: rare, so not here.
        assert [(event.onset, event.event_label) for event in found] == [
            (event.onset, event.event_label) for event in expected
        ]
    assert score(recording, "--frame-scores", "smoothed", "--overwrite") == 0
    _, smoothed = read_frame_scores(out / "scores" / f"{recording.stem}.tsv")
    assert len(smoothed) == len(scores)


def test_a_recording_without_events_has_a_row_of_empty_fields(score, out, tmp_path) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)  # not even one frame
    assert score(tmp_path / "short.wav") == 0
    assert (out / "events.tsv").read_text() == "filename\tonset\toffset\tevent_label\nshort.wav\t\t\t\n"
    assert (out / "durations.tsv").read_text() == "filename\tduration\nshort.wav\t0.006\n"


@pytest.mark.parametrize("hop_frames", [None, 5, 50])
def test_the_hop_of_a_live_run_is_recorded(score, out, tiny_bundle, tmp_path, hop_frames) -> None:
    noise(tmp_path / "a.wav", 2.0)
    chosen = [] if hop_frames is None else ["--hop-frames", hop_frames]
    assert score(tmp_path / "a.wav", "--context", "live", *chosen) == 0
    expected = hop_frames or load_bundle(tiny_bundle).manifest.hop_frames.default
    assert summary_of(out)["settings"]["hop_frames"] == expected


def test_every_kind_of_sound_file_is_done(score, out, tmp_path) -> None:
    folder = tmp_path / "in"
    noise(folder / "tenth.wav", 0.1)
    noise(folder / "8bit.wav", subtype="PCM_U8")
    noise(folder / "24bit.wav", subtype="PCM_24")
    noise(folder / "6channels.wav", channels=6)
    noise(folder / "8kHz.wav", sample_rate=8_000)
    noise(folder / "192kHz.wav", sample_rate=192_000)
    noise(folder / "sub" / "a name\twith tab, café [b]日本.flac")
    noise(folder / "sub" / "a.mp3")
    noise(folder / "sub" / "a.ogg")
    assert score(folder, "--frame-scores", "raw") == 0
    durations = read_durations(out / "durations.tsv")
    assert len(durations) == 9
    assert durations["tenth.wav"] == 0.1
    assert durations["sub/a name\twith tab, café [b]日本.flac"] == 1.0
    assert set(read_events(out / "events.tsv")) == set(durations)
    tables = sorted(path.relative_to(out / "scores").as_posix() for path in out.glob("scores/sub/*"))
    assert tables == ["sub/a name\twith tab, café [b]日本.tsv", "sub/a.mp3.tsv", "sub/a.ogg.tsv"]
    assert len(read_frame_scores(out / "scores" / "tenth.tsv")[1]) == 5


def test_bad_recordings_are_named_and_the_others_are_done(score, out, tmp_path, capfd) -> None:
    folder = tmp_path / "in"
    noise(folder / "good.wav")
    (folder / "zero.wav").touch()
    (folder / "text.flac").write_text("not a recording")
    whole = noise(folder / "cut.wav", 12.0)
    whole.write_bytes(whole.read_bytes()[:-200_000])
    samples = np.full(16_000, 0.1)
    samples[8_000] = np.nan
    soundfile.write(folder / "nan.wav", samples, 16_000, subtype="FLOAT")
    (folder / "gone.mp3").symlink_to(folder / "nothing")
    (folder / "loop.ogg").symlink_to(folder / "loop.ogg")
    (folder / "new\nline\x1b[31m.wav").touch()
    assert score(folder, tmp_path / "missing.wav", "--frame-scores", "raw") == 1
    summary = summary_of(out)
    assert summary["files"] == {"done": 1, "failed": 8}
    errors = {failure["filename"]: failure["error"] for failure in summary["failures"]}
    assert (
        list(read_events(out / "events.tsv")) == list(read_durations(out / "durations.tsv")) == ["good.wav"]
    )
    assert [path.name for path in (out / "scores").iterdir()] == ["good.tsv"]
    assert "an empty file" in errors["zero.wav"]
    assert "expected 12.000 s of sound, found 5.750 s" in errors["cut.wav"]
    assert "at 0.500 s" in errors["nan.wav"]
    assert "no such file" in errors["missing.wav"]
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 9
    assert all(line.startswith(f"sedge: {tmp_path}") and ": expected " in line for line in lines[:-1])
    assert any(r"new\nline\x1b[31m.wav" in line for line in lines)
    assert lines[-1].startswith("files: 1 done, 8 failed; ")


def test_a_folder_that_cannot_be_read_fails_alone(score, out, tmp_path, monkeypatch, capsys) -> None:
    noise(tmp_path / "in" / "good.wav")
    closed = noise(tmp_path / "in" / "closed" / "b.wav").parent
    scandir = os.scandir

    def refuse(path):  # root may read everything, so permissions alone do not show it
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert score(tmp_path / "in") == 1
    assert summary_of(out)["files"] == {"done": 1, "failed": 1}
    message = f"sedge: {closed}: expected a folder that can be read, found: Permission denied"
    assert capsys.readouterr().err.splitlines()[0] == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "PATHS: expected recordings"),
        (["a.wav", ""], "arguments: expected a path"),
        (["a.wav", "--format", "desed,xml"], "--format: expected some of desed, csv, json"),
        (["a.wav", "--threads", "0"], "--threads: expected at least 1, found 0"),
        (["a.wav", "--hop-frames", "5"], "--hop-frames: expected --context live"),
        (["a.wav", "--hop-frames", "7", "--context", "live"], "hop: expected one of "),
        (["a.wav", "--hop-frames", "0", "--context", "live"], "--hop-frames: expected at least 1, found 0"),
        (["empty"], "empty: expected recordings"),
        (["a.wav", "sub/a.wav"], "'a.wav': expected a name of its own"),
        (["a.wav", "--workers", "-1"], "--workers: expected at least 0, found -1"),
        (["a.wav", "--batch", "0"], "--batch: expected at least 1, found 0"),
        (["a.wav", "--stall-s", "nan"], "--stall-s: expected seconds above 0, found nan"),
        (["a.wav", "--stall-s", "inf"], "--stall-s: expected seconds above 0, found inf"),
        (["a.wav", "--scores-as", "npz"], "--scores-as: expected --frame-scores"),
        (["a.wav", "--resume", "--overwrite"], "--resume: expected it without --overwrite"),
        (["a.wav", "--retry-failed"], "--retry-failed: expected --resume beside it"),
        (["a.wav", "--ray", "auto", "--workers", "2"], "--workers: expected it without --ray"),
        (["a.wav", "--ground-truth", "gone.tsv"], "gone.tsv: cannot be read"),
        (["a.wav", "--ground-truth", "a.tsv", "--format", "csv"], "--ground-truth: expected desed among"),
    ],
)
def test_wrong_use_is_told_before_any_work(
    score, out, tmp_path, monkeypatch, capsys, arguments, message
) -> None:
    noise(tmp_path / "a.wav")
    noise(tmp_path / "sub" / "a.wav")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert score(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sedge: {message}")
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_is_told_before_any_work(
    tiny_bundle, tmp_path, monkeypatch, capsys, place
) -> None:
    if place.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("/proc not found: a folder that not even root can write")
    (tmp_path / "file").write_text("kept")
    recording = noise(tmp_path / "a.wav")
    monkeypatch.setattr(Detector, "detect_file", lambda *arguments: pytest.fail("scored before it looked"))
    target = str(tmp_path / place)
    assert cli.main(["score", str(recording), "--out", target, "--bundle", str(tiny_bundle)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sedge: {target}: expected a folder that can be written, found: ")
    assert error.count("\n") == 1
    assert (tmp_path / "file").read_text() == "kept"


def test_a_table_that_cannot_be_written_fails_alone(score, out, tmp_path) -> None:
    noise(tmp_path / "in" / "a.wav")
    noise(tmp_path / "in" / "sub" / "b.wav")
    (out / "scores").mkdir(parents=True)
    (out / "scores" / "sub").touch()
    assert score(tmp_path / "in", "--frame-scores", "raw") == 1
    assert "sub" in summary_of(out)["failures"][0]["error"]
    assert list(read_events(out / "events.tsv")) == ["a.wav"]


def test_without_a_model_the_exit_code_is_3(tmp_path, capsys) -> None:
    recording, out = noise(tmp_path / "a.wav"), str(tmp_path / "out")
    assert cli.main(["score", str(recording), "--out", out, "--bundle", str(tmp_path / "nowhere")]) == 3
    assert (
        capsys.readouterr().err == f"sedge: {tmp_path / 'nowhere'}: expected a bundle folder, found nothing\n"
    )
    assert not Path(out).exists()


def test_an_error_that_nobody_foresaw_costs_one_recording(score, out, tmp_path, monkeypatch, capsys) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        noise(tmp_path / "in" / name)
    detect_file = Detector.detect_file

    def faulty(detector, path, on_scores):
        if path.name == "b.wav":
            raise RuntimeError("two\nlines")
        return detect_file(detector, path, on_scores)

    monkeypatch.setattr(Detector, "detect_file", faulty)
    assert score(tmp_path / "in") == 1
    message = f"{tmp_path / 'in' / 'b.wav'}: expected to be scored, found RuntimeError: two lines"
    assert summary_of(out)["failures"] == [{"filename": "b.wav", "error": message}]
    assert list(read_events(out / "events.tsv")) == ["a.wav", "c.wav"]
    assert capsys.readouterr().err.splitlines()[0] == f"sedge: {message}"


@pytest.mark.parametrize("reads", [0, 2])
def test_a_disk_that_fails_is_told_as_such(score, out, tmp_path, monkeypatch, capfd, reads) -> None:
    noise(tmp_path / "in" / "a.wav", 20.0)

    class FailingDisk(io.FileIO):
        left = reads

        def readinto(self, buffer) -> int | None:
            self.left -= 1
            if self.left < 0:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    real_open = Path.open

    def open_failing(path, mode="r", *rest, **options):
        return (
            FailingDisk(path)
            if mode == "rb" and "buffering" in options
            else real_open(path, mode, *rest, **options)
        )

    monkeypatch.setattr(Path, "open", open_failing)
    assert score(tmp_path / "in") == 1
    assert "Input/output error" in summary_of(out)["failures"][0]["error"]
    assert "Traceback" not in capfd.readouterr().err


def test_the_program_itself(tiny_bundle, out) -> None:
    recording = sorted((BANK / "background").glob("*.flac"))[0]
    command = [sys.executable, "-m", "edge_app", "score", recording, "--out", out, "--bundle", tiny_bundle]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("files: 1 done; events: ")
    summary = summary_of(out)
    assert summary["runtime"].startswith("ONNX Runtime ")
    reasons = {other["name"]: other["reason"] for other in summary["runtimes_passed_over"]}
    assert list(reasons) == ["tensorrt", "cuda"] or "CUDA" in summary["runtime"]
    assert all(reasons.values())


class EmptyRuntime:
    """Costs nothing and hears nothing."""

    name = "empty"

    def __init__(self, n_members: int, n_labels: int) -> None:
        self._n_members, self._n_labels = n_members, n_labels

    def run(self, call: FusedInput) -> FusedOutput:
        batch, frames = call.frame_valid.shape
        memory = np.zeros((batch, self._n_members, frames, self._n_labels), np.float32)
        scores = np.zeros((batch, frames, self._n_labels), np.float32)
        tags = np.zeros((batch, self._n_members, self._n_labels), np.float32)
        return FusedOutput(scores, tags, memory, memory)

    def tag_memory(self, slots: int) -> HostTagMemory:
        return HostTagMemory(self, slots, self._n_members, self._n_labels)


def write_long(path: Path, minutes: int) -> Path:
    block = (0.1 * np.random.default_rng(0).standard_normal(8_000 * 60)).astype(np.float32)
    with soundfile.SoundFile(path, "w", 8_000, 1) as sound:
        for _ in range(minutes):
            sound.write(block)
    return path


def test_memory_does_not_grow_with_the_recording(tiny_bundle, tmp_path) -> None:
    bundle = load_bundle(tiny_bundle)
    runtime = EmptyRuntime(len(bundle.manifest.members), len(bundle.manifest.event_labels))
    path = write_long(tmp_path / "long.flac", 10)
    detector = Detector(bundle, runtime)
    tracemalloc.start()
    detection = detector.detect_file(path, lambda raw, smoothed: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert detection.duration_s == pytest.approx(10 * 60, abs=1e-3)
    assert peak < 10e6  # the samples would take 38 MB, their log-mel 15 MB


def test_a_format_without_its_library_is_told_before_any_work(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(score_args, "is_at_hand", lambda name: name != "parquet")
    assert (
        cli.main(["score", str(tmp_path), "--out", str(tmp_path / "out"), "--format", "desed,parquet"]) == 2
    )
    assert "--format parquet: expected its library, found it not installed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
