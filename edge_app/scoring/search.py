"""Recordings below a folder: all of them, or those whose path matches a pattern."""

import fnmatch
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

from edge_app.core.media import SUFFIXES as MEDIA_SUFFIXES

SUFFIXES = (
    *(".wav", ".wave", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2"),
    *(".aif", ".aifc", ".aiff", ".au", ".caf", ".snd"),
    *MEDIA_SUFFIXES,
)
"""Files that a folder is searched for; a file given by name is taken whatever its suffix."""

_Rests = frozenset[tuple[str, ...]]
_WILD = re.compile(r"[*?\[]")
_ALL = ("**", "*")


def is_pattern(path: Path) -> bool:
    """Whether a path has wildcards."""
    return _WILD.search(str(path)) is not None


def split_pattern(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder before the first wildcard, and the parts from there on."""
    first = next(index for index, part in enumerate(path.parts) if _WILD.search(part))
    return Path(*path.parts[:first]), path.parts[first:]


def search(folder: Path, failures: dict[str, str], pattern: tuple[str, ...] = _ALL) -> Iterator[str]:
    """Paths of recordings below a folder, relative to it with `/`, in no order.

    `**` stands for any number of folders; a folder that matches is searched whole. Files are taken that have a
    suffix of recordings, or that of the pattern. Hidden ones are left out. Links are followed, but not in
    circles. Folders that cannot be read go to `failures` with what was wrong.
    """
    asked = PurePosixPath(pattern[-1]).suffix
    suffixes = frozenset(SUFFIXES if _WILD.search(asked) else (*SUFFIXES, asked.lower()))
    waiting = [(str(folder), "", _closed(frozenset([pattern])), frozenset[tuple[int, int]]())]
    while waiting:
        place, prefix, rests, above = waiting.pop()
        try:
            status = os.stat(place)  # noqa: PTH116
            here = (status.st_dev, status.st_ino)
            if here in above:
                continue  # a link back to where it came from would be followed for ever
            with os.scandir(place) as entries:
                for entry in entries:
                    is_match, below = _step(rests, entry.name)
                    if below and _is_folder(entry):
                        waiting.append((entry.path, f"{prefix}{entry.name}/", below, above | {here}))
                    elif is_match and os.path.splitext(entry.name)[1].lower() in suffixes:  # noqa: PTH122
                        yield prefix + entry.name
        except OSError as error:
            name = place if not prefix or prefix[:-1] in failures else prefix[:-1]
            failures[name] = f"{place}: expected a folder that can be read, found: {error.strerror}"


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in circles: opening it as a recording says so
        return False


def _closed(rests: _Rests) -> _Rests:
    """With what is left where `**` stands for no folder."""
    more = {rest[1:] or ("*",) for rest in rests if rest[0] == "**"}
    return rests if more <= rests else _closed(rests | more)


@lru_cache(maxsize=4096)
def _step_by_parts(rests: _Rests, matching: frozenset[str], hidden: bool) -> tuple[bool, _Rests]:
    """As `_step`, of a name that matches just these parts."""
    is_match, below = False, set[tuple[str, ...]]()
    for rest in rests:
        if rest[0] == "**":
            below |= set() if hidden else {rest}
        elif rest[0] in matching:
            is_match |= len(rest) == 1
            below.add(rest[1:] or _ALL)
    return is_match, _closed(frozenset(below))


def _step(rests: _Rests, name: str) -> tuple[bool, _Rests]:
    """Whether a file of that name matches, and what its contents must match where it is a folder."""
    hidden = name.startswith(".")
    parts = {rest[0] for rest in rests} - {"**"}
    return _step_by_parts(rests, frozenset(part for part in parts if _matches(part, name, hidden)), hidden)


def _matches(part: str, name: str, hidden: bool) -> bool:
    if hidden and not part.startswith("."):
        return False
    return part == "*" or _expression(part).match(name) is not None


@lru_cache
def _expression(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part), re.IGNORECASE if os.name == "nt" else 0)
