"""`sedge bench-live`: which news belongs to which onset, that the parts make the whole, and one short run."""

import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.live import live as live_latency
from benchmarks.live.alignment import first_sample_of
from benchmarks.live.annotated import SAMPLE_RATE, join
from benchmarks.live.busy import busy_processes
from benchmarks.live.listening import Heard, HopStamps, Listening, Told
from benchmarks.live.live_report import live_run
from benchmarks.live.onsets import COMPUTING, PARTS, computing_s, histogram, latencies, match
from benchmarks.machine_watch import MachineWatch
from benchmarks.recording import soundscape
from benchmarks.report import read_result
from edge_app import cli
from edge_app.commands.demo import ANNOTATION, RECORDING
from edge_app.core.errors import DeviceError, SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_events
from tests.stream.fakes import FakeRuntime, ScriptedSource, bursts, cut, fake_detector

REPOSITORY = Path(__file__).resolve().parents[2]
RATE = 16_000


def closed(**spans: tuple[str, float, float]) -> dict[int, tuple[str, int, int]]:
    return {
        int(name[1:]): (label, round(onset * RATE), round(offset * RATE))
        for name, (label, onset, offset) in spans.items()
    }


def test_each_onset_gets_the_earliest_event_of_its_label_that_overlaps():
    annotated = [Event(1.0, 2.0, "Dog", 1.0), Event(1.2, 3.0, "Cat", 1.0), Event(5.0, 6.0, "Dog", 1.0)]
    heard = Heard(
        closed=closed(e1=("Dog", 0.9, 1.4), e2=("Dog", 1.5, 2.5), e3=("Cat", 3.1, 3.5), e4=("Dog", 5.3, 5.4))
    )
    assert match(annotated, heard, RATE) == {annotated[0]: 1, annotated[2]: 4}


def test_an_event_that_was_there_long_before_is_not_of_the_onset_and_none_is_used_twice():
    annotated = [Event(3.0, 4.0, "Dog", 1.0), Event(3.5, 4.5, "Dog", 1.0)]
    assert match(annotated, Heard(closed=closed(e1=("Dog", 1.0, 5.0))), RATE) == {}
    assert match(annotated, Heard(closed=closed(e1=("Dog", 3.1, 5.0))), RATE) == {annotated[0]: 1}


def test_a_recording_that_begins_later_in_the_source_is_matched_there():
    annotated = [Event(1.0, 2.0, "Dog", 1.0)]
    heard = Heard(closed=closed(e1=("Dog", 8.0, 9.0)))
    assert match(annotated, heard, RATE) == {}
    assert match(annotated, heard, RATE, first_sample=7 * RATE) == {annotated[0]: 1}


def test_parts_are_the_spans_between_the_moments_and_make_the_whole():
    hop = HopStamps(
        round(2.0 * RATE), arrived_s=101.05, resampled_s=101.06, featured_s=101.08, scored_s=101.11
    )
    told = [
        Told(1, "confirmed", "Dog", round(1.4 * RATE), told_s=101.15, onset_s=100.4, hop=hop),
        Told(
            2, "confirmed", "Cat", RATE, told_s=101.0, onset_s=None, hop=hop
        ),  # when it was heard is not known
    ]
    heard = Heard(told=told, closed=closed(e1=("Dog", 1.4, 2.0), e2=("Cat", 1.0, 2.0), e3=("Dog", 7.0, 8.0)))
    annotated = [Event(1.1, 2.0, "Dog", 1.0), Event(1.0, 2.0, "Cat", 1.0)]
    matches = latencies(annotated, heard, RATE)
    assert (matches.annotated, matches.matched, matches.others) == (2, 2, 1)
    (latency,) = matches.latencies
    assert list(latency.parts_s) == list(PARTS)
    assert list(latency.parts_s.values()) == pytest.approx([0.3, 0.6, 0.05, 0.01, 0.02, 0.03, 0.04])
    assert latency.seconds == pytest.approx(101.15 - 100.1)  # the sound began at 100.1 by the clock
    assert computing_s(latency.parts_s) == pytest.approx(0.1)


def test_histogram_counts_every_value_and_shows_empty_bins():
    assert histogram([0.31, 0.39, 0.62], 0.1) == {"0.3": 2, "0.4": 0, "0.5": 0, "0.6": 1}
    assert histogram([], 0.1) == {}


def listen(runtime: FakeRuntime | None = None) -> Heard:
    """Six seconds of bursts through the engine, as fast as it goes."""
    source = ScriptedSource(list(cut(bursts(6 * RATE, seed=3), seed=1)), RATE)
    return Listening(source, fake_detector(runtime)).run()


