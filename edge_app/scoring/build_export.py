"""What was found in recordings as an export, for every format."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import edge_app
from edge_app.core.detect import Detector, FileDetection
from edge_app.formats.exchange import Export, ExportEvent, ExportScores


def build_export(
    detector: Detector,
    recordings: Mapping[str, Path],
    detections: Mapping[str, FileDetection],
    scores: Mapping[str, ExportScores] | None = None,
) -> Export:
    """An export of detections by filename; `recordings` says where each recording lies."""
    events = [
        event
        for filename, detection in detections.items()
        for event in _events(detector, filename, recordings[filename], detection)
    ]
    return Export(
        events,
        durations={filename: detection.duration_s for filename, detection in detections.items()},
        about=_about(detector),
        recordings={filename: str(recordings[filename].absolute()) for filename in detections},
        scores={filename: kept for filename, kept in (scores or {}).items() if filename in detections},
    )


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
