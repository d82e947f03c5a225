"""Recordings that arguments stand for: files, folders searched for them, patterns, and lists."""

import os
import posixpath
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.core.errors import SedgeError
from edge_app.scoring.manifest import read_manifest
from edge_app.scoring.search import SUFFIXES, is_pattern, search, split_pattern

__all__ = ["SUFFIXES", "Found", "RecordingPaths", "collect", "score_names"]

_KINDS = "WAV, FLAC, OGG, MP3, M4A, videos and the like"


class RecordingPaths(Mapping[str, Path]):
    """Paths by filename, each made when it is asked for: a million of them cost little more than their names."""

    def __init__(self) -> None:
        self._folders: dict[str, Path] = {}

    def __getitem__(self, filename: str) -> Path:
        return self._folders[filename] / filename

    def __contains__(self, filename: object) -> bool:
        return filename in self._folders

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)

    def add(self, folder: Path, filename: str) -> None:
        """Add a file of a folder. Raises SedgeError where another has its filename."""
        if filename in self._folders:
            raise SedgeError(
                f"{filename!r}: expected a name of its own for each recording, "
                f"found {self[filename]} and {folder / filename}: score them apart, or give a folder above both"
            )
        self._folders[filename] = folder


@dataclass
class Found:
    """What arguments stand for."""

    recordings: Mapping[str, Path] = field(default_factory=dict)
    """By filename: the path relative to the folder given, to the part of a pattern before its first wildcard or
    to the folder of a list, with `/`; the base name of a file argument."""
    failures: dict[str, str] = field(default_factory=dict)
    """Folders that cannot be read, and files of lists that are not there: what was wrong, by name."""


def collect(paths: Iterable[Path], manifests: Iterable[Path] = ()) -> Found:
    """The recordings in files, folders, patterns and lists, in the order of the arguments.

    Those of a folder or a pattern are sorted. Hidden files and folders are left out. Raises SedgeError where two
    recordings have one filename, and where a folder, a pattern or a list has none. A file that does not exist is
    found too: opening it says so.
    """
    recordings, failures = RecordingPaths(), dict[str, str]()
    for path in paths:
        if _is_folder(path):
            before = len(recordings) + len(failures)
            for filename in sorted(search(path, failures)):
                recordings.add(path, filename)
            if len(recordings) + len(failures) == before:
                raise SedgeError(f"{path}: expected recordings ({_KINDS}), found none")
        elif is_pattern(path) and not os.path.lexists(path):
            _add_matching(path, recordings, failures)
        else:
            recordings.add(path.parent, path.name)
    for manifest in manifests:
        _add_listed(manifest, recordings, failures)
    return Found(recordings, failures)


def score_names(filenames: Iterable[str], suffix: str = ".tsv") -> dict[str, str]:
    """Name of the frame scores of each file: without its suffix, kept where two would have one name."""
    names = {filename: posixpath.splitext(filename)[0] for filename in filenames}
    while shared := {name for name, count in Counter(map(str.casefold, names.values())).items() if count > 1}:
        kept = {filename: filename if name.casefold() in shared else name for filename, name in names.items()}
        if kept == names:  # two files whose names differ in case alone, on a system that tells them apart
            break
        names = kept
    return {filename: f"{name}{suffix}" for filename, name in names.items()}


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that cannot be read: opening it as a recording says so
        return False


def _add_matching(pattern: Path, recordings: RecordingPaths, failures: dict[str, str]) -> None:
    folder, parts = split_pattern(pattern)
    if not _is_folder(folder):
        raise SedgeError(f"{pattern}: expected a folder {folder} to search, found none")
    before = len(recordings) + len(failures)
    for filename in sorted(search(folder, failures, parts)):
        recordings.add(folder, filename)
    if len(recordings) + len(failures) == before:
        raise SedgeError(f"{pattern}: expected recordings ({_KINDS}), found none that match")


def _add_listed(path: Path, recordings: RecordingPaths, failures: dict[str, str]) -> None:
    manifest, before = read_manifest(path), len(recordings)
    for filename, line in manifest.lines.items():
        place = f"{manifest.folder}/{filename}"
        if missing := _missing(place):
            failures[filename] = f"{path}, line {line}: expected a recording, found {missing}: {place}"
        else:
            recordings.add(manifest.folder, filename)
    if len(recordings) == before:
        raise SedgeError(next(iter(failures[filename] for filename in manifest.lines)))


def _missing(path: str) -> str:
    """Why a path is no file that could be opened; empty where it may be one."""
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except (OSError, ValueError):  # opening it says what is wrong
        return ""
    return "a folder" if is_folder else ""
