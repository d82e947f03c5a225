"""What the store takes of a live run, by its fields: news of events and of gaps, and the books at the end."""

from typing import Literal, Protocol, TypeGuard


class EventTold(Protocol):
    """News of one event."""

    @property
    def type(self) -> Literal["provisional", "confirmed", "update", "closed", "withdrawn"]: ...
    @property
    def id(self) -> int: ...
    @property
    def event_label(self) -> str: ...
    @property
    def onset_sample(self) -> int: ...
    @property
    def offset_sample(self) -> int: ...
    @property
    def score(self) -> float: ...
    @property
    def cut(self) -> bool: ...


class GapTold(Protocol):
    """News of a gap."""

    @property
    def type(self) -> Literal["gap"]: ...
    @property
    def onset_sample(self) -> int: ...
    @property
    def offset_sample(self) -> int: ...
    @property
    def kind(self) -> str: ...


class SummaryTold(Protocol):
    """The books at the end of a run."""

    @property
    def type(self) -> Literal["summary"]: ...
    @property
    def samples_received(self) -> int: ...
    @property
    def samples_gap(self) -> int: ...


Told = EventTold | GapTold | SummaryTold


def is_event(news: Told) -> TypeGuard[EventTold]:
    """Whether news is of an event."""
    return news.type not in ("gap", "summary")


def is_gap(news: Told) -> TypeGuard[GapTold]:
    """Whether news is of a gap."""
    return news.type == "gap"
