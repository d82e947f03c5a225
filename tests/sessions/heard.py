"""Sessions of the fake graph, recorded by the real journal."""

from pathlib import Path
from typing import Any

from edge_app.core.detect import Detector
from edge_app.sessions.journal import Journal
from edge_app.stream.engine import Engine
from edge_app.stream.messages import News
from edge_app.stream.sources import Source
from tests.stream.fakes import fake_detector


def hear(
    path: Path,
    source: Source,
    changes: dict[int, tuple] | None = None,
    detector: Detector | None = None,
    **options: Any,
) -> tuple[Journal, list[News]]:
    """A session of `source`, in which the n-th hop comes with other settings for each change; closed."""
    detector = detector or fake_detector()
    said: list[str] = []
    journal = Journal(path, source, detector, said.append, **options)
    engine = told_engine(source, detector, journal, changes or {})
    journal.begin()
    news = []
    for one in engine:
        journal.take(one)
        news.append(one)
    sentence = journal.close()
    assert sentence == f"{path}: keeps this as session {journal.session}"
    assert said == []
    return journal, news


def told_engine(source: Source, detector: Detector, journal: Journal, changes: dict[int, tuple]) -> Engine:
    told, n_hops = journal.listeners, iter(range(10**9))

    def on_hop(first, hop):
        change = changes.get(next(n_hops))
        if change:
            engine.set_decoding(*change)
        assert told.on_hop is not None
        told.on_hop(first, hop)

    engine = Engine(source, detector, on_hop=on_hop, on_samples=told.on_samples, on_decoding=told.on_decoding)
    return engine
