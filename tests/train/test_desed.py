"""Sets are found in every layout that users of DESED have on disk, and their tables are read whole."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.formats.desed_tsv import write_durations, write_events
from train.data.desed import KINDS, SPLITS, DesedSet, find_set, find_sets
from train.data.overlaps import merged
from train.data.tables import (
    annotated_durations,
    read_filenames,
    read_set,
    read_tags,
    write_filenames,
    write_tags,
)
from train.measuring.validation_set import read_validation_set

EVENTS = {"a.wav": [Event(0.5, 1.0, "Dog")]}


def put_audio(folder: Path, *names: str, rate: int = 16_000) -> Path:
    """Write a second of noise under each name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        soundfile.write(folder / name, np.random.default_rng(1).uniform(-0.1, 0.1, rate), rate)
    return folder


def put_table(path: Path, text: str) -> Path:
    """Write a table, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def desed(tmp_path: Path) -> Path:
    """The layout of 2021: all sets, the synthetic ones with copies at 16 kHz."""
    root = tmp_path / "dataset"
    events = "filename\tonset\toffset\tevent_label\na.wav\t0.5\t1.0\tDog\n"
    for split in ("train", "validation"):
        name = f"{split}/synthetic21_{split}"
        put_table(root / "metadata" / name / "soundscapes.tsv", events)
        put_audio(root / "audio" / name / "soundscapes", "a.wav", rate=44_100)
        put_audio(root / "audio" / name / "soundscapes_16k", "a.wav")
        (root / "audio" / name / "soundscapes" / "a.jams").write_text("{}")
    put_table(root / "metadata/train/weak.tsv", "filename\tevent_labels\na.wav\tSpeech,Dog\n")
    put_audio(root / "audio/train/weak", "a.wav", rate=44_100)
    put_audio(root / "audio/train/unlabel_in_domain", "u.wav", "t.wav", rate=44_100)
    put_table(root / "metadata/validation/validation.tsv", events)
    put_table(root / "metadata/validation/validation_durations.tsv", "filename\tduration\na.wav\t1.0\n")
    put_audio(root / "audio/validation/validation", "a.wav")
    put_table(root / "metadata/eval/public.tsv", events)
    put_audio(root / "audio/eval/public", "a.wav")
    return root


def test_all_sets_of_the_layout_are_found(desed: Path) -> None:
    sets = find_sets(desed)
    assert list(sets) == list(KINDS)
    assert {name: clips.kind for name, clips in sets.items()} == KINDS
    assert sets["synthetic"].audio == desed / "audio/train/synthetic21_train/soundscapes_16k"
    assert sets["development"].table == desed / "metadata/validation/synthetic21_validation/soundscapes.tsv"
    assert sets["weak"].audio == desed / "audio/train/weak"
    assert not sets["unlabelled"].table.exists()
    assert read_set("unlabelled", sets["unlabelled"]).filenames == ("t.wav", "u.wav")
    assert read_set("weak", sets["weak"]).given_tags == (("Dog", "Speech"),)
    assert read_set("validation", sets["validation"]).events == (tuple(EVENTS["a.wav"]),)
    assert find_sets(desed.parent) == sets  # the folder in which archives were unpacked


def test_a_resampling_that_was_stopped_is_not_taken(desed: Path) -> None:
    whole = put_audio(desed / "audio/train/weak", "b.wav", rate=44_100)
    put_audio(desed / "audio/train/weak_16k", "a.wav")
    assert find_sets(desed)["weak"].audio == whole
    copies = put_audio(desed / "audio/train/weak_16k", "b.wav")
    assert find_sets(desed)["weak"].audio == copies


def test_the_validation_clips_may_lie_directly_in_their_split(desed: Path) -> None:
    folder = desed / "audio/validation"
    (folder / "validation/a.wav").rename(folder / "a.wav")
    assert find_sets(desed)["validation"].audio == folder
    assert read_validation_set(desed).audio == folder


def test_the_synthetic_part_may_have_another_root(desed: Path, tmp_path: Path) -> None:
    other = tmp_path / "dcase_synth"
    for kind in ("audio", "metadata"):
        (other / kind / "train").mkdir(parents=True)
        (desed / kind / "train/synthetic21_train").rename(other / kind / "train/synthetic21_train")
    assert "synthetic" not in find_sets(desed)
    assert find_sets(desed, other)["synthetic"] == find_sets(tmp_path)["synthetic"]
    assert other in find_sets(tmp_path)["synthetic"].audio.parents
    with pytest.raises(SedgeError, match="no such folder"):
        find_sets(tmp_path / "nowhere")


def test_an_unlabelled_table_wins_over_the_folder(desed: Path) -> None:
    put_table(desed / "metadata/train/unlabel_in_domain.tsv", "filename\nu.wav\nu.wav\ngone.wav\n")
    assert read_set("unlabelled", find_sets(desed)["unlabelled"]).filenames == ("u.wav", "gone.wav")


@pytest.mark.parametrize("name", list(KINDS))
def test_own_mixes_are_found_where_they_are_named(name: str, tmp_path: Path) -> None:
    clips = DesedSet.named(tmp_path, SPLITS[name], name)
    clips.table.parent.mkdir(parents=True)
    put_audio(clips.audio, "a.wav")
    if clips.kind == "strong":
        write_events(clips.table, EVENTS)
    elif clips.kind == "weak":
        write_tags(clips.table, {"a.wav": ("Dog",)})
    else:
        write_filenames(clips.table, ["a.wav"])
    write_durations(clips.durations, {"a.wav": 1.0})
    assert find_sets(tmp_path) == {name: clips}
    assert find_set(tmp_path, SPLITS[name], name) == clips
    assert read_set(name, clips).filenames == ("a.wav",)


def test_a_flat_folder_is_a_validation_set(tmp_path: Path) -> None:
    flat = DesedSet.flat(tmp_path)
    put_audio(flat.audio, "a.wav")
    write_events(flat.table, EVENTS)
    write_durations(flat.durations, {"a.wav": 1.0})
    assert find_sets(tmp_path) == {"validation": flat}


def test_a_single_set_is_found_in_either_layout(desed: Path, tmp_path: Path) -> None:
    assert find_set(desed) == find_sets(desed)["synthetic"]
    assert find_set(desed, "train", "weak") == find_sets(desed)["weak"]
    with pytest.raises(SedgeError, match="expected ground_truth"):
        find_set(tmp_path / "nowhere")


def test_tables_of_tags_and_names_round_trip(tmp_path: Path) -> None:
    tags = {"a.wav": ("Cat", "Dog"), "odd\tname\\.wav": (), "b.wav": ("Speech",)}
    write_tags(tmp_path / "weak.tsv", tags)
    assert read_tags(tmp_path / "weak.tsv") == tags
    write_filenames(tmp_path / "names.tsv", tags)
    assert read_filenames(tmp_path / "names.tsv") == list(tags)
    with pytest.raises(SedgeError, match="no comma"):
        write_tags(tmp_path / "weak.tsv", {"a.wav": ("Cat,Dog",)})


def test_wrong_tables_of_tags_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weak.tsv"
    same = put_table(path, "filename\tevent_labels\na.wav\tDog,Cat\na.wav\tCat, Dog\n")
    assert read_tags(same) == {"a.wav": ("Cat", "Dog")}
    for text, match in (
        (
            "filename\tevent_labels\na.wav\tDog\na.wav\tCat\n",
            r"row 3: event_labels of 'a\.wav'.*'Dog'.*'Cat'",
        ),
        ("filename\tlabel\na.wav\tDog\n", r"expected columns .*event_labels"),
        ("filename\tevent_labels\na.wav\n", "row 2"),
        ("", "expected columns"),
    ):
        with pytest.raises(SedgeError, match=match):
            read_tags(put_table(path, text))
    with pytest.raises(SedgeError, match="cannot be read"):
        read_tags(tmp_path / "absent.tsv")


def test_empty_sets_and_names_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    clips = DesedSet.named(tmp_path, "train", "weak")
    put_table(clips.table, "filename\tevent_labels\n")
    with pytest.raises(SedgeError, match="at least one clip in the weak set"):
        read_set("weak", clips)
    put_table(clips.table, "filename\tevent_labels\n../a.wav\tDog\n")
    with pytest.raises(SedgeError, match=r"filename: expected a name inside .* found '\.\./a\.wav'"):
        read_set("weak", clips)
    with pytest.raises(SedgeError, match="at least one clip in the unlabelled set"):
        read_set("unlabelled", DesedSet.named(tmp_path, "train", "unlabelled"))


def test_onset_after_offset_is_refused(tmp_path: Path) -> None:
    clips = DesedSet.named(tmp_path, "train")
    put_table(clips.table, "filename\tonset\toffset\tevent_label\na.wav\t3.0\t2.0\tDog\n")
    with pytest.raises(SedgeError, match=r"row 2: expected an onset before the offset, found 3\.0 and 2\.0"):
        read_set("synthetic", clips)


def test_pitfall_overlapping_events_of_one_label_are_merged_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [
        Event(0.0, 2.0, "Dog"),
        Event(1.0, 1.5, "Dog"),
        Event(1.9, 3.0, "Dog"),
        Event(3.0, 4.0, "Dog"),
        Event(1.0, 5.0, "Cat"),
    ]
    whole = (Event(0.0, 3.0, "Dog"), Event(1.0, 5.0, "Cat"), Event(3.0, 4.0, "Dog"))
    assert tuple(merged(events)) == whole
    clips = DesedSet.named(tmp_path, "train")
    clips.table.parent.mkdir(parents=True)
    write_events(clips.table, {"a.wav": events, "b.wav": events[3:]})
    rows = read_set("synthetic", clips)
    assert rows.events == (whole, (Event(1.0, 5.0, "Cat"), Event(3.0, 4.0, "Dog")))
    assert "2 events overlap another one of their label" in capsys.readouterr().err


def test_merging_equals_a_mask_of_milliseconds() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        onsets = rng.integers(0, 9000, 6)
        events = [Event(on / 1000, (on + rng.integers(1, 2000)) / 1000, "Dog") for on in onsets]
        whole = merged(events)
        mask, expected = np.zeros(12_000, bool), np.zeros(12_000, bool)
        for into, spans in ((mask, whole), (expected, events)):
            for event in spans:
                into[round(event.onset * 1000) : round(event.offset * 1000)] = True
        assert np.array_equal(mask, expected)
        assert all(a.offset <= b.onset for a, b in itertools.pairwise(whole))


def test_pitfall_the_annotated_files_are_kept_of_a_longer_table_of_durations(
    desed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = find_sets(desed)["validation"]
    write_durations(clips.durations, {"x.wav": 10.0, "a.wav": 1.0, "y.wav": 9.0})
    assert annotated_durations(clips, ["a.wav"]) == {"a.wav": 1.0}
    assert "2 of 3 files are not in" in capsys.readouterr().err
    assert read_set("validation", clips).filenames == ("a.wav",)
    assert read_validation_set(desed).durations == {"a.wav": 1.0}
    write_durations(clips.durations, {"x.wav": 10.0})
    with pytest.raises(SedgeError, match=r"expected the 1 files of .* found 1 of them lacking: a\.wav"):
        read_set("validation", clips)
