"""Two lists of events of the same sound, and what is not the same in them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["missing", "extra", "moved"]


@dataclass(frozen=True, slots=True)
class Found:
    """An event as it was found, in samples of the session."""

    event_label: str
    onset_sample: int
    offset_sample: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """An event that was found live and in the replay differently; times in seconds of the session."""

    kind: Kind
    """missing: not found again. extra: not found live. moved: found again with other times."""
    event_label: str
    onset: float
    offset: float
    found: tuple[float, float] | None = None
    """Where a moved event is in the replay."""

    @property
    def sentence(self) -> str:
        """The difference in words."""
        start = f"{self.event_label} at {self.onset:.2f} to {self.offset:.2f} s"
        if self.found:
            return f"{start} is at {self.found[0]:.2f} to {self.found[1]:.2f} s now"
        return f"{start} is not found again" if self.kind == "missing" else f"{start} was not found live"


def differences(
    live: Sequence[Found], again: Sequence[Found], sample_rate: int, limit: int | None = None
) -> tuple[Difference, ...]:
    """What is not the same, in order of time; with a `limit` only among events that end before that sample."""
    lost, new = _apart(live, again)
    if limit is not None:
        # What was open at the end has no end of its own: it need only begin where the other does.
        begun = {(event.event_label, event.onset_sample) for event in live if event.cut}
        new = [event for event in new if (event.event_label, event.onset_sample) not in begun]
        begun = {(event.event_label, event.onset_sample) for event in again}
        lost = [e for e in lost if not (e.cut and (e.event_label, e.onset_sample) in begun)]
        lost, new = ([event for event in events if event.offset_sample <= limit] for events in (lost, new))
    told = []
    for event in lost:
        other = next((one for one in new if _touch(event, one)), None)
        if other is not None:
            new.remove(other)
        told.append(_difference("moved" if other else "missing", event, other, sample_rate))
    told += [_difference("extra", event, None, sample_rate) for event in new]
    return tuple(sorted(told, key=lambda one: (one.onset, one.event_label, one.offset)))


def _apart(live: Sequence[Found], again: Sequence[Found]) -> tuple[list[Found], list[Found]]:
    """Those of each list that the other does not have at the same times."""
    return _without(live, again), _without(again, live)


def _without(events: Sequence[Found], others: Sequence[Found]) -> list[Found]:
    waiting = Counter(map(_place, others))
    rest = []
    for event in events:
        if waiting[_place(event)] > 0:
            waiting[_place(event)] -= 1
        else:
            rest.append(event)
    return rest


def _place(event: Found) -> tuple[str, int, int]:
    return event.event_label, event.onset_sample, event.offset_sample


def _touch(one: Found, other: Found) -> bool:
    return (
        one.event_label == other.event_label
        and one.onset_sample < other.offset_sample
        and other.onset_sample < one.offset_sample
    )


def _difference(kind: Kind, event: Found, other: Found | None, sample_rate: int) -> Difference:
    found = None if other is None else (other.onset_sample / sample_rate, other.offset_sample / sample_rate)
    return Difference(
        kind, event.event_label, event.onset_sample / sample_rate, event.offset_sample / sample_rate, found
    )
