"""One runtime for several threads: calls that wait at the same time go through the graph together.

There is no thread of its own. While one call runs, others wait; the one that has waited longest then takes those of
its shape along. Reading, features and decoding of some recordings so overlap with inference for others.
"""

import threading
from collections.abc import Sequence

import numpy as np

from edge_app.core.errors import SedgeError
from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES, FusedInput, FusedOutput, Runtime
from edge_app.core.tag_memory import TagMemory


class SharedRuntime:
    """A Runtime that several threads may call at once.

    Calls are merged along the batch axis, up to `most_rows` rows; a call that has more goes alone. Arithmetic of
    another shape may differ in the last bits, so results depend on what is merged within rounding. An error reaches
    every call that was merged. Raises SedgeError where `most_rows` is not 1 or more.
    """

    def __init__(self, runtime: Runtime, most_rows: int) -> None:
        if most_rows < 1:
            raise SedgeError(f"batch: expected 1 window or more, found {most_rows}")
        self._runtime = runtime
        self._most_rows = most_rows
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []  # those that have waited longest first
        self._busy = False

    @property
    def name(self) -> str:
        """What runs, in words."""
        return self._runtime.name

    @property
    def n_waiting(self) -> int:
        """Calls that wait for the one that runs."""
        with self._changed:
            return len(self._waiting)

    def run(self, call: FusedInput) -> FusedOutput:
        """Run the graph on this call, perhaps together with those of other threads."""
        own = _Waiting(call)
        with self._changed:
            self._waiting.append(own)
            try:
                self._changed.wait_for(lambda: own.is_done or self._is_next(own))
                if own.is_done:
                    return own.result()
                merged = self._take()
            except BaseException:
                self._leave(own)
                raise
        self._serve(merged)
        return own.result()

    def tag_memory(self, slots: int) -> TagMemory:
        """An empty memory of the runtime's own kind; the steps of a live stream are not merged."""
        return self._runtime.tag_memory(slots)

    def _is_next(self, own: "_Waiting") -> bool:
        return not self._busy and self._waiting[0] is own

    def _take(self) -> list["_Waiting"]:
        """Take the first call out of the queue, with those that go along with it."""
        first, *others = self._waiting
        merged, rows = [first], first.rows
        for other in others:
            if other.shape == first.shape and rows + other.rows <= self._most_rows:
                merged.append(other)
                rows += other.rows
        self._waiting = [waiting for waiting in self._waiting if waiting not in merged]
        self._busy = True
        return merged

    def _serve(self, merged: list["_Waiting"]) -> None:
        """Run calls together, the first one's thread for all; let the others know."""
        error: Exception | None = None
        outputs: list[FusedOutput] = []
        try:
            outputs = _run(self._runtime, [waiting.call for waiting in merged])
        except Exception as raised:  # whatever a driver raises: each thread tells it of its own recording
            error = raised
        finally:  # an interrupt reaches this thread alone: the others' calls wait again
            with self._changed:
                for waiting, output in zip(merged, outputs, strict=False):
                    waiting.output = output
                for waiting in merged:
                    waiting.error = error
                self._waiting[:0] = [waiting for waiting in merged[1:] if not waiting.is_done]
                self._busy = False
                self._changed.notify_all()

    def _leave(self, own: "_Waiting") -> None:
        """Give up waiting, so that whoever is next does not wait for this thread."""
        if own in self._waiting:
            self._waiting.remove(own)
            self._changed.notify_all()


class _Waiting:
    """A call and what became of it."""

    def __init__(self, call: FusedInput) -> None:
        self.call = call
        self.rows = len(call.log_mel)
        self.shape = (call.log_mel.shape[1:], call.memory_logit.shape[1:])
        self.output: FusedOutput | None = None
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Whether it ran, well or not."""
        return self.output is not None or self.error is not None

    def result(self) -> FusedOutput:
        """What the graph gave; raises what it raised."""
        if self.error is not None:
            raise self.error
        assert self.output is not None
        return self.output


def _run(runtime: Runtime, calls: Sequence[FusedInput]) -> list[FusedOutput]:
    """Outputs of calls of one shape, from one run of the graph."""
    if len(calls) == 1:
        return [runtime.run(calls[0])]
    merged = FusedInput(*(np.concatenate([getattr(call, name) for call in calls]) for name in INPUT_NAMES))
    output = runtime.run(merged)
    ends = np.cumsum([len(call.log_mel) for call in calls])[:-1]
    parts = [np.split(getattr(output, name), ends) for name in OUTPUT_NAMES]
    return [FusedOutput(*one) for one in zip(*parts, strict=True)]
