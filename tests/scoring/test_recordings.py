"""Which recordings arguments stand for, and what they are called."""

import glob
import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.errors import EXIT_USAGE, SedgeError
from edge_app.core.media import SUFFIXES as MEDIA_SUFFIXES
from edge_app.scoring.recordings import SUFFIXES, RecordingPaths, collect, score_names


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


NAMES = (
    "a.wav",
    "b.mp4",
    "c.dat",
    "2024/a.wav",
    "2024/x/b.flac",
    "2025/x/b.FLAC",
    "2025/x/.h.wav",
    ".old/a.wav",
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "rec [1]"  # a folder that is there is no pattern
    for name in NAMES:
        touch(folder / name)
    return folder


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.wav", ["a.wav"]),
        ("*.dat", ["c.dat"]),
        ("[ab].*", ["a.wav", "b.mp4"]),
        ("**/*.flac", ["2024/x/b.flac"]),
        ("**/*", ["2024/a.wav", "2024/x/b.flac", "2025/x/b.FLAC", "a.wav", "b.mp4"]),
        ("**", ["2024/a.wav", "2024/x/b.flac", "2025/x/b.FLAC", "a.wav", "b.mp4"]),
        ("202?", ["2024/a.wav", "2024/x/b.flac", "2025/x/b.FLAC"]),
        ("*/x/*", ["2024/x/b.flac", "2025/x/b.FLAC"]),
        ("**/x/**/b.*", ["2024/x/b.flac", "2025/x/b.FLAC"]),
        (".o*/*", [".old/a.wav"]),
        ("2025/x/.*", ["2025/x/.h.wav"]),
    ],
)
def test_a_pattern_stands_for_what_matches(tmp_path, pattern, names) -> None:
    for name in NAMES:
        touch(tmp_path / name)
    found = collect([tmp_path / pattern])
    assert [path.relative_to(tmp_path).as_posix() for path in found.recordings.values()] == names
    assert all(path.is_file() for path in found.recordings.values())


def test_matches_are_named_below_the_part_before_the_first_wildcard(tmp_path) -> None:
    touch(tmp_path / "rec" / "2024" / "x" / "a.wav")
    assert list(collect([tmp_path / "rec" / "2024" / "*" / "*.wav"]).recordings) == ["x/a.wav"]
    assert list(collect([tmp_path / "rec" / "20*"]).recordings) == ["2024/x/a.wav"]


@given(st.lists(st.sampled_from(["**", "*", "2024", "202?", "x", "*.wav", "b*"]), min_size=1, max_size=4))
def test_patterns_match_what_the_standard_library_matches(archive, parts) -> None:
    parts = [*parts, "*.[wf]*"]  # its own matcher takes folders too, and a last ** otherwise
    expected = {
        PurePosixPath(name).as_posix()
        for name in glob.glob("/".join(parts), root_dir=archive, recursive=True)  # noqa: PTH207
        if (archive / name).is_file()
    }
    escaped = Path(glob.escape(str(archive)))
    try:
        found = {
            str(path.relative_to(archive))
            for path in collect([escaped / "/".join(parts)]).recordings.values()
        }
    except SedgeError:
        found = set()
    assert found == expected


def test_a_pattern_without_a_match_or_a_folder_is_refused(tmp_path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(SedgeError, match=r"\*: expected recordings .*, found none that match"):
        collect([tmp_path / "*"])
    with pytest.raises(SedgeError, match=r"expected a folder .*nowhere to search"):
        collect([tmp_path / "nowhere" / "*.wav"])


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path) -> None:
    path = touch(tmp_path / "[日本]*.wav")
    touch(tmp_path / "日.wav")
    assert dict(collect([path]).recordings) == {path.name: path}


