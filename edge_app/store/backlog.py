"""What waits for a slow disk: bounded, counted, in order, and what matters least given up first."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item]):
    number: int
    item: Item
    urgent: bool


class Backlog(Generic[Item]):
    """A queue of two kinds that its one reader takes in the order in which they came.

    At most `capacity` lasting items and `spare_capacity` others wait; the oldest of a kind makes room for the
    newest. Putting never waits.
    """

    def __init__(self, capacity: int, spare_capacity: int) -> None:
        self.dropped = 0
        """Items given up because there was no room."""
        self.max_depth = 0
        """Most items that ever waited."""
        self._lasting: deque[_Waiting[Item]] = deque()
        self._spare: deque[_Waiting[Item]] = deque()
        self._capacities = {id(self._lasting): capacity, id(self._spare): spare_capacity}
        self._taken: list[_Waiting[Item]] = []
        self._count = 0
        self._failures = 0
        self._hurry = False
        self._asked = False
        self._closing = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._lasting) + len(self._spare) + len(self._taken)

    @property
    def closing(self) -> bool:
        """Whether nothing more comes."""
        return self._closing

    def put(self, item: Item, lasting: bool, urgent: bool = False) -> None:
        """Append an item; an urgent one wakes the reader."""
        with self._changed:
            kind = self._lasting if lasting else self._spare
            kind.append(_Waiting(self._count, item, urgent))
            self._count += 1
            if len(kind) > self._capacities[id(kind)]:
                kind.popleft()
                self.dropped += 1
            self.max_depth = max(self.max_depth, len(self))
            if urgent:
                self._hurry = True
                self._changed.notify_all()

    def close(self) -> None:
        """Nothing more comes; the reader wakes."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def wait(self, seconds: float, for_urgent: bool = True) -> None:
        """Wait until something urgent is there, someone waits or nothing more comes, at most so long."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing or self._asked or (for_urgent and self._hurry), seconds
            )
            self._hurry = self._asked = False

    def take(self, count: int) -> list[Item]:
        """The oldest items; the same again until `done`, whatever was put since."""
        with self._changed:
            while len(self._taken) < count and (self._lasting or self._spare):
                kinds = [kind for kind in (self._lasting, self._spare) if kind]
                self._taken.append(min(kinds, key=lambda kind: kind[0].number).popleft())
            return [waiting.item for waiting in self._taken[:count]]

    def done(self, count: int) -> None:
        """The oldest items are dealt with."""
        with self._changed:
            del self._taken[:count]
            self._changed.notify_all()

    def fail(self) -> None:
        """The reader could not deal with what it took; whoever waits for it gets to know."""
        with self._changed:
            self._failures += 1
            self._changed.notify_all()

    def wait_empty(self, timeout_s: float) -> bool:
        """Have the reader hurry, and wait until nothing waits; False where it fails or takes longer."""
        with self._changed:
            failures = self._failures
            self._asked = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not len(self) or self._failures > failures, timeout_s)
            return not len(self)
