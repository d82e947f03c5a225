"""What an export holds, whatever the format: events, gaps, durations, and what they were found with."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import SedgeError
from edge_app.core.labels import check_labels


@dataclass(frozen=True, slots=True)
class ExportEvent:
    """One event; times in seconds from the start of its file or session. What a format lacks stays at its default."""

    source: str
    """What was heard: a microphone's name or a path."""
    file: str
    """Name of the recording or session in tables."""
    onset: float
    offset: float
    event_label: str
    score: float
    """Peak; 1 where a format has none."""
    mean: float | None = None
    """Mean score from onset to offset."""
    onset_utc: datetime | None = None
    """With its time zone."""
    session_id: int | None = None
    event_id: int | None = None
    state: str = "closed"
    """open or closed."""
    cut: bool = False
    """Whether a gap ended the event, and not silence."""
    review: str = ""
    """Empty, or what a person said: confirmed or rejected."""
    note: str = ""
    clip: str = ""
    """Path of the event's own recording; empty where none was kept."""
    model: str = ""
    threshold_on: float | None = None
    threshold_off: float | None = None


@dataclass(frozen=True, slots=True)
class ExportGap:
    """A range in which nothing could be heard, in seconds; `file` may be empty where an export has one file."""

    onset: float
    offset: float
    kind: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class ExportMark:
    """A moment that a person marked, in seconds; `file` may be empty where an export has one file."""

    at: float
    note: str = ""
    file: str = ""


@dataclass(frozen=True)
class ExportScores:
    """Frame scores of one file, which may be too many to be held at once: they are read as they are written."""

    event_labels: tuple[str, ...]
    n_frames: int
    """Length of the file in frames of 20 ms."""
    stretches: Callable[[], Iterable[tuple[int, NDArray[np.float32]]]] = field(compare=False)
    """Gives first frames with scores in 0...1, shape (frame, label), in order; none where nothing was heard."""

    def whole(self) -> NDArray[np.float32]:
        """All scores, shape (frame, label); zeros where there are none."""
        scores = np.zeros((self.n_frames, len(self.event_labels)), np.float32)
        for first_frame, stretch in self.stretches():
            scores[first_frame : first_frame + len(stretch)] = stretch
        return scores


@dataclass(frozen=True)
class Export:
    """Everything that goes into one export.

    `durations` (seconds, by file) sets the order of the files and keeps those without events. `about` is JSON:
    app, model, settings, source, sample_rate, latency. `unrecorded` are files whose sound was not kept;
    `recordings` are the whole paths, by file, of sound that other programs can open. `scores` are by file.
    """

    events: Sequence[ExportEvent] = ()
    gaps: Sequence[ExportGap] = ()
    durations: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    unrecorded: frozenset[str] = frozenset()
    marks: Sequence[ExportMark] = ()
    recordings: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, ExportScores] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """Names of the files: those with a duration, then others as they come."""
        named = [event.file for event in self.events]
        named += [gap.file for gap in self.gaps if gap.file]
        named += [mark.file for mark in self.marks if mark.file]
        return list(dict.fromkeys([*self.durations, *named, *self.scores]))


Span = TypeVar("Span", ExportEvent, ExportGap)
Placed = TypeVar("Placed", ExportEvent, ExportGap, ExportMark)
Value = TypeVar("Value")


def tidy(export: Export, decimals: int | None = None) -> tuple[Export, int]:
    """The export as tables hold it, and how many events that left out.

    Times are clipped to 0...duration and rounded; events without length after that are left out; the rest is
    sorted by file, onset, then label. In an export of one file, gaps and marks without one get its name.
    Raises SedgeError for a label that cannot stand in a table, an event without a file, and times or scores that
    are not numbers.
    """
    _check(export)
    rank = {name: place for place, name in enumerate(export.files)}
    events = [_clipped(event, export.durations, decimals) for event in export.events]
    events = [event for event in events if event.offset > event.onset]
    events.sort(key=lambda event: (rank[event.file], event.onset, event.event_label, event.offset))
    only = export.files[0] if len(export.files) == 1 else ""
    gaps = [_clipped(replace(gap, file=gap.file or only), export.durations, None) for gap in export.gaps]
    gaps.sort(key=lambda gap: (rank.get(gap.file, -1), gap.onset, gap.offset))
    marks = [_within(replace(mark, file=mark.file or only), export.durations) for mark in export.marks]
    marks.sort(key=lambda mark: (rank.get(mark.file, -1), mark.at, mark.note))
    return replace(export, events=events, gaps=gaps, marks=marks), len(export.events) - len(events)


def split(export: Export) -> dict[str, Export]:
    """One export for each file, for formats that hold one recording."""
    files = export.files
    only = files[0] if len(files) == 1 else ""
    events, gaps, marks = (
        _by_file(export.events, only),
        _by_file(export.gaps, only),
        _by_file(export.marks, only),
    )
    return {
        name: replace(
            export,
            events=events.get(name, []),
            gaps=gaps.get(name, []),
            marks=marks.get(name, []),
            durations=_only(name, export.durations),
            unrecorded=export.unrecorded & {name},
            recordings=_only(name, export.recordings),
            scores=_only(name, export.scores),
        )
        for name in files
    }


def _by_file(items: Sequence[Placed], only: str) -> dict[str, list[Placed]]:
    """What is in each file; what names none is in the only one, if there is one."""
    found: dict[str, list[Placed]] = {}
    for item in items:
        found.setdefault(item.file or only, []).append(item)
    return found


def _only(name: str, by_file: Mapping[str, Value]) -> dict[str, Value]:
    return {name: by_file[name]} if name in by_file else {}


def _check(export: Export) -> None:
    if export.events:
        check_labels(sorted({event.event_label for event in export.events}))
    for event in export.events:
        if not event.file:
            raise SedgeError(f"event at {event.onset} s: expected the name of its file, found none")
        if not all(map(math.isfinite, (event.onset, event.offset, event.score))):
            raise SedgeError(
                f"{event.file}: expected numbers for onset, offset and score, "
                f"found {event.onset}, {event.offset} and {event.score}"
            )


def _clipped(span: Span, durations: Mapping[str, float], decimals: int | None) -> Span:
    duration = durations.get(span.file, math.inf)
    onset, offset = (min(max(seconds, 0.0), duration) for seconds in (span.onset, span.offset))
    if decimals is not None:
        onset, offset = round(onset, decimals), round(offset, decimals)
    return replace(span, onset=onset, offset=offset)


def _within(mark: ExportMark, durations: Mapping[str, float]) -> ExportMark:
    if not math.isfinite(mark.at):
        raise SedgeError(f"{mark.file}: expected a number for the time of a mark, found {mark.at}")
    return replace(mark, at=min(max(mark.at, 0.0), durations.get(mark.file, math.inf)))
