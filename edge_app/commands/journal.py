"""What `sedge listen --store` keeps of a run: a session with its events, gaps, clock anchors and scores."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from edge_app import __version__
from edge_app.core.detect import Detector
from edge_app.core.hops import ScoredHop
from edge_app.store.database import Store
from edge_app.store.records import SessionFacts
from edge_app.store.writer import StoreWriter
from edge_app.stream.engine import Engine
from edge_app.stream.messages import News
from edge_app.stream.microphone import MicrophoneSource
from edge_app.stream.sources import Source


class Journal:
    """One session on its way to the store at `path`, which is made where it is not there.

    Raises StoreError where it cannot be opened; of later problems `notify` is told, and listening goes on.
    """

    def __init__(
        self,
        path: Path,
        source: Source,
        detector: Detector,
        notify: Callable[[str], None],
        with_scores: bool = True,
    ) -> None:
        Store(path).close()  # the writer opens it in a thread of its own, where nobody could be told
        self._writer = StoreWriter(path)
        self._notify = notify
        self._problem: str | None = None
        self._event_labels = detector.event_labels
        self._with_scores = with_scores
        self._engine: Engine | None = None
        self._writer.begin(session_facts(source, detector))

    def follow(self, engine: Engine) -> None:
        """Take the clock of an engine whose source is heard as it sounds; a recording's samples have no time of day."""
        self._engine = engine

    def on_hop(self, first_frame: int, hop: ScoredHop) -> None:
        """Keep the scores of a step, in the inference thread, and what time it is."""
        if self._with_scores:
            self._writer.scores(first_frame, self._event_labels, hop.scores)
        if self._engine is not None:
            sample, heard_s = self._engine.heard
            mono_ns = round(heard_s * 1e9)
            self._writer.anchor(sample, mono_ns, time.time_ns() - (time.monotonic_ns() - mono_ns))

    def take(self, news: News) -> None:
        """Keep news; a new problem with the disk is told once."""
        self._writer.take(news)
        former, self._problem = self._problem, self._writer.problem
        if self._problem and not former:
            self._notify(f"{self._problem}; it is tried again")

    def close(self) -> str:
        """End the session; gives a sentence about where it is, or about what could not be written."""
        problem = self._writer.close()
        if problem:
            return problem
        return f"{self._writer.path}: keeps this as session {self._writer.session}"


def session_facts(source: Source, detector: Detector) -> SessionFacts:
    """What is known of a session that begins now."""
    manifest = detector.bundle.manifest
    decoding = {label: manifest.decoding[label].model_dump() for label in detector.event_labels}
    return SessionFacts(
        started_at=datetime.now(UTC),
        source=source.name,
        device=source.name if isinstance(source, MicrophoneSource) else "",
        sample_rate=manifest.log_mel.sample_rate,
        model_sha256=manifest.graph.sha256,
        model_name=manifest.name,
        runtime=detector.runtime_text,
        app_version=__version__,
        settings_json=json.dumps({"decoding": decoding, "hop_frames": detector.hop_frames}),
    )
