"""A bounded, counted queue from the inference thread to the consumer."""

import threading
from collections import deque
from typing import Generic, TypeVar

# A lock that waits without limit cannot be interrupted by Ctrl-C on Windows.
INTERRUPTIBLE_S = 0.25

Item = TypeVar("Item")


class Outbox(Generic[Item]):
    """At most `capacity` items wait; the producer waits for space, the consumer for items."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.max_depth = 0
        """Most items that ever waited."""
        self._items: deque[Item] = deque()
        self._closed = False
        self._abandoned = False
        self._changed = threading.Condition()

    @property
    def depth(self) -> int:
        """Items that wait."""
        return len(self._items)

    def put(self, item: Item) -> bool:
        """Append an item as soon as there is space. False: the consumer has gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or len(self._items) < self.capacity)
            if self._abandoned:
                return False
            self._items.append(item)
            self.max_depth = max(self.max_depth, len(self._items))
            self._changed.notify_all()
            return True

    def get(self) -> Item | None:
        """Wait for the next item; None after the last."""
        with self._changed:
            while not self._items:
                if self._closed or self._abandoned:
                    return None
                self._changed.wait(INTERRUPTIBLE_S)
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """The producer has no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """The consumer has gone; a waiting producer returns at once."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
