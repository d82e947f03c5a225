"""When something is done about an event: once it is confirmed, and not again soon for the same label."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edge_app.core.errors import SedgeError

COOLDOWN_S = 60.0
"""Seconds of sound from one firing for a label to the next: a dog that barks all night is told once a minute."""
_TOLD = ("id", "event_label", "onset", "offset", "onset_sample", "offset_sample", "score")


class Confirmable(Protocol):
    """News of an event, as the live engine gives it; times in seconds and in samples at the model's rate."""

    @property
    def type(self) -> str:
        """`confirmed` is what fires."""

    @property
    def event_label(self) -> str:
        """What sounds."""

    @property
    def onset(self) -> float:
        """Seconds from the start of the source."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """A confirmed event as a receiver is told of it: `fields` are those of the engine's news, and what is around it."""

    event_label: str
    onset: float
    fields: Mapping[str, Any]

    def as_json(self) -> str:
        """One line of JSON in ASCII, so that no receiver has to guess the encoding."""
        return json.dumps(self.fields)


class Cooldown:
    """Which labels have fired too recently to fire again, on the clock of the sound itself.

    A recording that is gone through faster than it sounds therefore fires as it would in the room.
    """

    def __init__(self, cooldown_s: float = COOLDOWN_S) -> None:
        if not 0 <= cooldown_s < math.inf:
            raise SedgeError(f"cooldown: expected 0 s or more and finite, found {cooldown_s}")
        self.cooldown_s = cooldown_s
        self._fired: dict[str, float] = {}

    def is_over(self, event_label: str, onset: float) -> bool:
        """Whether the label may fire for an event that began at `onset` seconds."""
        fired = self._fired.get(event_label)
        # A time before the last one belongs to another session, which knows nothing of the former.
        return fired is None or onset < fired or onset - fired >= self.cooldown_s

    def begin(self, event_label: str, onset: float) -> None:
        """The label has fired."""
        self._fired[event_label] = onset


def occasion(news: Confirmable, around: Mapping[str, Any]) -> Occasion | None:
    """What a receiver is told of `news`, together with what is `around` it; None for anything but a confirmed event."""
    if news.type != "confirmed":
        return None
    fields = {"type": news.type} | {name: getattr(news, name) for name in _TOLD} | dict(around)
    return Occasion(news.event_label, news.onset, fields)
