"""An export as files: one, or one for each recording where the format holds no more."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_app.core.errors import SedgeError
from edge_app.formats.exchange import Export, split
from edge_app.formats.registry import EVENT_FORMATS, ONE_RECORDING, SUFFIXES, WRITERS


@dataclass(frozen=True)
class Written:
    """What an export has become."""

    files: tuple[Path, ...]
    n_events: int = 0
    n_left_out: int = 0
    """Events that the format cannot hold."""
    n_frames: int = 0
    """Frames of scores."""
    n_without: int = 0
    """Recordings that have no frame scores, where those were wanted."""


def write_export(path: Path, format_name: str, export: Export) -> Written:
    """Write an export; a format for one recording a file gets a file for each, named after it.

    Raises SedgeError as the format's writer does, and where frame scores are wanted and there are none.
    """
    if format_name not in EVENT_FORMATS:
        return _write_scores(path, format_name, export)
    parts = (split(export) if format_name in ONE_RECORDING else {}) or {"": export}
    files = _places(path, format_name, parts)
    left_out = sum(WRITERS[format_name](files[name], parts[name]) for name in files)
    return Written(tuple(files.values()), len(export.events) - left_out, left_out)


def _write_scores(path: Path, format_name: str, export: Export) -> Written:
    parts = {name: part for name, part in split(export).items() if part.scores}
    if not parts:
        raise SedgeError(f"{path}: expected frame scores, found that none were kept")
    files = _places(path, format_name, parts)
    for name, file in files.items():
        WRITERS[format_name](file, parts[name])
    n_frames = sum(scores.n_frames for scores in export.scores.values())
    return Written(tuple(files.values()), n_frames=n_frames, n_without=len(export.files) - len(files))


def _places(path: Path, format_name: str, parts: Mapping[str, Export]) -> dict[str, Path]:
    """Where each part goes. Raises SedgeError, before anything is written, where two would have one name."""
    if len(parts) <= 1:
        return dict.fromkeys(parts, path)
    suffix = SUFFIXES[format_name]
    before = path.name.removesuffix(suffix)
    files: dict[str, Path] = {}
    for name in parts:
        safe = "".join(char if char.isalnum() or char in "-_." else "_" for char in name)
        one = path.with_name(f"{before}.{safe}{suffix}")
        if one in files.values():
            raise SedgeError(f"{one}: expected a name of its own for each recording, found {name!r} as well")
        files[name] = one
    return files
