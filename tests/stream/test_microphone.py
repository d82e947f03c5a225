"""A real microphone path: PortAudio records what is played into a virtual microphone."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_events
from tests.stream.virtual_microphone import REPOSITORY, VirtualMicrophone

pytestmark = pytest.mark.audio

RECORDING = REPOSITORY / "edge_app" / "demo" / "soundscape.flac"
ANNOTATION = REPOSITORY / "edge_app" / "demo" / "soundscape.tsv"
RATE = 16_000


@pytest.fixture
def microphone(tmp_path: Path) -> Iterator[VirtualMicrophone]:
    with VirtualMicrophone(tmp_path / "sound") as virtual:
        yield virtual


def check_books(summary: dict) -> None:
    assert summary["type"] == "summary"
    assert summary["samples_analysed"] + summary["samples_not_analysed"] == summary["samples_received"]


def check_length(summary: dict, seconds: float) -> None:
    """Received and gaps make the time, to a sample for each stretch that is resampled."""
    elapsed = summary["samples_received"] + summary["samples_gap"]
    assert elapsed == pytest.approx(seconds * RATE, abs=2)


def check_lines(err: str) -> None:
    """The error stream has the program's own words only, none of the sound libraries'."""
    assert [line for line in err.splitlines() if not line.startswith("sedge: ")] == []


def test_it_hears_what_is_played(microphone: VirtualMicrophone):
    """The events of the recording come out of the microphone, shifted by when the player began."""
    listener = microphone.sedge("listen", "--duration", "20", "--format", "jsonl")
    assert listener.stderr is not None
    assert "listening to" in listener.stderr.readline()
    with microphone.playing(RECORDING):
        out, err = listener.communicate(timeout=90)
    assert listener.returncode == 0, err
    *news, summary = map(json.loads, out.splitlines())
    check_books(summary)
    check_length(summary, 20.0)
    # A busy machine may lose a little; more would be a fault.
    assert summary["samples_received"] > 19 * RATE
    found = [
        Event(one["onset"], one["offset"], one["event_label"]) for one in news if one["type"] == "closed"
    ]
    annotated = [event for event in read_events(ANNOTATION)[RECORDING.name] if event.offset < 16]
    # player and microphone begin apart by one number for all events: a busy machine takes seconds to start either
    heard = max(
        sum(any(overlaps(event, one, late_s) for one in found) for event in annotated)
        for late_s in np.arange(-4, 4.1, 0.25).tolist()
    )
    assert heard >= len(annotated) / 2, (annotated, found)


def overlaps(one: Event, other: Event, late_s: float) -> bool:
    """Whether they are of one label, and the other is where the one would be if it were so much later."""
    return (
        one.event_label == other.event_label
        and one.onset + late_s < other.offset
        and other.onset < one.offset + late_s
    )


def test_books_of_an_untrained_model_balance(microphone: VirtualMicrophone, tiny_bundle: Path):
    listener = microphone.sedge(
        "listen", "--bundle", str(tiny_bundle), "--duration", "3", "--format", "jsonl"
    )
    with microphone.playing(RECORDING):
        out, err = listener.communicate(timeout=60)
    assert listener.returncode == 0, err
    summary = json.loads(out.splitlines()[-1])
    check_books(summary)
    check_length(summary, 3.0)


def test_a_microphone_that_vanishes_is_told_and_ends_with_3_and_a_summary(
    microphone: VirtualMicrophone, tiny_bundle: Path
):
    listener = microphone.sedge(
        "listen", "--bundle", str(tiny_bundle), "--format", "jsonl", "--reconnect-s", "2", "--duration", "60"
    )
    wait_for_sound(microphone, listener)
    microphone.kill()
    out, err = listener.communicate(timeout=60)
    assert listener.returncode == 3
    assert "stopped delivering" in err
    assert "cannot be opened again" in err.splitlines()[-1]
    check_lines(err)
    *_, gap, summary = map(json.loads, out.splitlines())
    check_books(summary)
    assert (gap["type"], gap["kind"]) == ("gap", "lost")
    assert summary["samples_gap"] == gap["offset_sample"] - gap["onset_sample"] > RATE


def test_a_microphone_that_comes_back_goes_on_after_a_gap(microphone: VirtualMicrophone, tiny_bundle: Path):
    listener = microphone.sedge(
        "listen", "--bundle", str(tiny_bundle), "--format", "jsonl", "--duration", "25"
    )
    wait_for_sound(microphone, listener)
    microphone.kill()
    microphone.start()
    with microphone.playing(RECORDING):
        out, err = listener.communicate(timeout=90)
    assert listener.returncode == 0, err
    assert "delivers sound again" in err
    check_lines(err)
    *news, summary = map(json.loads, out.splitlines())
    check_books(summary)
    gaps = [one for one in news if one["type"] == "gap"]
    # a busy machine may lose a little besides
    gap = max(gaps, key=lambda one: one["offset_sample"] - one["onset_sample"])
    assert gap["onset_sample"] > 0
    assert gap["kind"] == "lost"
    check_length(summary, 25.0)
    assert summary["samples_received"] > gap["onset_sample"] + RATE


def wait_for_sound(microphone: VirtualMicrophone, listener: subprocess.Popen[str]) -> None:
    """Wait until the listener has opened the microphone, by the sound server's own account, and then a little."""
    assert listener.stderr is not None
    assert "listening to" in listener.stderr.readline()
    while "Source Output" not in microphone.run("pactl", "list", "source-outputs"):
        assert listener.poll() is None, listener.communicate()
    microphone.hear(1.5)
