"""The long soundscape, made of the test bank, and the one that is bundled as the demo."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.core.errors import SedgeError
from edge_app.core.events import rasterise
from edge_app.formats.desed_tsv import read_events
from train.data.extents import frame_rms
from train.data.long_soundscape import LongSoundscape, write_soundscape

REPOSITORY = Path(__file__).parents[2]
BANK = REPOSITORY / "tests" / "data" / "bank"
DEMO = REPOSITORY / "edge_app" / "demo"
NAMES = (
    "background/freesound-26222_00.flac",
    "foreground/Dog/freesound-118964_00.flac",
    "foreground/Speech/ljspeech-LJ_01.flac",
    "foreground/Dog/freesound-118964_00.flac",
)


def arguments(folder: Path, *names: str, duration_s: float = 20.0) -> LongSoundscape:
    folder.mkdir(exist_ok=True)
    (folder / "list.txt").write_text("\n".join(["# remark", *names]) + "\n")
    return LongSoundscape(BANK, folder, folder / "list.txt", duration_s=duration_s)


def test_events_are_in_order_with_pauses_and_stand_out(tmp_path: Path):
    made = write_soundscape(arguments(tmp_path, *NAMES))
    waveform, rate = soundfile.read(tmp_path / "soundscape.flac")
    assert (len(waveform), rate) == (320_000, 16_000)
    events = read_events(tmp_path / "soundscape.tsv")["soundscape.flac"]
    assert events == made.events
    assert [event.event_label for event in events] == ["Dog", "Speech", "Dog"]
    active = rasterise(events, ("Dog", "Speech"), 1_000).any(axis=1)
    levels = frame_rms(waveform)
    assert levels[active].mean() > 3 * levels[~active].mean()
    attribution = (tmp_path / "ATTRIBUTION.md").read_text()
    assert all(name in attribution for name in NAMES)


def test_it_can_be_made_again(tmp_path: Path):
    first = write_soundscape(arguments(tmp_path / "first", *NAMES))
    again = write_soundscape(arguments(tmp_path / "again", *NAMES))
    assert np.array_equal(first.waveform, again.waveform)


def test_what_cannot_be_made_is_refused(tmp_path: Path):
    with pytest.raises(SedgeError, match=r"nowhere\.flac"):
        write_soundscape(arguments(tmp_path, "foreground/Dog/nowhere.flac"))
    with pytest.raises(SedgeError, match="a background"):
        write_soundscape(arguments(tmp_path, NAMES[1]))
    with pytest.raises(SedgeError, match="half a second of pause"):
        write_soundscape(arguments(tmp_path, *NAMES, duration_s=5.0))


def test_the_demo_is_what_its_annotation_says():
    info = soundfile.info(DEMO / "soundscape.flac")
    assert (info.samplerate, info.channels, info.format) == (16_000, 1, "FLAC")
    assert 60 <= info.duration <= 120
    events = read_events(DEMO / "soundscape.tsv")["soundscape.flac"]
    assert len({event.event_label for event in events}) >= 5
    assert 18 <= len(events) <= 25
    assert all(0 <= event.onset < event.offset <= info.duration for event in events)
    waveform, _ = soundfile.read(DEMO / "soundscape.flac")
    levels = frame_rms(waveform)
    labels = sorted({event.event_label for event in events})
    active = rasterise(events, labels, len(levels)).any(axis=1)
    quiet = np.sqrt(np.mean(levels[~active] ** 2))
    for event in events:
        heard = levels[round(event.onset / 0.02) : round(event.offset / 0.02)]
        assert heard.max() > 3 * quiet, event


def test_the_demos_recordings_are_attributed():
    names = [line for line in (DEMO / "recordings.txt").read_text().splitlines() if not line.startswith("#")]
    attribution = (DEMO / "ATTRIBUTION.md").read_text()
    assert all(name in attribution for name in names)
