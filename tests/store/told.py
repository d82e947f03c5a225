"""News of a live run as tests tell it."""

from datetime import UTC, datetime

from edge_app.core.decode import MessageType
from edge_app.store.records import SessionFacts
from edge_app.stream.messages import EventNews, GapNews

RATE = 16_000
STARTED = datetime(2026, 3, 1, 7, 30, tzinfo=UTC)


def facts(source: str = "microphone", started_at: datetime = STARTED) -> SessionFacts:
    return SessionFacts(
        started_at=started_at,
        source=source,
        sample_rate=RATE,
        model_name="default",
        model_sha256="ab" * 32,
        settings_json='{"decoding": {"Dog": {"threshold_on": 0.6, "threshold_off": 0.45}}}',
    )


def event(
    kind: MessageType,
    number: int,
    onset: int,
    offset: int,
    event_label: str = "Dog",
    score: float = 0.75,
    cut: bool = False,
) -> EventNews:
    return EventNews(
        kind, number, event_label, onset / RATE, offset / RATE, onset, offset, score=score, cut=cut
    )


def gap(onset: int, offset: int) -> GapNews:
    return GapNews(onset / RATE, offset / RATE, onset, offset, "lost")
