"""A live run that is written to the history while it goes on."""

import json
from datetime import UTC, datetime
from pathlib import Path

from edge_app import __version__
from edge_app.core.detect import Detector
from edge_app.core.hops import ScoredHop
from edge_app.store.records import SessionFacts
from edge_app.store.writer import StoreWriter
from edge_app.stream.analysis import Listeners
from edge_app.stream.board import Board
from edge_app.stream.live_run import LiveRun
from edge_app.stream.sources import Source


class StoredRun(LiveRun):
    """One session of the store at `path`: it begins with the run, and is whole when `close` returns."""

    def __init__(self, source: Source, detector: Detector, board: Board, path: Path) -> None:
        self._writer = writer = StoreWriter(path)
        self._name = source.name

        def keep(first_frame: int, hop: ScoredHop) -> None:
            writer.scores(first_frame, detector.event_labels, hop.scores)

        super().__init__(source, detector, board, (writer.take,), Listeners(on_hop=keep), writer.anchor)

    def start(self) -> None:
        """Begin the session, then the run."""
        self._writer.begin(session_facts(self._detector, self._name))
        super().start()

    def close(self) -> None:
        """End the run, then the session; what could not be written is said on the board."""
        super().close()
        problem = self._writer.close()
        if problem:
            self.board.notify(problem)


def session_facts(detector: Detector, source_name: str) -> SessionFacts:
    """What is known of a session that begins now."""
    manifest = detector.bundle.manifest
    settings = {
        "hop_frames": detector.hop_frames,
        "decoding": {label: one.model_dump() for label, one in manifest.decoding.items()},
    }
    return SessionFacts(
        started_at=datetime.now(UTC),
        source=source_name,
        sample_rate=manifest.log_mel.sample_rate,
        model_sha256=manifest.graph.sha256,
        model_name=manifest.name,
        runtime=detector.runtime.name,
        app_version=__version__,
        settings_json=json.dumps(settings),
    )
