"""Which recordings arguments stand for, and what they are called."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.errors import EXIT_USAGE, SedgeError
from edge_app.scoring.recordings import collect, score_names


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_files_and_folders_are_named_by_the_argument_they_came_from(tmp_path) -> None:
    folder, single = tmp_path / "folder", touch(tmp_path / "elsewhere" / "one.dat")
    for name in ("b/2.FLAC", "b/1.wav", "a.mp3", "c.txt", ".hidden.wav", ".trash/d.wav"):
        touch(folder / name)
    found = collect([single, folder])
    assert list(found.recordings) == ["one.dat", "a.mp3", "b/1.wav", "b/2.FLAC"]
    assert found.recordings["b/1.wav"] == folder / "b" / "1.wav"
    assert found.failures == {}


def test_two_recordings_of_one_name_are_refused_with_both(tmp_path) -> None:
    first, second = touch(tmp_path / "1" / "a.wav"), touch(tmp_path / "2" / "a.wav")
    with pytest.raises(SedgeError) as caught:
        collect([first, second])
    assert caught.value.exit_code == EXIT_USAGE
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)
    assert list(collect([tmp_path]).recordings) == ["1/a.wav", "2/a.wav"]


def test_a_folder_without_recordings_is_refused(tmp_path) -> None:
    touch(tmp_path / "notes" / "a.txt")
    touch(tmp_path / "sounds" / "a.wav")
    with pytest.raises(SedgeError, match="notes: expected recordings"):
        collect([tmp_path / "sounds", tmp_path / "notes"])


def test_links_are_followed_but_not_in_circles(tmp_path) -> None:
    touch(tmp_path / "folder" / "a.wav")
    touch(tmp_path / "other" / "b.wav")
    (tmp_path / "folder" / "other").symlink_to(tmp_path / "other")
    (tmp_path / "folder" / "circle").symlink_to(tmp_path / "folder")
    (tmp_path / "other" / "circle").symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "gone.wav").symlink_to(tmp_path / "nothing.wav")
    found = collect([tmp_path / "folder"])
    assert {"a.wav", "gone.wav", "other/b.wav"} <= set(found.recordings)
    assert max(len(Path(name).parts) for name in found.recordings) <= 4


def test_a_folder_that_cannot_be_read_is_a_failure_beside_the_others(tmp_path, monkeypatch) -> None:
    touch(tmp_path / "open" / "a.wav")
    closed = touch(tmp_path / "closed" / "b.wav").parent
    scandir = os.scandir

    def refuse(path):  # root may read everything, so permissions alone do not show it
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = collect([tmp_path])
    assert list(found.recordings) == ["open/a.wav"]
    assert found.failures == {
        "closed": f"{closed}: expected a folder that can be read, found: Permission denied"
    }
    assert list(collect([closed]).failures) == [str(closed)]


def test_a_recording_in_a_folder_that_cannot_be_read_is_left_to_the_reader(monkeypatch) -> None:
    def refuse(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    assert list(collect([Path("/private/a.wav")]).recordings) == ["a.wav"]


@pytest.mark.parametrize(
    ("filenames", "names"),
    [
        (["a.wav", "b.flac"], ["a.tsv", "b.tsv"]),
        (["a.wav", "a.flac", "b.wav"], ["a.wav.tsv", "a.flac.tsv", "b.tsv"]),
        (["a.wav", "sub/a.flac"], ["a.tsv", "sub/a.tsv"]),
        (["a.wav", "a.flac", "a.wav.mp3"], ["a.wav.tsv", "a.flac.tsv", "a.wav.mp3.tsv"]),
        (["noon", "noon.wav", "v1.2.wav"], ["noon.tsv", "noon.wav.tsv", "v1.2.tsv"]),
    ],
)
def test_tables_are_named_without_the_suffix_where_that_is_enough(filenames, names) -> None:
    assert list(score_names(filenames).values()) == names


@given(st.lists(st.from_regex(r"([ab]/)?[ab](\.[ab]){0,3}", fullmatch=True), unique=True, max_size=12))
def test_no_two_tables_have_one_name(filenames) -> None:
    names = score_names(filenames)
    assert list(names) == filenames
    assert len(set(names.values())) == len(filenames)
