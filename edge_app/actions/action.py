"""One receiver and the thread that tells it of events, so that a slow or dead one delays nothing else."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from edge_app.actions.receiver import DeliveryError, Receiver
from edge_app.actions.rules import COOLDOWN_S, Cooldown, Occasion

CAPACITY = 64
"""Occasions that may wait: more than a minute's worth of every label with the usual cooldown."""
RETRY_WAITS_S = (1.0, 2.0, 5.0)
"""Seconds before each further attempt. A receiver that is down for longer is told of the next event instead."""
GRACE_S = 5.0
"""Seconds that the end of a run waits for what is still on its way."""
_END_S = 1.0  # for the thread to notice that what it waited for has been ended


class Action:
    """Fires for occasions whose label has cooled down; `take` never waits.

    Failures are told through `notify`, in the action's own thread and at most once a cooldown by `clock` (seconds).
    Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        receiver: Receiver,
        notify: Callable[[str], None],
        cooldown_s: float = COOLDOWN_S,
        capacity: int = CAPACITY,
        retry_waits_s: Sequence[float] = RETRY_WAITS_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.delivered = self.failed = self.dropped = self.held_back = self.unsent = 0
        self._receiver = receiver
        self._notify = notify
        self._cooldown = Cooldown(cooldown_s)
        self._capacity = capacity
        self._retry_waits_s = tuple(retry_waits_s)
        self._clock = clock
        self._next_complaint: float | None = None
        self._waiting: deque[Occasion] = deque()
        self._busy = False
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="sedge-action", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, occasion: Occasion) -> None:
        """Have the receiver told, unless its label fired too recently or too many occasions wait already."""
        if not self._cooldown.is_over(occasion.event_label, occasion.onset):
            self.held_back += 1
            return
        with self._changed:
            if self._closing.is_set() or len(self._waiting) >= self._capacity:
                # Its label stays ready: the next event of it is told as soon as there is space.
                self.dropped += 1
                return
            self._waiting.append(occasion)
            self._changed.notify_all()
        self._cooldown.begin(occasion.event_label, occasion.onset)

    def close(self, grace_s: float = GRACE_S) -> None:
        """Tell what waits, one attempt each, for at most `grace_s` seconds; the rest is given up and counted."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        self._thread.join(grace_s)
        with self._changed:
            self._abandoned = True
            self.unsent += len(self._waiting) + self._busy
            self._waiting.clear()
        self._receiver.abandon()
        self._thread.join(_END_S)

    @property
    def summary_text(self) -> str:
        """What became of every occasion, in words; the counts that are 0 are left out."""
        counts = [
            (self.failed, "failed"),
            (self.dropped, f"dropped because {self._capacity} were waiting"),
            (self.unsent, "given up at the end"),
            (self.held_back, "held back by the cooldown"),
        ]
        parts = [f"told of {self.delivered} events"] + [
            f"{count} {words}" for count, words in counts if count
        ]
        return f"{self._receiver.name}: {', '.join(parts)}"

    def _run(self) -> None:
        while (occasion := self._next()) is not None:
            error = self._attempts(occasion)
            with self._changed:
                self._busy = False
                if self._abandoned:
                    return
                self.delivered += error is None
                self.failed += error is not None
            if error is not None:
                self._complain(error)

    def _next(self) -> Occasion | None:
        """Wait for the next occasion; None when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            if not self._waiting:
                return None
            self._busy = True
            return self._waiting.popleft()

    def _attempts(self, occasion: Occasion) -> str | None:
        """Deliver, again after each wait where that may help; give the last failure, or None where it arrived."""
        waits_s = iter(self._retry_waits_s)
        while True:
            try:
                self._receiver.deliver(occasion)
                return None
            except DeliveryError as error:
                message, wait_s = str(error), next(waits_s, None) if error.temporary else None
            except Exception as error:
                # Its text may hold what the receiver keeps secret.
                return f"failed with {type(error).__name__}"
            if wait_s is None or self._closing.wait(wait_s):
                return message

    def _complain(self, message: str) -> None:
        now = self._clock()
        if self._next_complaint is not None and now < self._next_complaint:
            return
        self._next_complaint = now + self._cooldown.cooldown_s
        more = f"; {self.dropped} dropped so far" if self.dropped else ""
        # Where the words cannot be written, telling of events must go on all the same.
        with contextlib.suppress(OSError, ValueError):
            self._notify(f"{self._receiver.name}: {message}{more}")
