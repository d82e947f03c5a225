"""What was found in recordings as an export, for every format."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from edge_app.core.detect import Detector, FileDetection
from edge_app.formats.exchange import Export, ExportEvent, ExportScores
from edge_app.scoring.facts import DetectorFacts
from edge_app.scoring.journal_tables import Result


def build_export(
    detector: Detector,
    recordings: Mapping[str, Path],
    detections: Mapping[str, FileDetection],
    scores: Mapping[str, ExportScores] | None = None,
) -> Export:
    """An export of detections by filename; `recordings` says where each recording lies."""
    results = [
        Result(filename, recordings[filename], detection.duration_s, tuple(detection.events))
        for filename, detection in detections.items()
    ]
    kept = {filename: scores_of for filename, scores_of in (scores or {}).items() if filename in detections}
    return replace(export_of(results, DetectorFacts.of(detector)), scores=kept)


def export_of(results: Iterable[Result], facts: DetectorFacts) -> Export:
    """An export of results, with what they were found with."""
    results = list(results)
    return Export(
        [event for result in results for event in _events(result, facts)],
        durations={result.filename: result.duration_s for result in results},
        about=facts.about(),
        recordings={result.filename: str(result.path.absolute()) for result in results},
    )


def _events(result: Result, facts: DetectorFacts) -> Iterator[ExportEvent]:
    for event in result.events:
        decoding = facts.decoding[event.event_label]
        yield ExportEvent(
            source=str(result.path),
            file=result.filename,
            onset=event.onset,
            offset=event.offset,
            event_label=event.event_label,
            score=event.score,
            model=facts.bundle_name,
            threshold_on=decoding.threshold_on,
            threshold_off=decoding.off,
        )