def test_stamps_are_in_order_and_news_carries_the_hop_that_brought_it():
    heard = listen()
    assert heard.summary is not None
    assert heard.told
    assert {one.state for one in heard.told} == {"provisional", "confirmed"}
    for hop in heard.hops:
        assert hop.arrived_s <= hop.resampled_s <= hop.featured_s <= hop.scored_s
    # hop k ends at frame 25 (k + 1); 12 frames of context and 20 ms of look-ahead come after it
    whole = [hop.needed_sample for hop in heard.hops[:-1]]
    assert whole == [(25 * (k + 1) + 12 + 1) * 320 for k in range(len(whole))]
    assert heard.hops[-1].needed_sample == 0  # the end of the sound needs nothing
    for one in heard.told:
        assert one.told_s >= one.hop.scored_s
        assert one.hop.needed_sample > one.onset_sample
        assert one.id in heard.closed


def test_news_that_only_the_end_of_the_sound_brought_has_no_latency():
    loud = np.random.default_rng(0).normal(0, 0.3, round(0.6 * RATE)).astype(np.float32)
    heard = Listening(ScriptedSource([loud], RATE), fake_detector()).run()
    assert len(heard.hops) == 1  # 30 frames are less than a hop with its context
    assert heard.closed
    assert heard.told == []


def test_a_planted_delay_of_20_ms_in_the_graph_shows_in_the_parts():
    heard = listen(FakeRuntime(lambda: time.sleep(0.02)))
    assert min(hop.scored_s - hop.featured_s for hop in heard.hops) >= 0.02
    annotated = [
        Event(onset / RATE, offset / RATE, label, 1.0) for label, onset, offset in heard.closed.values()
    ]
    matches = latencies(annotated, heard, RATE)
    assert matches.latencies
    for latency in matches.latencies:
        assert latency.parts_s["inference and pooling"] >= 0.02
        assert computing_s(latency.parts_s) >= 0.02
        assert latency.seconds == pytest.approx(sum(latency.parts_s.values()))


def test_steps_that_take_longer_than_their_hop_are_counted():
    heard = listen()
    heard.hops[:] = [replace(hop, arrived_s=hop.scored_s - 0.01) for hop in heard.hops]
    heard.hops[3] = replace(heard.hops[3], arrived_s=heard.hops[3].scored_s - 0.6)
    run = live_run(0, [], heard, RATE, MachineWatch().use())
    assert (run.late_hops, run.hops) == (1, len(heard.hops))
    assert run.hop_work.p50_ms == pytest.approx(10)
    assert run.hop_work.max_ms == pytest.approx(600)


def test_a_recording_is_found_where_it_begins_in_what_was_heard():
    recording = soundscape()[: 5 * RATE]
    noise = np.random.default_rng(0).normal(0, 0.001, 8 * RATE).astype(np.float32)
    noise[12_345 : 12_345 + len(recording)] += 0.4 * recording
    blocks = [(first, noise[first : first + 700]) for first in range(0, len(noise), 700)]
    assert first_sample_of(recording, blocks, RATE) == 12_345


