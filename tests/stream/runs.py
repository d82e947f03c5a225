"""Runs of the live engine, and what they are held against."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.core.decode import decode
from edge_app.core.detect import Detector
from edge_app.core.events import Event
from edge_app.stream.engine import Engine
from edge_app.stream.messages import EventNews, News, Summary
from edge_app.stream.ring import Block, SampleRing
from edge_app.stream.sources import Source
from tests.stream.fakes import EVENT_LABELS, fake_detector

RATE = 16_000


def run_engine(source: Source, detector: Detector | None = None, **options: Any):
    """All news, the summary apart, and the scores with the absolute index of their first frame."""
    pieces: list = []
    engine = Engine(
        source,
        detector or fake_detector(),
        on_hop=lambda first, hop: pieces.append((first, hop.scores)),
        **options,
    )
    *news, summary = list(engine)
    assert isinstance(summary, Summary)
    assert summary.samples_analysed + summary.samples_not_analysed == summary.samples_received
    return news, summary, pieces


def closed(news: list[News]) -> list[Event]:
    events = [
        Event(one.onset, one.offset, one.event_label, one.score)
        for one in news
        if isinstance(one, EventNews) and one.type == "closed"
    ]
    return sorted(events, key=lambda event: (event.onset, event.event_label))


def offline(samples, detector=None):
    detector = detector or fake_detector()
    scores = np.concatenate([np.empty((0, len(EVENT_LABELS)), np.float32), *detector.scores([samples])])
    events = decode(scores, detector.event_labels, detector.bundle.manifest.decoding)
    return scores, [Event(e.onset, e.offset, e.event_label, round(e.score, 6)) for e in events]


def moved(events: list[Event], seconds: float) -> list[Event]:
    return [
        Event(round(e.onset + seconds, 6), round(e.offset + seconds, 6), e.event_label, e.score)
        for e in events
    ]


def check_histories(news: list[News]) -> None:
    histories: dict[int, list[EventNews]] = {}
    for one in news:
        if isinstance(one, EventNews):
            histories.setdefault(one.id, []).append(one)
    assert sorted(histories) == list(range(1, len(histories) + 1))
    for history in histories.values():
        words = [one.type for one in history]
        assert words[0] == "provisional"
        if words[-1] == "withdrawn":
            assert words == ["provisional", "withdrawn"]
        else:
            assert words[1] == "confirmed"
            assert words[-1] == "closed"
            assert set(words[2:-1]) <= {"update"}
        assert {(one.event_label, one.onset_sample) for one in history} == {
            (history[0].event_label, history[0].onset_sample)
        }
        assert all(a.offset_sample <= b.offset_sample and a.score <= b.score for a, b in pairwise(history))


def summary_of(news: list[News]) -> Summary:
    """The summary, which comes last."""
    assert isinstance(news[-1], Summary)
    return news[-1]


def next_samples(ring: SampleRing, limit: int = 10**7) -> NDArray[np.float32]:
    """What the ring holds, without a gap before it; empty at the end."""
    item = ring.read(limit)
    assert item is None or isinstance(item, Block)
    return np.empty(0, np.float32) if item is None else item.samples
