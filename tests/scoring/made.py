"""What a run has found, made up: facts of the built-in model and results without any sound."""

from collections.abc import Sequence
from pathlib import Path

from edge_app.core.bundle import load_bundle
from edge_app.core.events import Event
from edge_app.core.runtimes import PassedOver
from edge_app.scoring.facts import DetectorFacts
from edge_app.scoring.journal_tables import Result


def made_facts() -> DetectorFacts:
    manifest = load_bundle().manifest
    return DetectorFacts(
        bundle_name=manifest.name,
        graph_sha256=manifest.graph.sha256,
        event_labels=manifest.event_labels,
        decoding=manifest.decoding,
        sample_rate=manifest.log_mel.sample_rate,
        runtime="some runtime",
        passed_over=(PassedOver("cuda", "no GPU"),),
        context="clip",
        hop_frames=None,
    )


def made_result(
    filename: str, spans: Sequence[tuple[float, float, str]] = (), length: float = 60.0
) -> Result:
    events = tuple(Event(onset, offset, label, 0.5) for onset, offset, label in spans)
    return Result(filename, Path("/recordings") / filename, length, events)
