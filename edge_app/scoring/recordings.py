"""Recordings that arguments stand for: files, and folders searched for them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edge_app.core.errors import SedgeError

SUFFIXES = (
    *(".wav", ".wave", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aifc", ".aiff", ".au", ".caf", ".snd"),
)
"""Files that a folder is searched for; a file given by name is taken whatever its suffix."""


@dataclass
class Found:
    """What arguments stand for."""

    recordings: dict[str, Path] = field(default_factory=dict)
    """By filename: the path relative to the argument with `/`, or the base name of a file argument."""
    failures: dict[str, str] = field(default_factory=dict)
    """Folders that cannot be read: what was wrong, by name."""


def collect(paths: Iterable[Path]) -> Found:
    """The recordings in files and folders, in the order of the arguments, sorted within a folder.

    Hidden files and folders are left out. Raises SedgeError where two recordings have one filename, and
    where a folder has none. A file that does not exist is found too: opening it says so.
    """
    found = Found()
    for path in paths:
        if not _is_folder(path):
            _add(found, path.name, path)
            continue
        before = len(found.recordings) + len(found.failures)
        for filename, recording in sorted(_search(path, found)):
            _add(found, filename, recording)
        if len(found.recordings) + len(found.failures) == before:
            raise SedgeError(f"{path}: expected recordings ({' '.join(SUFFIXES)}), found none")
    return found


def score_names(filenames: list[str]) -> dict[str, str]:
    """Name of the frame-score table of each file: without the suffix, kept where two would have one name."""
    names = {filename: _stem(filename) for filename in filenames}
    while shared := {name for name, count in Counter(names.values()).items() if count > 1}:
        names = {filename: filename if name in shared else name for filename, name in names.items()}
    return {filename: f"{name}.tsv" for filename, name in names.items()}


def _stem(filename: str) -> str:
    suffix = PurePosixPath(filename).suffix
    return filename[: len(filename) - len(suffix)]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that cannot be read: opening it as a recording says so
        return False


def _add(found: Found, filename: str, path: Path) -> None:
    if filename in found.recordings:
        raise SedgeError(
            f"{filename!r}: expected a name of its own for each recording, "
            f"found {found.recordings[filename]} and {path}: score them apart, or give a folder above both"
        )
    found.recordings[filename] = path


def _search(folder: Path, found: Found, above: tuple[Path, ...] = ()) -> Iterator[tuple[str, Path]]:
    """Filename and path of each recording below a folder; folders that cannot be read go to the failures.

    `above` is the way from the folder searched first, that one included.
    """
    top = (*above, folder)[0]
    real = os.path.realpath(folder)
    if real in map(os.path.realpath, above):
        return  # a link back to where it came from would be followed for ever
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        name = folder.relative_to(top).as_posix()
        name = str(folder) if name == "." or name in found.failures else name
        found.failures[name] = f"{folder}: expected a folder that can be read, found: {error.strerror}"
        return
    for path in (folder / name for name in names):
        if _is_folder(path):
            yield from _search(path, found, (*above, folder))
        elif path.suffix.lower() in SUFFIXES:
            yield path.relative_to(top).as_posix(), path
