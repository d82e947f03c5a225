"""The tables of events that `sedge score` writes, in every format asked for."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import edge_app
from edge_app.commands.recordings import Found, score_names
from edge_app.core.detect import Detector, FileDetection
from edge_app.core.errors import SedgeError
from edge_app.formats.desed_tsv import write_durations, write_events
from edge_app.formats.exchange import Export, ExportEvent, split
from edge_app.formats.registry import SUFFIXES, WRITERS

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
    export = _export(detector, found, detections)
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
            content = _with_paths(export, found) if name == "raven" else export
            content = content if name == "json" else replace(content, about={})  # summary.json lies beside
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


def _export(detector: Detector, found: Found, detections: Mapping[str, FileDetection]) -> Export:
    events = [
        event
        for filename, detection in detections.items()
        for event in _events(detector, filename, found.recordings[filename], detection)
    ]
    durations = {filename: detection.duration_s for filename, detection in detections.items()}
    return Export(events, (), durations, _about(detector))


def _events(detector: Detector, filename: str, path: Path, detection: FileDetection) -> Iterator[ExportEvent]:
    manifest = detector.bundle.manifest
    for event in detection.events:
        decoding = manifest.decoding[event.event_label]
        yield ExportEvent(
            source=str(path),
            file=filename,
            onset=event.onset,
            offset=event.offset,
            event_label=event.event_label,
            score=event.score,
            model=manifest.name,
            threshold_on=decoding.threshold_on,
            threshold_off=decoding.off,
        )


def _about(detector: Detector) -> dict[str, Any]:
    manifest = detector.bundle.manifest
    return {
        "app": f"sedge {edge_app.__version__}",
        "model": {"name": manifest.name, "graph_sha256": manifest.graph.sha256},
        "settings": {
            "runtime": detector.runtime.name,
            "context": detector.context,
            "hop_frames": detector.hop_frames if detector.context == "live" else None,
            "decoding": {label: rules.model_dump() for label, rules in manifest.decoding.items()},
        },
        "source": "files",
        "sample_rate": manifest.log_mel.sample_rate,
    }


def _with_paths(export: Export, found: Found) -> Export:
    """The export with whole paths for names, by which another program finds the recordings."""
    paths = {filename: str(path.absolute()) for filename, path in found.recordings.items()}
    return replace(
        export,
        events=[replace(event, file=paths[event.file]) for event in export.events],
        durations={paths[filename]: duration for filename, duration in export.durations.items()},
    )


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
