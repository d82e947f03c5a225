"""What `summary.json` says of a run."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import edge_app
from edge_app.scoring.facts import DetectorFacts
from edge_app.scoring.journal_tables import Failure
from edge_app.scoring.task import ScoreKind

SUMMARY_SCHEMA_VERSION = 1


def summary(
    facts: DetectorFacts,
    n_done: int,
    failures: Iterable[Failure],
    audio_s: float,
    wall_s: float,
    frame_scores: ScoreKind | None = None,
) -> dict[str, Any]:
    """The summary of a run, as JSON holds it.

    `audio_s` are the seconds of sound in recordings that are done, `wall_s` the seconds that this took.
    """
    listed = [{"filename": failure.filename, "error": failure.error} for failure in failures]
    return {
        "schema_version": SUMMARY_SCHEMA_VERSION,
        "sedge_version": edge_app.__version__,
        "bundle": {"name": facts.bundle_name, "graph_sha256": facts.graph_sha256},
        "runtime": facts.runtime,
        "runtimes_passed_over": [dataclasses.asdict(other) for other in facts.passed_over],
        "settings": {
            "context": facts.context,
            "hop_frames": facts.hop_frames,
            "decoding_overrides": {},
            "frame_scores": frame_scores,
        },
        "files": {"done": n_done, "failed": len(listed)},
        "failures": listed,
        "audio_s": round(audio_s, 3),
        "wall_s": round(wall_s, 3),
        "real_time_factor": round(wall_s / audio_s, 6) if audio_s else None,
    }
