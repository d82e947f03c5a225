"""Files are whole or not there, and what went wrong is told, whatever goes wrong besides."""

import os
import sys
from pathlib import Path

import pytest

from edge_app.core.errors import SedgeError
from edge_app.formats.whole_file import whole_file, write_whole


def test_a_failure_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "before")
    with pytest.raises(TypeError), whole_file(path) as handle:
        handle.writelines([b"half", "and no bytes"])  # type: ignore[list-item]
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes and links")
def test_a_pipe_is_not_taken_away_and_a_link_stays_one(tmp_path: Path) -> None:
    pipe, target, link = tmp_path / "pipe", tmp_path / "target.txt", tmp_path / "link.txt"
    os.mkfifo(pipe)
    with pytest.raises(SedgeError, match="pipe: expected a file, found a device or a pipe"):
        write_whole(pipe, "lost")
    assert pipe.is_fifo()
    target.write_text("before")
    link.symlink_to(target)
    write_whole(link, "after")
    assert link.is_symlink()
    assert target.read_text() == "after"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.txt", "pipe", "target.txt"]


def test_two_of_one_process_may_write_files_with_names_alike(tmp_path: Path) -> None:
    names = [f"{'a' * 45}{number}.txt" for number in range(2)]
    with whole_file(tmp_path / names[0]) as first, whole_file(tmp_path / names[1]) as second:
        first.write(b"first")
        second.write(b"second")
    assert [(tmp_path / name).read_text() for name in names] == ["first", "second"]


def test_half_of_a_pair_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(SedgeError, match=r"a\.txt: expected text in Unicode, found '\\ud800'"):
        write_whole(tmp_path / "a.txt", "odd \ud800 name")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_cleared_away_hides_no_other_failure(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a.txt"):
        raise ZeroDivisionError
    with (
        pytest.raises(SedgeError, match=r"none.a\.txt: cannot be written"),
        whole_file(tmp_path / "none/a.txt"),
    ):
        pass
    write_whole(tmp_path / "b.txt", "whole all the same")
    assert (tmp_path / "b.txt").read_text() == "whole all the same"