def write_list(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "# two\n\nb/2.flac\n  a b.wav  \n"),
        ("list.txt", "\ufeffb/../b/2.flac\r\n./a b.wav"),
        ("list.tsv", "onset\tfilename\n0.1\tb/2.flac\n0.5\tb/2.flac\n1.0\ta b.wav\n"),
        ("list.csv", '# made by hand\nPath,site\n"b/2.flac",north\na b.wav,"a, b"\n'),
        ("list", "filename\nb/2.flac\na b.wav\n"),
    ],
)
def test_a_list_names_recordings_relative_to_its_folder(tmp_path, name, text) -> None:
    first, second = touch(tmp_path / "b" / "2.flac"), touch(tmp_path / "a b.wav")
    found = collect([], [write_list(tmp_path / name, text)])
    assert list(found.recordings.items()) == [("b/2.flac", first), ("a b.wav", second)]
    assert found.failures == {}


def test_recordings_elsewhere_are_named_below_the_folder_above_all(tmp_path) -> None:
    first, second = touch(tmp_path / "1" / "a.wav"), touch(tmp_path / "2" / "a.wav")
    listed = write_list(tmp_path / "lists" / "list.txt", f"{first}\n../2/a.wav\n")
    found = collect([], [listed])
    assert list(found.recordings) == ["1/a.wav", "2/a.wav"]
    for path, other in zip(found.recordings.values(), (first, second), strict=True):
        assert path.samefile(other)


def test_what_a_list_names_and_is_not_there_is_a_failure_with_its_line(tmp_path) -> None:
    touch(tmp_path / "a.wav")
    touch(tmp_path / "folder" / "b.txt")
    listed = write_list(tmp_path / "list.txt", "# head\na.wav\ngone.wav\nfolder\nhttp://host/c.wav\n")
    found = collect([], [listed])
    assert list(found.recordings) == ["a.wav"]
    assert list(found.failures) == ["gone.wav", "folder", "http:/host/c.wav"]
    assert found.failures["gone.wav"].startswith(
        f"{listed}, line 3: expected a recording, found no such file"
    )
    assert "line 4: expected a recording, found a folder" in found.failures["folder"]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        (
            "list.txt",
            "a.wav\nb.wav\n./a.wav\n",
            r"line 3: expected each recording once, found ./a.wav as in line 1",
        ),
        ("list.txt", "# nothing\n\n", "one a line, found none"),
        ("list.txt", "gone.wav\n", "line 1: expected a recording, found no such file"),
        ("list.csv", "site,name\n1,a.wav\n", "a column filename or path, found site, name"),
        ("list.tsv", "onset\tfilename\n0.5\n", "line 2: expected a filename, found none"),
        ("list.txt", "RIFF\0\0\0", "found no text"),
        ("folder/list.txt/x", "", "expected a list that can be read"),
    ],
)
def test_a_list_that_is_wrong_is_refused(tmp_path, name, text, found) -> None:
    touch(tmp_path / "a.wav")
    path = write_list(tmp_path / name, text)
    with pytest.raises(SedgeError, match=found) as caught:
        collect([], [path if path.suffix else path.parent])
    assert caught.value.exit_code == EXIT_USAGE


def test_folders_are_searched_for_media_too() -> None:
    assert set(MEDIA_SUFFIXES) < set(SUFFIXES)
    assert len(set(SUFFIXES)) == len(SUFFIXES)


def test_paths_are_made_when_they_are_asked_for() -> None:
    paths = RecordingPaths()
    paths.add(Path("rec"), "b/1.wav")
    assert dict(paths) == {"b/1.wav": Path("rec/b/1.wav")}
    assert "b/1.wav" in paths
    assert "1.wav" not in paths
    with pytest.raises(SedgeError, match="a name of its own"):
        paths.add(Path("other"), "b/1.wav")


def test_scores_may_have_another_suffix() -> None:
    assert score_names(["a.wav", "b/c.flac"], ".npz") == {"a.wav": "a.npz", "b/c.flac": "b/c.npz"}
    assert set(score_names(["A.wav", "a.flac"]).values()) == {"A.wav.tsv", "a.flac.tsv"}