def test_a_microphone_that_hears_something_else_is_told():
    recording, other = soundscape()[: 5 * RATE], bursts(8 * RATE)
    with pytest.raises(DeviceError, match="hear what is played"):
        first_sample_of(recording, [(0, other)], RATE)
    with pytest.raises(DeviceError, match=r"found 1\.0 s"):
        first_sample_of(recording, [(0, other[:RATE])], RATE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips of the soundscape, one at 16 kHz and one at 44.1, each with an annotated event."""
    (tmp_path / "set" / "audio").mkdir(parents=True)
    speech, dog = soundscape()[round(2.2 * RATE) : 4 * RATE], soundscape(44_100)[8 * 44_100 : 9 * 44_100]
    soundfile.write(tmp_path / "set" / "audio" / "a.wav", speech, RATE)
    soundfile.write(tmp_path / "set" / "audio" / "b.flac", dog, 44_100)
    rows = ["filename\tonset\toffset\tevent_label", "a.wav\t0.42\t1.8\tSpeech", "b.flac\t0.3\t0.64\tDog"]
    (tmp_path / "set" / "ground_truth.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path / "set"


def test_clips_are_joined_with_their_onsets(folder, tmp_path):
    joined = join(folder, 60.0, tmp_path / "all.wav")
    assert joined.duration_s == pytest.approx(2.8, abs=0.001)
    spans = [(event.event_label, event.onset, event.offset) for event in joined.events]
    assert spans == [
        ("Speech", pytest.approx(0.42), pytest.approx(1.8)),
        ("Dog", pytest.approx(2.1), pytest.approx(2.44)),
    ]
    samples, rate = soundfile.read(joined.path)
    assert (rate, len(samples)) == (SAMPLE_RATE, round(joined.duration_s * SAMPLE_RATE))


def test_an_event_that_is_cut_is_left_out(folder, tmp_path):
    joined = join(folder, 2.2, tmp_path / "all.wav")
    assert joined.duration_s == pytest.approx(2.2)
    assert [event.event_label for event in joined.events] == ["Speech"]
    with pytest.raises(SedgeError, match="expected an event in the first 1 s"):
        join(folder, 1.0, tmp_path / "short.wav")


def test_the_soundscape_is_what_there_is_without_a_folder(tmp_path):
    joined = join(None, 600.0, tmp_path / "all.wav")
    assert list(joined.events) == read_events(ANNOTATION)[RECORDING.name]
    assert joined.duration_s == pytest.approx(soundfile.info(RECORDING).duration, abs=0.01)


def test_busy_processes_are_there_and_end():
    with busy_processes(1):
        (child,) = multiprocessing.active_children()
        assert child.is_alive()
    assert not child.is_alive()
    assert not multiprocessing.active_children()


def test_a_short_run_from_the_command_line(folder, tiny_bundle, tmp_path, capsys):
    path = tmp_path / "live.json"
    words = [
        "bench-live",
        str(folder),
        "--bundle",
        str(tiny_bundle),
        "--hop-frames",
        "5",
        "--json",
        str(path),
    ]
    assert live_latency.main([*words[1:], "--runtime", "cpu"]) == 0
    result, out = read_result(path), capsys.readouterr().out
    assert result.benchmark == "live"
    assert result.settings["hop_frames"] == 5
    assert result.settings["seconds"] == pytest.approx(2.8, abs=0.001)
    (run,) = result.details["runs"]
    assert (run["load"], run["onsets"]) == (0, 2)
    assert run["matched"] <= 2
    assert run["steps"] == (140 - 12) // 5 + 1  # of 140 frames, and the rest at the end
    assert run["not_analysed_s"] < 0.1
    assert set(result.details["parts"]) > set(COMPUTING)
    names = {figure.name for figure in result.figures}
    assert {"load 0 / onsets found", "load 0 / late steps", "load 0 / not analysed"} <= names
    for words_ in ("Beside 0 busy processes", "of 2 onsets found", "onset to news, ms", "Real-time factor"):
        assert words_ in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seconds", "0"], "--seconds: expected more than 0"),
        (["--load", "-1"], "--load: expected numbers of processes"),
        (["--load", "2", "2"], "--load: expected numbers of processes, each once"),
        (["--device", "x"], "--device and --play-sink: expected both"),
        (["--pulse", "--device", "x", "--play-sink", "y"], "--pulse: expected neither"),
    ],
)
def test_wrong_use_is_a_sentence(words, message):
    with pytest.raises(SedgeError, match=message):
        live_latency.main(words)


def test_a_folder_without_annotation_is_told(tmp_path, tiny_bundle):
    with pytest.raises(SedgeError, match=r"expected a folder with audio/ and ground_truth\.tsv"):
        live_latency.main([str(tmp_path), "--bundle", str(tiny_bundle), "--runtime", "cpu"])


@pytest.mark.slow
def test_the_shipped_model_hears_the_soundscape_and_the_parts_make_the_whole(tmp_path):
    path = tmp_path / "live.json"
    argv = ["--seconds", "16", "--load", "0", "1", "--runtime", "cpu", "--json", str(path)]
    assert live_latency.main(argv) == 0
    result = read_result(path)
    most_s = {
        label["event_label"]: label["confirmed"]["most_ms"] / 1000
        for label in result.details["delay"]["labels"]
    }
    assert [run["load"] for run in result.details["runs"]] == [0, 1]
    for run in result.details["runs"]:
        assert run["matched"] >= 2
        assert sum(sum(counts.values()) for counts in run["histogram"].values()) == len(run["latencies"])
        for latency in run["latencies"]:
            parts_s = latency["parts_s"]
            assert sum(parts_s.values()) == pytest.approx(latency["seconds"])
            assert parts_s["algorithmic"] <= most_s[latency["event_label"]] + 0.1
            assert all(parts_s[part] >= 0 for part in PARTS if part != "onset found")


@pytest.mark.audio
@pytest.mark.slow
def test_through_a_virtual_microphone(folder, tiny_bundle, tmp_path):
    """In a process of its own: PortAudio must not have been loaded before."""
    path = tmp_path / "live.json"
    command = [sys.executable, "-m", "benchmarks.live.live"]
    words = [str(folder), "--bundle", str(tiny_bundle), "--runtime", "cpu", "--pulse", "--json", str(path)]
    done = subprocess.run(
        [*command, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    assert "through a virtual microphone" in result["settings"]["source"]
    (run,) = result["details"]["runs"]
    assert run["onsets"] == 2
    assert run["steps"] >= 8  # the clips and some seconds after them, at hops of half a second
    assert run["not_analysed_s"] < 1


def test_missing_programs_are_named(monkeypatch, tmp_path, tiny_bundle, folder):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(DeviceError, match="not found: pulseaudio, pactl, paplay"):
        live_latency.main([str(folder), "--bundle", str(tiny_bundle), "--runtime", "cpu", "--pulse"])
    if "bench-live" in cli.COMMANDS:
        assert cli.COMMANDS["bench-live"][0] == "benchmarks.live.live:main"
