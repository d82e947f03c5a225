"""Counts of what a run has found: by label, by hour of the day and by recording, in little memory."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from edge_app.scoring.journal_tables import Result
from edge_app.scoring.name_time import start_in_name

HOURS = 24
MOST_RECORDINGS = 20
"""Recordings with the most events that are named."""


@dataclass
class LabelTally:
    """What was found of one label."""

    n_events: int = 0
    total_s: float = 0.0
    n_recordings: int = 0
    """Recordings that it was heard in."""
    by_hour: list[int] = field(default_factory=lambda: [0] * HOURS)
    """Events by the hour of the day in which they began, of recordings whose time is known."""


@dataclass(order=True)
class Busy:
    """A recording with many events; those with more come first, and of as many the earlier in the run."""

    n_events: int
    earliness: int
    filename: str
    duration_s: float


class Tally:
    """Takes results one after the other."""

    def __init__(self, event_labels: Sequence[str]) -> None:
        self.labels = {label: LabelTally() for label in event_labels}
        self.n_recordings, self.n_silent, self.n_timed = 0, 0, 0
        self.audio_s = 0.0
        self.recorded_s = [0.0] * HOURS
        """Seconds of sound in each hour of the day, of recordings whose time is known."""
        self.first: datetime | None = None
        self.last: datetime | None = None
        self._busy: list[Busy] = []

    @property
    def n_events(self) -> int:
        """Events of all labels."""
        return sum(one.n_events for one in self.labels.values())

    @property
    def busiest(self) -> list[Busy]:
        """The recordings with the most events, most first."""
        return sorted(self._busy, reverse=True)

    def add(self, result: Result) -> None:
        """Count a recording."""
        self.n_recordings += 1
        self.n_silent += not result.events
        self.audio_s += result.duration_s
        start = start_in_name(result.filename)
        if start is not None:
            self._add_time(start, result.duration_s)
        for event in result.events:
            tally = self.labels.setdefault(event.event_label, LabelTally())
            tally.n_events += 1
            tally.total_s += event.offset - event.onset
            if start is not None:
                tally.by_hour[(start + timedelta(seconds=event.onset)).hour] += 1
        for label in {event.event_label for event in result.events}:
            self.labels[label].n_recordings += 1
        if result.events:
            self._rank(Busy(len(result.events), -self.n_recordings, result.filename, result.duration_s))

    def _rank(self, busy: Busy) -> None:
        heapq.heappush(self._busy, busy)
        if len(self._busy) > MOST_RECORDINGS:
            heapq.heappop(self._busy)

    def _add_time(self, start: datetime, duration_s: float) -> None:
        self.n_timed += 1
        self.first = start if self.first is None else min(self.first, start)
        self.last = start if self.last is None else max(self.last, start)
        days, left_s = divmod(duration_s, HOURS * 3600.0)
        self.recorded_s = [recorded + 3600 * days for recorded in self.recorded_s]
        place_s = 3600.0 * start.hour + 60 * start.minute + start.second
        while left_s > 0:
            hour = int(place_s // 3600)
            within_s = min(left_s, 3600 * (hour + 1) - place_s)
            self.recorded_s[hour % HOURS] += within_s
            place_s, left_s = place_s + within_s, left_s - within_s


def tally_of(results: Iterable[Result], event_labels: Sequence[str]) -> Tally:
    """The tally of results, which are passed through once."""
    tally = Tally(event_labels)
    for result in results:
        tally.add(result)
    return tally
