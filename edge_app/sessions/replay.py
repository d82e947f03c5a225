"""A session heard once more: its sound is scored and decoded again, and compared with what was found live."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S
from edge_app.core.hops import ScoredHop
from edge_app.sessions.differences import Difference, Found, differences
from edge_app.sessions.facts import read_decoding, read_hop_frames
from edge_app.sessions.sound import SessionSound, gaps_of, session_sound, stretches
from edge_app.store.database import Store
from edge_app.store.queries import EventFilter
from edge_app.store.records import SessionRecord, to_bytes
from edge_app.store.schema import NotKeptError
from edge_app.stream.analysis import Analysis, Decoding, Listeners, shipped_decoding
from edge_app.stream.messages import EventNews, News

_SHOWN = 5  # differences that the sentence lists


class ReplayCancelled(SedgeError):  # noqa: N818
    """The replay was asked to end early."""


@dataclass(frozen=True)
class Replay:
    """What came of a replay."""

    session: int
    analysed_s: float
    """Seconds of sound that were scored again."""
    n_events: int
    """Events found again."""
    differences: tuple[Difference, ...]
    """Events that are not the same as live, in order of time; none is expected."""
    largest_score_difference: float | None
    """Between the scores that were kept, in steps of 1/255, and those found again; None where none were kept."""

    @property
    def sentence(self) -> str:
        """What came of it, in words."""
        start = f"session {self.session}: {self.n_events} events in {self.analysed_s:.1f} s heard once more"
        scores = ""
        if self.largest_score_difference is not None:
            scores = f"; scores differ by at most {self.largest_score_difference:.3f}"
        if not self.differences:
            return f"{start}, the same as live{scores}"
        shown = "; ".join(one.sentence for one in self.differences[:_SHOWN])
        more = len(self.differences) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        return f"{start}, {len(self.differences)} not as live: {shown}{rest}{scores}"


def replay(
    store: Store,
    session: int,
    detector: Detector,
    report: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Replay:
    """Score the sound of a session again, with its gaps, its hop and its settings, and compare.

    `report` is told the share that is done, `cancelled` is asked whether to end early. Raises SedgeError where there
    is no sound, the session goes on or was heard with another model, and ReplayCancelled.
    """
    record = _record(store, session)
    again = _detector(record, detector)
    sound = session_sound(record)
    listener = _Listener(store, record, again)
    analysis = Analysis(again, sound.sample_rate, listeners=Listeners(on_hop=listener.on_hop))
    listener.follow(analysis)
    found: list[Found] = []
    for news in _news(store, record, sound, analysis):
        found += [_found(one) for one in news if isinstance(one, EventNews) and one.type == "closed"]
        _look(record, analysis, report, cancelled)
    return _compared(store, record, listener, found, analysis)


def _record(store: Store, session: int) -> SessionRecord:
    records = store.sessions([session])
    if not records:
        raise NotKeptError(f"{store.path}: session {session}: expected one of the store, found none")
    if not records[0].ended:
        raise NotKeptError(f"session {session}: expected one that has ended, found it going on")
    return records[0]


def _detector(record: SessionRecord, detector: Detector) -> Detector:
    """A live detector as the session's was."""
    manifest = detector.bundle.manifest
    if manifest.graph.sha256 != record.model_sha256:
        raise SedgeError(
            f"session {record.id}: expected the model {record.model_name} ({record.model_sha256[:12]}) with which "
            f"it was heard, found {manifest.name} ({manifest.graph.sha256[:12]})"
        )
    hop_frames = read_hop_frames(record.settings_json)
    return Detector(detector.bundle, detector.runtime, "live", hop_frames, detector.passed_over)


def _news(
    store: Store, record: SessionRecord, sound: SessionSound, analysis: Analysis
) -> Iterator[Sequence[News]]:
    gaps = gaps_of(store.gaps(record.id), sound.sample_rate, record.sample_rate)
    with closing(sound.blocks()) as blocks:
        for item in stretches(blocks, gaps, sound.end):
            yield analysis.take(item)
    yield analysis.finish()


def _look(
    record: SessionRecord,
    analysis: Analysis,
    report: Callable[[float], None] | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    if cancelled and cancelled():
        raise ReplayCancelled(f"session {record.id}: the replay was ended early")
    if report:
        books = analysis.books
        report(min(1.0, (books.received + books.gap) / max(1, record.end_sample)))


class _Listener:
    """Sets the decoding where it was changed, and compares the scores of each hop with those that were kept."""

    def __init__(self, store: Store, record: SessionRecord, detector: Detector) -> None:
        shipped = shipped_decoding(detector)
        self.decoding = read_decoding(record.settings_json, shipped)
        self._changes = deque(
            (change.first_frame, read_decoding(change.settings_json, shipped))
            for change in store.changes(record.id)
        )
        self.slowest = _delay_frames(detector, [self.decoding, *(one for _, one in self._changes)])
        """Frames that the slowest label needs to decide."""
        self.score_steps: list[tuple[int, int]] = []
        """Frame after the hop, and the largest difference of its scores in steps of 1/255."""
        self._store = store
        self._session = record.id
        self._event_labels = detector.event_labels
        self._analysis: Analysis | None = None

    def follow(self, analysis: Analysis) -> None:
        """Change the decoding of this analysis."""
        self._analysis = analysis
        analysis.decoding = self.decoding

    def on_hop(self, first_frame: int, hop: ScoredHop) -> None:
        """Hear of a hop before it is decoded."""
        while self._changes and self._changes[0][0] <= first_frame:
            assert self._analysis is not None
            self._analysis.decoding = self._changes.popleft()[1]
        scores, end = to_bytes(hop.scores).astype(int), first_frame + len(hop.scores)
        for block in self._store.score_blocks(self._session, first_frame, end):
            if block.event_labels != self._event_labels:
                continue
            low, high = max(first_frame, block.first_frame), min(end, block.end_frame)
            kept = block.scores[low - block.first_frame : high - block.first_frame]
            steps = np.abs(scores[low - first_frame : high - first_frame] - kept)
            self.score_steps.append((high, int(steps.max(initial=0))))


def _delay_frames(detector: Detector, decodings: Sequence[Decoding]) -> int:
    own = max(
        one.median_frames // 2 + one.min_off_frames for each in decodings for one in each.labels.values()
    )
    return own + detector.hop_frames + detector.bundle.manifest.receptive_field_frames.tag_cnn


def _compared(
    store: Store,
    record: SessionRecord,
    listener: _Listener,
    found: list[Found],
    analysis: Analysis,
) -> Replay:
    hop_length = round(record.sample_rate * FRAME_S)
    reached = analysis.books.received + analysis.books.gap
    limit = None
    if record.recovered or reached + hop_length <= record.end_sample:
        # Where the session or its sound was cut off, what was not decided yet by then says nothing.
        limit = min(reached, record.end_sample) - listener.slowest * hop_length
    live = [
        Found(event.event_label, event.onset_sample, event.offset_sample, event.cut)
        for event in store.events(EventFilter(session=record.id))
    ]
    steps = [step for end, step in listener.score_steps if limit is None or end * hop_length <= limit]
    return Replay(
        record.id,
        analysis.books.analysed / record.sample_rate,
        len(found),
        differences(live, found, record.sample_rate, limit),
        max(steps) / 255 if steps else None,
    )


def _found(news: EventNews) -> Found:
    return Found(news.event_label, news.onset_sample, news.offset_sample, news.cut)
