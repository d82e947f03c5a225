"""Two accounts of the same sound, and which events are not the same in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from PyQt6.QtCore import QCoreApplication
from PyQt6.QtWidgets import QWidget

from edge_app.core.events import FRAME_S
from edge_app.sessions.differences import Difference, Kind
from edge_app.stream.what_if import Heard
from edge_app.views.tables.event_rows import Column, EventRow, event_columns
from edge_app.views.tables.found_table import FoundTable

translate = QCoreApplication.translate


@dataclass(frozen=True, slots=True)
class ChangeRow(EventRow):
    """A difference as a row."""

    words: str = ""


def changes(before: Sequence[Heard], after: Sequence[Heard]) -> list[Difference]:
    """What becomes of the events of one account in the other, in order of time; both of the same decoder."""
    lost, new = _by_label(set(before) - set(after)), _by_label(set(after) - set(before))
    told = [one for label in {*lost, *new} for one in _of_label(lost.get(label, []), new.get(label, []))]
    return sorted(told, key=lambda one: (one.onset, one.event_label))


def _by_label(events: set[Heard]) -> dict[str, list[Heard]]:
    lists: dict[str, list[Heard]] = {}
    for event in sorted(events, key=lambda event: event.onset_frame):
        lists.setdefault(event.event_label, []).append(event)
    return lists


def _of_label(lost: list[Heard], new: list[Heard]) -> list[Difference]:
    """Events of one label do not overlap within an account: both lists are walked once."""
    told, place = [], 0
    for event in lost:
        while place < len(new) and new[place].offset_frame <= event.onset_frame:
            told.append(_difference("extra", new[place]))
            place += 1
        if place < len(new) and new[place].onset_frame < event.offset_frame:
            if _times(event) != _times(new[place]):
                told.append(_difference("moved", event, _times(new[place])))
            place += 1
        else:
            told.append(_difference("missing", event))
    return told + [_difference("extra", event) for event in new[place:]]


def _difference(kind: Kind, event: Heard, found: tuple[float, float] | None = None) -> Difference:
    return Difference(kind, event.event_label, *_times(event), found)


def _times(event: Heard) -> tuple[float, float]:
    return round(event.onset_frame * FRAME_S, 6), round(event.offset_frame * FRAME_S, 6)


def tried_text(change: Difference) -> str:
    """What other thresholds would do to an event."""
    if change.found:
        text = translate("ChangeTable", "↔ {onset:+.2f} s at its start, {offset:+.2f} s at its end")
        return text.format(onset=change.found[0] - change.onset, offset=change.found[1] - change.offset)
    if change.kind == "extra":
        text = translate("ChangeTable", "+ would be an event ({length:.2f} s)")
        return text.format(length=change.offset - change.onset)
    return translate("ChangeTable", "− would be none")


def replayed_text(difference: Difference) -> str:
    """How a replay and the live account differ."""
    if difference.found:
        text = translate("ChangeTable", "↔ is at {onset:.2f} to {offset:.2f} s in the replay")
        return text.format(onset=difference.found[0], offset=difference.found[1])
    if difference.kind == "extra":
        return translate("ChangeTable", "+ was not found live")
    return translate("ChangeTable", "− is not found again")


class ChangeTable(FoundTable):
    """Differences in words beside those columns, the newest first; it is not exported."""

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        colours: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        change = Column(
            "change",
            translate("ChangeTable", "Difference"),
            lambda row: cast("ChangeRow", row).words,
            lambda row: cast("ChangeRow", row).words,
        )
        super().__init__([*event_columns(columns), change], name, colours, parent)
        self.export.hide()

    def show_changes(
        self, told: Sequence[tuple[Difference, str]], sentence: str, started_at: datetime | None = None
    ) -> None:
        """Show differences, each with its words, below a sentence; `started_at` is when their time 0 was."""
        rows = [
            ChangeRow(
                id=place,
                event_label=one.event_label,
                onset=one.onset,
                offset=one.offset,
                peak=0.0,
                at=started_at + timedelta(seconds=one.onset) if started_at else None,
                words=words,
            )
            for place, (one, words) in enumerate(told)
        ]
        self.set_rows(rows)
        self.sentence.setText(sentence)
