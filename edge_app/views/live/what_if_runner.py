"""Re-decodes scores that are there, beside the window; a slider that moves on is answered for where it is now."""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QObject, pyqtSignal

from edge_app.core.decode import LabelDecoding
from edge_app.stream.what_if import Heard, NearMiss, WhatIf, what_if
from edge_app.views.background import Background, Report

KEPT = 4
"""Answers kept a label: of the settings in force, and of the last ones tried."""


class Redecoder:
    """Decodes one past again and again; only labels whose settings are other ones are decoded anew."""

    def __init__(self, scores: NDArray[np.float32], first_frame: int, event_labels: Sequence[str]) -> None:
        self._scores, self._first_frame = scores, first_frame
        self._event_labels = tuple(event_labels)
        self._known: dict[tuple[str, LabelDecoding, bool], WhatIf] = {}
        self._most_known = KEPT * len(self._event_labels)

    def run(self, decoding: Mapping[str, LabelDecoding], enabled: Collection[str] | None = None) -> WhatIf:
        """What those settings make of it, as `what_if` says it."""
        parts = [
            self._of_label(column, label, decoding[label], enabled is None or label in enabled)
            for column, label in enumerate(self._event_labels)
        ]
        events = sorted((event for part in parts for event in part.events), key=_order)
        near_misses = sorted((miss for part in parts for miss in part.near_misses), key=_order)
        return WhatIf(tuple(events), tuple(near_misses))

    def _of_label(self, column: int, label: str, settings: LabelDecoding, is_on: bool) -> WhatIf:
        key = (label, settings, is_on)
        known = self._known.pop(key, None)
        if known is None:
            scores = self._scores[:, column : column + 1]
            known = what_if(scores, self._first_frame, (label,), {label: settings}, (label,) if is_on else ())
        self._known[key] = known  # the newest last
        if len(self._known) > self._most_known:
            del self._known[next(iter(self._known))]
        return known


@dataclass(frozen=True)
class _Question:
    past: Redecoder
    decoding: Mapping[str, LabelDecoding]
    enabled: Collection[str] | None
    before: Mapping[str, LabelDecoding] | None


class WhatIfRunner(QObject):
    """Answers the newest question in a thread of its own; questions that it overtakes are left out."""

    found = pyqtSignal(object, object)
    """The WhatIf of the newest question, and the one to compare it with, or None."""
    failed = pyqtSignal(str)

    def __init__(self, event_labels: Sequence[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._event_labels = tuple(event_labels)
        self._past = Redecoder(np.empty((0, len(self._event_labels)), np.float32), 0, self._event_labels)
        self._scores: NDArray[np.float32] | None = None
        self._next: _Question | None = None
        self._is_forgotten = False
        self._work = Background(self)
        self._work.reported.connect(self._tell)
        self._work.ended.connect(self._go_on)

    @property
    def is_running(self) -> bool:
        """Whether a question waits for its answer."""
        return self._work.is_running or self._next is not None

    def look(self, scores: NDArray[np.float32], first_frame: int = 0) -> None:
        """The past from now on: scores, shape (frame, label), from the absolute `first_frame`; they must not change."""
        if scores is not self._scores:
            self._scores, self._past = scores, Redecoder(scores, first_frame, self._event_labels)

    def ask(
        self,
        decoding: Mapping[str, LabelDecoding],
        enabled: Collection[str] | None = None,
        before: Mapping[str, LabelDecoding] | None = None,
    ) -> None:
        """Ask what those settings make of the past, and what those `before` do."""
        self._is_forgotten = False
        self._next = _Question(self._past, decoding, enabled, before)
        if not self._work.is_running:
            self._go_on("")

    def forget(self) -> None:
        """Nobody wants to hear what was asked."""
        self._is_forgotten, self._next = True, None

    def close(self) -> None:
        """Wait for the thread; nothing is told afterwards."""
        self.blockSignals(True)
        self._next = None
        self._work.close()

    def _go_on(self, failure: str) -> None:
        if failure:
            self.failed.emit(failure)
        question, self._next = self._next, None
        if question is None:
            return

        def work(report: Report, _cancelled: threading.Event) -> None:
            past, enabled = question.past, question.enabled
            before = None if question.before is None else past.run(question.before, enabled)
            report((past.run(question.decoding, enabled), before))

        self._work.start(work)

    def _tell(self, answer: tuple[WhatIf, WhatIf | None]) -> None:
        if not self._is_forgotten:
            self.found.emit(*answer)


def _order(item: Heard | NearMiss) -> tuple[int, str]:
    return item.onset_frame, item.event_label
