"""Prepared clips: what is in the array is what is in the files, and nothing is dropped."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import read_events, write_events
from train.data.clips import find_set, load_clips, prepare_clips
from train.data.desed import DesedSet
from train.data.mixes import mix_folder
from train.data.soundscape import MixSettings

BANK = Path(__file__).parents[1] / "data" / "bank"


@pytest.fixture
def flat(tmp_path: Path) -> DesedSet:
    """Three clips of 10 s, 4 s and 10.05 s."""
    clips = DesedSet.flat(tmp_path / "set")
    clips.audio.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name, seconds in (("a.flac", 10), ("b.flac", 4), ("c.flac", 10.05)):
        soundfile.write(clips.audio / name, rng.uniform(-1, 1, round(16_000 * seconds)), 16_000)
    write_events(
        clips.strong, {"a.flac": [Event(1.0, 2.5, "Dog")], "b.flac": [Event(3.9, 4.0, "Cat")], "c.flac": []}
    )
    return clips


def test_a_mixed_folder_round_trips(tmp_path: Path):
    mixes = mix_folder(BANK, tmp_path / "mixes", 5, "train", MixSettings())
    clips = prepare_clips(find_set(tmp_path / "mixes"), tmp_path / "clips")
    events = read_events(mixes.strong)
    assert clips.filenames == tuple(events)
    assert clips.waveforms.shape == (5, 160_000)
    assert clips.waveforms.dtype == np.int16
    for index, filename in enumerate(clips.filenames):
        samples, _ = soundfile.read(mixes.audio / filename, dtype="int16")
        assert np.array_equal(clips.waveforms[index], samples)
        assert list(clips.events[index]) == events[filename]
        active = sum(round((e.offset - e.onset) / 0.02) for e in events[filename])
        assert clips.strong_labels()[index].sum() == active
    assert clips.frame_valid().all()


def test_short_clips_are_padded_and_marked(flat: DesedSet, tmp_path: Path):
    clips = prepare_clips(flat, tmp_path / "clips")
    assert clips.event_labels == ("Cat", "Dog")
    assert clips.n_samples.tolist() == [160_000, 64_000, 160_000]
    assert clips.frame_valid().sum(axis=1).tolist() == [500, 200, 500]
    assert not clips.waveforms[1, 64_000:].any()
    assert np.flatnonzero(clips.strong_labels()[0, :, 1]).tolist() == list(range(50, 125))
    assert np.flatnonzero(clips.strong_labels()[1, :, 0]).tolist() == list(range(195, 200))
    assert not clips.strong_labels()[2].any()


def test_labels_may_be_given(flat: DesedSet, tmp_path: Path):
    clips = prepare_clips(flat, tmp_path / "clips", ("Dog", "Cat", "Speech"))
    assert clips.event_labels == ("Dog", "Cat", "Speech")
    assert clips.strong_labels()[0, :, 0].sum() == 75
    with pytest.raises(SedgeError, match=r"b\.flac.*event label"):
        prepare_clips(flat, tmp_path / "other", ("Dog",))


def test_prepared_clips_are_kept_until_their_source_changes(flat: DesedSet, tmp_path: Path):
    out = tmp_path / "clips"
    prepare_clips(flat, out)
    made = (out / "waveforms.npy").stat().st_mtime_ns
    prepare_clips(flat, out)
    assert (out / "waveforms.npy").stat().st_mtime_ns == made
    write_events(flat.strong, {"a.flac": [], "b.flac": [Event(0, 1, "Cat")]})
    assert prepare_clips(flat, out).filenames == ("a.flac", "b.flac")
    assert load_clips(out).waveforms.shape[0] == 2


def test_missing_files_are_listed(flat: DesedSet, tmp_path: Path):
    for name in ("a.flac", "c.flac"):
        (flat.audio / name).unlink()
    with pytest.raises(SedgeError, match=r"2 files of .* absent: a\.flac, c\.flac"):
        prepare_clips(flat, tmp_path / "clips")
    with pytest.raises(SedgeError, match="expected ground_truth"):
        find_set(tmp_path / "nowhere")
    with pytest.raises(SedgeError, match="no such files"):
        load_clips(tmp_path / "nowhere")


def test_events_past_the_end_are_refused(flat: DesedSet, tmp_path: Path):
    write_events(flat.strong, {"b.flac": [Event(3.0, 5.0, "Cat")]})
    with pytest.raises(SedgeError, match=r"b\.flac 3\.000 5\.000 Cat: offset.*4\.000 s"):
        prepare_clips(flat, tmp_path / "clips")
    flat.strong.write_text("filename\tonset\toffset\tevent_label\nb.flac\t3.0\t2.0\tCat\n")
    with pytest.raises(SedgeError, match="row 2"):
        prepare_clips(flat, tmp_path / "clips")


def test_long_clips_are_refused(flat: DesedSet, tmp_path: Path):
    soundfile.write(flat.audio / "b.flac", np.zeros(16_000 * 12), 16_000)
    with pytest.raises(SedgeError, match=r"b\.flac: expected at most 10 s, found 12"):
        prepare_clips(flat, tmp_path / "clips")
