"""Prepared clips: what is in the array is what is in the files, and nothing is dropped."""

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.core.errors import AudioError, SedgeError
from edge_app.core.events import Event, vectorise
from edge_app.formats.desed_tsv import read_events, write_events
from train.data.clips import ClipSet, find_set, load_clips, prepare_clips, prepare_sets
from train.data.desed import DesedSet
from train.data.mixes import mix_folder
from train.data.soundscape import MixSettings
from train.data.tables import write_filenames, write_tags

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


def test_missing_files_are_listed(flat: DesedSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a.flac", "c.flac"):
        (flat.audio / name).unlink()
    out = tmp_path / "clips"
    found = r"2 of 3 files of the synthetic set are absent: a\.flac, c\.flac .*allow_missing"
    with pytest.raises(SedgeError, match=found):
        prepare_clips(flat, out)
    assert (out / "missing_synthetic.txt").read_text() == "a.flac\nc.flac\n"
    assert prepare_clips(flat, out, allow_missing=True).filenames == ("b.flac",)
    assert "2 of 3 files of the synthetic set are absent" in capsys.readouterr().err
    (flat.audio / "b.flac").unlink()
    with pytest.raises(SedgeError, match="3 of 3 files"):
        prepare_clips(flat, out, allow_missing=True)
    with pytest.raises(SedgeError, match="expected ground_truth"):
        find_set(tmp_path / "nowhere")
    with pytest.raises(SedgeError, match="no such files"):
        load_clips(tmp_path / "nowhere")


def test_ten_of_many_missing_files_are_named(tmp_path: Path):
    clips = DesedSet.named(tmp_path, "train", "unlabelled")
    clips.table.parent.mkdir(parents=True)
    names = [f"{index:03}.wav" for index in range(40)]
    write_filenames(clips.table, names)
    with pytest.raises(SedgeError, match=r"40 of 40 .*: 000\.wav, .*, 009\.wav \.\.\. \(all:"):
        prepare_sets({"unlabelled": clips}, tmp_path / "clips", ("Dog",))
    assert (tmp_path / "clips/missing_unlabelled.txt").read_text().split() == names


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


@pytest.fixture
def sets(tmp_path: Path, flat: DesedSet) -> dict[str, DesedSet]:
    """The three strong clips, eight weak and two unlabelled ones of a second, at 44.1 kHz where unlabelled."""
    weak = DesedSet.named(tmp_path / "set", "train", "weak")
    unlabelled = DesedSet.named(tmp_path / "set", "train", "unlabelled")
    tags = {f"w{index}.wav": ("Cat",) if index % 2 else ("Cat", "Dog") for index in range(8)}
    for clips, names, rate in ((weak, tags, 16_000), (unlabelled, ("a.flac", "u.wav"), 44_100)):
        clips.audio.mkdir(parents=True)
        for seed, name in enumerate(names):
            signal = np.random.default_rng(seed).uniform(-0.5, 0.5, rate)
            soundfile.write(clips.audio / name, signal, rate)
    weak.table.parent.mkdir(parents=True)
    write_tags(weak.table, tags)
    return {"synthetic": flat, "weak": weak, "unlabelled": unlabelled}


def held_out(clips: ClipSet) -> set[str]:
    return {clips.filenames[index] for index in clips.indices("weak_development")}


def test_several_sets_in_one_array(sets: dict[str, DesedSet], tmp_path: Path):
    clips = prepare_sets(sets, tmp_path / "clips")
    assert clips.sets == ("synthetic",) * 3 + ("weak",) * 8 + ("unlabelled",) * 2
    assert clips.event_labels == ("Cat", "Dog")
    assert clips.indices("unlabelled", "synthetic").tolist() == [0, 1, 2, 11, 12]
    assert clips.indices("public").size == 0
    assert clips.filenames[11] == clips.filenames[0] == "a.flac"
    assert clips.n_samples[11] == 16_000
    assert clips.waveforms[11].any()
    assert clips.given_tags[2:5] == (None, ("Cat", "Dog"), ("Cat",))
    expected = [[False, True], [True, False], [False, False], [True, True], [True, False]]
    assert clips.tags()[:5].tolist() == expected
    assert not clips.tags()[11:].any()
    assert not clips.strong_labels()[3:].any()
    assert clips.reference("unlabelled") == {"a.flac": [], "u.wav": []}
    assert clips.durations("synthetic") == {"a.flac": 10.0, "b.flac": 4.0, "c.flac": 10.0}


def test_weak_clips_are_held_out_by_their_names(sets: dict[str, DesedSet], tmp_path: Path):
    whole = prepare_sets(sets, tmp_path / "whole")
    clips = prepare_sets(sets, tmp_path / "clips", weak_held_out=0.4)
    assert sorted({*clips.sets}) == ["synthetic", "unlabelled", "weak", "weak_development"]
    assert clips.indices("weak", "weak_development").size == 8
    assert whole.source != clips.source
    for index in clips.indices("weak_development"):
        place = whole.indices("weak")[[f"w{n}.wav" for n in range(8)].index(clips.filenames[index])]
        assert np.array_equal(clips.waveforms[index], whole.waveforms[place])
        assert clips.given_tags[index] == whole.given_tags[place]
    assert held_out(prepare_sets({"weak": sets["weak"]}, tmp_path / "weak", weak_held_out=0.4)) == held_out(
        clips
    )
    assert len(held_out(prepare_sets(sets, tmp_path / "few", weak_held_out=1e-6))) == 1
    assert len(held_out(prepare_sets(sets, tmp_path / "most", weak_held_out=0.999999))) == 7
    with pytest.raises(SedgeError, match="held-out share"):
        prepare_sets(sets, tmp_path / "all", weak_held_out=1.0)


def test_pseudo_events_take_the_place_of_none(sets: dict[str, DesedSet], tmp_path: Path):
    clips = prepare_sets(sets, tmp_path / "clips")
    events = {"u.wav": [Event(0.2, 0.4, "Dog")]}
    labelled = clips.with_events("unlabelled", events)
    assert labelled.reference("unlabelled") == {"a.flac": [], **events}
    assert labelled.reference("synthetic") == clips.reference("synthetic")
    assert labelled.strong_labels()[12, :, 1].nonzero()[0].tolist() == list(range(10, 20))
    assert labelled.tags()[12].tolist() == [False, True]
    sources = {
        found.source
        for found in (
            clips,
            labelled,
            clips.with_events("unlabelled", {}),
            clips.with_events("unlabelled", {"u.wav": [Event(0.2, 0.5, "Dog")]}),
            clips.with_events("unlabelled", {"a.flac": [Event(0.2, 0.4, "Dog")]}),
        )
    }
    assert len(sources) == 5
    assert clips.with_events("unlabelled", events).source == labelled.source
    with pytest.raises(SedgeError, match="'Bird': expected one of"):
        clips.with_events("unlabelled", {"u.wav": [Event(0.2, 0.4, "Bird")]})
    with pytest.raises(SedgeError, match=r"u\.wav: expected events within 1\.000 s, found one from 5\.000 s"):
        clips.with_events("unlabelled", {"u.wav": [Event(5.0, 5.4, "Dog")]})
    weak = clips.with_events("weak", {"w1.wav": [Event(0.2, 0.4, "Dog")]})
    assert weak.tags()[4].tolist() == [True, False]  # given tags stay what they are


def test_pitfall_pseudo_labels_are_of_clips_that_exist(sets: dict[str, DesedSet], tmp_path: Path):
    clips = prepare_sets(sets, tmp_path / "clips")
    with pytest.raises(SedgeError, match=r"files of its 8, found 1 that are not: a\.flac$"):
        clips.with_events("weak", {"a.flac": [], "w1.wav": []})
    named = {f"merge_separated_w{index}.wav": [Event(0.1, 0.2, "Cat")] for index in range(3)} | {
        "other.wav": []
    }
    with pytest.raises(
        SedgeError, match=r"found 4 that .*without the prefix 'merge_separated_', 3 of them are"
    ):
        clips.with_events("weak", named)


def one_clip(n_samples: int = 160_000) -> ClipSet:
    waveforms = np.zeros((1, 160_000), np.int16)
    return ClipSet(waveforms, ("a",), ("weak",), ((),), (None,), ("Cat", "Dog"), np.array([n_samples]), "")


@pytest.mark.parametrize("n_samples", [160_000, 159_360, 64_001])
def test_pitfall_events_of_no_length_survive(n_samples: int):
    """Times of released pseudo labels are frame centres .03 + .02 k: one-frame events begin where they end."""
    duration = 0.02 * (n_samples // 320)
    centres = [0.0, *(0.03 + 0.02 * k for k in range(498)), 0.02, 5.0, 9.98, 10.0]
    for time in (min(centre, duration) for centre in centres):
        clips = one_clip(n_samples).with_events("weak", {"a": [Event(time, time, "Dog")]})
        (event,) = vectorise(clips.strong_labels()[0], clips.event_labels)
        assert abs(event.onset - time) <= 0.02 + 1e-9
        assert abs(event.offset - time) <= 0.02 + 1e-9
        assert not (clips.strong_labels() & ~clips.frame_valid()[:, :, None]).any()


def test_pitfall_a_table_with_events_of_no_length_is_read(flat: DesedSet, tmp_path: Path):
    row = "b.flac\t1.030\t1.030\tCat\n"
    flat.strong.write_text(f"filename\tonset\toffset\tevent_label\n{row}")
    clips = prepare_clips(flat, tmp_path / "clips")
    assert np.flatnonzero(clips.strong_labels()[0, :, 0]).tolist() == [51]


def test_pitfall_seconds_are_exchanged_not_frames(tmp_path: Path):
    """A grid of 498 centres and ours of 500 cells: times agree within a frame everywhere, counts do not drift."""
    clips = one_clip()
    for first, last in ((0, 0), (0, 497), (100, 140), (249, 251), (490, 497)):
        event = Event(0.03 + 0.02 * first, 0.03 + 0.02 * last, "Cat")
        active = np.flatnonzero(clips.with_events("weak", {"a": [event]}).strong_labels()[0, :, 0])
        onset, offset = 0.02 * active[0], 0.02 * (active[-1] + 1)
        assert abs(onset - event.onset) < 0.02
        assert abs(offset - event.offset) < 0.02
        assert len(active) == last - first + 1


def test_events_in_the_slack_after_the_clip_are_cut(
    flat: DesedSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_events(flat.strong, {"b.flac": [Event(3.5, 4.115, "Cat"), Event(4.05, 4.1, "Dog")], "a.flac": []})
    clips = prepare_clips(flat, tmp_path / "clips")
    assert "2 events end up to 0.2 s after their clip" in capsys.readouterr().err
    assert np.flatnonzero(clips.strong_labels()[0, :, 0]).tolist() == list(range(175, 200))
    assert np.flatnonzero(clips.strong_labels()[0, :, 1]).tolist() == [199]


def test_unknown_labels_of_weak_clips_are_refused(sets: dict[str, DesedSet], tmp_path: Path):
    with pytest.raises(SedgeError, match=r"weak\.tsv: w0\.wav: event label: .*'Cat'\], found 'Dog'"):
        prepare_sets({"weak": sets["weak"]}, tmp_path / "clips", ("Cat",))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def no_audio(path: Path) -> None:
    path.write_bytes(b"no audio")


def no_frame(path: Path) -> None:
    soundfile.write(path, np.zeros(100), 16_000)


@pytest.mark.parametrize(
    ("name", "damage", "match"),
    [
        ("a.flac", cut_short, r"a\.flac: expected an audio file"),
        ("u.wav", no_audio, r"u\.wav: expected an audio file"),
        ("u.wav", no_frame, r"u\.wav: expected a frame of sound or more, found 100 samples"),
    ],
)
def test_broken_audio_is_named(
    name: str, damage: Callable[[Path], None], match: str, sets: dict[str, DesedSet], tmp_path: Path
):
    damage(sets["unlabelled"].audio / name)
    with pytest.raises(AudioError, match=match):
        prepare_sets(sets, tmp_path / "clips")


class StoppedError(Exception):
    """Stands for a kill between two clips."""


def test_a_stopped_run_goes_on(sets: dict[str, DesedSet], tmp_path: Path):
    expected = prepare_sets(sets, tmp_path / "whole")
    counts: list[int] = []

    def stopping(clips: Iterable[object], count: int) -> Iterable[object]:
        counts.append(count)
        yield from islice(clips, 5)
        raise StoppedError

    for _ in range(2):
        with pytest.raises(StoppedError):
            prepare_sets(sets, tmp_path / "clips", track=stopping)
    with (tmp_path / "clips/waveforms.txt").open("a") as journal:
        journal.write("160")  # a line that a kill cut short
    with (tmp_path / "clips/waveforms.npy.part").open("ab") as part:
        part.write(b"half a clip")

    def counting(clips: Iterable[object], count: int) -> Iterable[object]:
        counts.append(count)
        return clips

    clips = prepare_sets(sets, tmp_path / "clips", track=counting)
    assert counts == [13, 8, 3]
    assert np.array_equal(clips.waveforms, expected.waveforms)
    assert (clips.source, clips.n_samples.tolist()) == (expected.source, expected.n_samples.tolist())


def test_changed_tables_need_no_new_waveforms(sets: dict[str, DesedSet], tmp_path: Path):
    out = tmp_path / "clips"
    before = prepare_sets(sets, out)
    made = (out / "waveforms.npy").stat().st_mtime_ns
    write_tags(sets["weak"].table, {f"w{index}.wav": ("Dog",) for index in range(8)})
    after = prepare_sets(sets, out)
    assert after.source != before.source
    assert after.given_tags[3] == ("Dog",)
    assert (out / "waveforms.npy").stat().st_mtime_ns == made
    soundfile.write(sets["weak"].audio / "w3.wav", np.full(16_000, 0.25), 16_000)
    again = prepare_sets(sets, out)
    assert again.source != after.source
    assert again.waveforms[6, 0] == 8192
