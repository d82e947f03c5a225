"""`sedge listen`: what it prints, how it ends, and that it hears what `sedge score --context live` hears."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from edge_app import cli
from edge_app.commands import listen
from edge_app.commands.news_text import as_text
from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import DeviceError
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.core.runtimes import PassedOver
from edge_app.stream import messages
from edge_app.stream.engine import Engine
from edge_app.stream.messages import EventNews, GapNews, Summary
from edge_app.stream.sources import FileSource
from tests.stream.fakes import FakeRuntime, bursts, fake_bundle, fake_detector

RATE = 16_000
REPOSITORY = Path(__file__).resolve().parents[2]
RECORDING = REPOSITORY / "edge_app" / "demo" / "soundscape.flac"
SUMMARY_FIELDS = {
    "samples_received",
    "samples_analysed",
    "samples_not_analysed",
    "samples_gap",
    "overflows",
    "real_time_factor",
    "runtime",
    "hop_frames",
}
EVENT_FIELDS = {
    "type",
    "id",
    "event_label",
    "onset",
    "offset",
    "onset_sample",
    "offset_sample",
    "score",
}


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr(listen, "open_detector", lambda *arguments: fake_detector(hop_frames=arguments[-1]))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "my clip\t№1.wav"
    soundfile.write(path, bursts(6 * RATE), RATE, subtype="PCM_16")
    return path


def lines_of(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def offline_events(detector: Detector, path: Path) -> list[tuple]:
    events = detector.detect_file(path).events
    return [(e.event_label, e.onset, e.offset, round(e.score, 6)) for e in events]


def closed(lines: list[dict]) -> list[tuple]:
    events = [
        (one["event_label"], one["onset"], one["offset"], one["score"])
        for one in lines
        if one["type"] == "closed"
    ]
    return sorted(events, key=lambda event: (event[1], event[0]))


def test_jsonl_is_as_the_interface_says(fakes, recording, capsys):
    assert cli.main(["listen", "--source", str(recording), "--no-realtime", "--format", "jsonl"]) == 0
    *news, summary = lines_of(capsys)
    assert {frozenset(one) for one in news} == {frozenset(EVENT_FIELDS)}
    assert {one["type"] for one in news} >= {"provisional", "confirmed", "closed"}
    assert summary["type"] == "summary"
    assert set(summary) >= SUMMARY_FIELDS
    assert summary["samples_received"] == 6 * RATE
    assert summary["samples_analysed"] + summary["samples_not_analysed"] == 6 * RATE
    assert closed(news) == offline_events(fake_detector(), recording)


def test_a_pipe_gives_what_the_file_gives(fakes, recording, capsys, monkeypatch):
    arguments = ["listen", "--no-realtime", "--format", "jsonl", "--source"]
    assert cli.main([*arguments, str(recording)]) == 0
    from_file = lines_of(capsys)
    for content in (recording.read_bytes(), soundfile.read(recording, dtype="int16")[0].tobytes()):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        assert cli.main([*arguments, "-"]) == 0
        assert lines_of(capsys)[:-1] == from_file[:-1]


PASSED_OVER = (PassedOver("tensorrt", "no GPU"), PassedOver("cuda", "not installed"))


@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_what_runs_and_why_nothing_faster_is_in_the_summary(form, recording, capsys, monkeypatch):
    detector = Detector(fake_bundle(), FakeRuntime(), "live", passed_over=PASSED_OVER)
    monkeypatch.setattr(listen, "open_detector", lambda *_: detector)
    assert cli.main(["listen", "--source", str(recording), "--no-realtime", "--format", form]) == 0
    out, err = capsys.readouterr()
    words = "fake; not tensorrt: no GPU; not cuda: not installed"
    assert err.splitlines()[0].endswith(words)
    *_, summary = out.splitlines()
    if form == "text":
        assert summary.endswith(words)
    else:
        assert json.loads(summary)["runtime"] == "fake"
        assert json.loads(summary)["runtimes_passed_over"] == [
            {"name": "tensorrt", "reason": "no GPU"},
            {"name": "cuda", "reason": "not installed"},
        ]


def test_hop_and_duration_are_taken(fakes, recording, capsys):
    arguments = ["listen", "--source", str(recording), "--no-realtime", "--format", "jsonl"]
    assert cli.main([*arguments, "--hop-frames", "5", "--duration", "2.5"]) == 0
    summary = lines_of(capsys)[-1]
    assert summary["hop_frames"] == 5
    assert summary["samples_received"] == 40_000


def test_in_real_time_a_recording_takes_its_time_and_gives_the_same(fakes, tmp_path, capsys):
    path = tmp_path / "short.wav"
    soundfile.write(path, bursts(RATE), RATE)
    outputs = []
    for pace in ("--realtime", "--no-realtime"):
        assert cli.main(["listen", "--source", str(path), pace, "--format", "jsonl"]) == 0
        outputs.append(lines_of(capsys)[:-1])
    assert outputs[0] == outputs[1]


def test_text_tells_every_stage_but_updates(fakes, recording, capsys):
    assert cli.main(["listen", "--source", str(recording), "--no-realtime"]) == 0
    captured = capsys.readouterr()
    *events, summary = captured.out.splitlines()
    assert "Traceback" not in captured.err
    assert any(line.endswith("?") for line in events)
    assert any(line.endswith(" begins") for line in events)
    assert summary.startswith("received 6.00 s (96000 samples), analysed ")
    assert "real-time factor" in summary


def test_text_of_each_kind_of_news():
    def event(kind, **fields) -> str:
        news = EventNews(kind, 3, "Running_water", 83.5, 3605.25, 0, 0, 0.876, **fields)
        return as_text(news)

    assert event("provisional") == "01:23.50  Running water?"
    assert event("confirmed") == "01:23.50  Running water begins"
    assert event("update") == ""
    assert event("withdrawn") == "01:23.50  Running water? withdrawn"
    assert event("closed") == "60:05.25  Running water ends: since 01:23.50, 3521.75 s, score 0.88"
    assert "is cut by a gap" in event("closed", cut=True)
    assert as_text(GapNews(1.0, 2.5, 16_000, 40_000, "lost")) == (
        "00:01.00  gap of 1.50 s: the sound was lost"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--source", "no such file.wav"], 1, "no such file.wav: expected a recording"),
        (["--source", "x.wav", "--device", "USB"], 2, "--device"),
        (["--duration", "0"], 2, "--duration"),
        (["--duration", "nan"], 2, "--duration"),
        (["--duration", "inf"], 2, "--duration"),
        (["--rate", "1000000000", "--source", "-"], 2, "--rate"),
        (["--threads", "0"], 2, "--threads"),
        (["--rate", "-1", "--source", "-"], 2, "--rate"),
        (["--reconnect-s", "-1"], 2, "--reconnect-s"),
        (["--hop-frames", "7"], 2, "hop"),
        (["--format", "xml"], 2, "--format"),
    ],
)
def test_wrong_use_is_told_without_a_traceback(fakes, capsys, arguments, code, words):
    assert cli.main(["listen", *arguments]) == code
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_closed_standard_input_is_2(fakes, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["listen", "--source", "-"]) == 2
    assert capsys.readouterr().err == "sedge: standard input: expected sound, found it closed\n"


def test_a_cut_recording_is_1_after_the_summary(fakes, recording, capsys):
    content = recording.read_bytes()
    recording.write_bytes(content[: len(content) // 2])
    assert cli.main(["listen", "--source", str(recording), "--no-realtime", "--format", "jsonl"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["samples_received"] > 2 * RATE
    assert "truncated" in captured.err


def test_no_microphone_is_3_with_what_to_do(fakes, monkeypatch, capsys):
    def find(_name):
        raise DeviceError("no input device: plug one in")

    monkeypatch.setattr("edge_app.stream.driver.find_device", find)
    assert cli.main(["listen"]) == 3
    assert capsys.readouterr().err == "sedge: no input device: plug one in\n"


def test_a_bundle_that_is_none_is_3(tmp_path, capsys):
    assert cli.main(["listen", "--bundle", str(tmp_path)]) == 3
    assert "bundle.json" in capsys.readouterr().err


def test_a_reader_that_leaves_ends_it_without_a_thread(fakes, recording, monkeypatch):
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    before = threading.active_count()
    arguments = ["--source", str(recording), "--no-realtime", "--format", "jsonl"]
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Closed())
        with pytest.raises(BrokenPipeError):
            listen.main(arguments)
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary_and_0(fakes, tmp_path, capsys, monkeypatch, number):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.tile(bursts(60 * RATE), 10), RATE)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    sent: list = []

    def interrupted(news):
        if isinstance(news, EventNews) and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)
        return messages.as_json(news)

    monkeypatch.setattr(listen, "as_json", interrupted)
    assert cli.main(["listen", "--source", str(path), "--no-realtime", "--format", "jsonl"]) == 0
    *_, summary = lines_of(capsys)
    assert summary["type"] == "summary"
    assert 0 < summary["samples_received"] < 600 * RATE
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_the_real_graph_gives_live_what_it_gives_offline(tiny_bundle, tmp_path, capsys):
    path = tmp_path / "head.wav"
    soundfile.write(path, soundfile.read(RECORDING, frames=12 * RATE)[0], RATE)
    bundle = load_bundle(tiny_bundle)
    detector = Detector(bundle, OnnxRuntime(bundle), "live")
    heard: list = []
    *_, summary = Engine(FileSource(path), detector, on_hop=lambda _, hop: heard.append(hop.scores))
    assert isinstance(summary, Summary)
    samples = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_array_equal(np.concatenate(heard), np.concatenate(list(detector.scores([samples]))))
    arguments = ["--source", str(path), "--no-realtime", "--format", "jsonl", "--bundle", str(tiny_bundle)]
    assert cli.main(["listen", *arguments]) == 0
    assert closed(lines_of(capsys)) == offline_events(detector, path)


def test_ctrl_c_of_a_terminal_ends_a_running_process_with_0(tiny_bundle):
    """A whole process that waits for a pipe: the signal finds it in any state."""
    arguments = ["listen", "--source", "-", "--bundle", str(tiny_bundle), "--format", "jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_app", *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(bytes(2 * RATE))
    process.stdin.flush()
    assert b"listening to" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["type"] == "summary"
