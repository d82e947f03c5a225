"""The tables of events that `sedge score` writes, in every format asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from edge_app.core.detect import Detector, FileDetection
from edge_app.core.errors import SedgeError
from edge_app.formats.desed_tsv import write_durations, write_events
from edge_app.formats.exchange import Export, split
from edge_app.formats.registry import SUFFIXES, WRITERS
from edge_app.scoring.build_export import build_export
from edge_app.scoring.recordings import Found, score_names

LABELS_FOLDER = "labels"


@dataclass
class Written:
    """What is to be told after writing, one line each."""

    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """Tables that could not be written, and why."""


def write_tables(
    out: Path,
    formats: Sequence[str],
    detector: Detector,
    found: Found,
    detections: Mapping[str, FileDetection],
) -> Written:
    """Write durations.tsv and a table for each format; one that cannot be written costs none of the others."""
    export = build_export(detector, found.recordings, detections)
    written = Written()
    _try(written, partial(write_durations, out / "durations.tsv", export.durations))
    for name in dict.fromkeys(formats):
        if name == "desed":  # its durations have a name of their own here
            by_file = {filename: detection.events for filename, detection in detections.items()}
            _try(written, partial(write_events, out / "events.tsv", by_file))
        elif name == "audacity":
            for path, one in _tracks(out / LABELS_FOLDER, export):
                _try(written, partial(_write_track, path, one))
        else:
            content = export if name == "json" else replace(export, about={})  # summary.json lies beside
            left_out = _try(written, partial(WRITERS[name], out / f"events{SUFFIXES[name]}", content))
            if left_out:
                written.notes.append(f"{name}: {left_out} events left out, which it cannot hold")
    return written


def _try(written: Written, write: Callable[[], int | None]) -> int:
    """How many events a writer left out; its failure is noted."""
    try:
        return write() or 0
    except SedgeError as error:
        written.errors.append(str(error))
        return 0


def _tracks(folder: Path, export: Export) -> Iterable[tuple[Path, Export]]:
    """Each recording's own export, and where its label track goes."""
    names = score_names(export.files)
    for filename, one in split(export).items():
        stem = names[filename].removesuffix(".tsv")
        yield folder / f"{stem}{SUFFIXES['audacity']}", replace(one, about={})


def _write_track(path: Path, export: Export) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SedgeError(f"{path.parent}: expected a folder, found: {error.strerror}") from error
    return WRITERS["audacity"](path, export)
