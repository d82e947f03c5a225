"""What was nearly an event: when, how near, and what it lacked, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

from PyQt6.QtCore import QCoreApplication
from PyQt6.QtWidgets import QWidget

from edge_app.core.events import FRAME_S
from edge_app.formats.exchange import Export, ExportEvent
from edge_app.stream.what_if import NearMiss, Reason
from edge_app.views.tables.event_rows import Column, EventRow, event_columns
from edge_app.views.tables.found_table import FoundTable

translate = QCoreApplication.translate
MERGE_FRAMES = round(1 / FRAME_S)
FILE_NAME = "near_misses"
"""What stands for the file in tables of a live run, which has none."""


@dataclass(frozen=True, slots=True)
class NearMissRow(EventRow):
    """A near miss as a row."""

    reason: Reason = "below threshold"
    missing: float = 0.0
    """Score below the threshold, or seconds too short; nothing where the label is off."""


def reason_text(row: NearMissRow) -> str:
    """Why it was no event, and by how much."""
    if row.reason == "below threshold":
        return translate("NearMissTable", "{score:.2f} below the threshold").format(score=row.missing)
    if row.reason == "too short":
        return translate("NearMissTable", "{seconds:.2f} s too short").format(seconds=row.missing)
    return translate("NearMissTable", "its label is off")


def merged(misses: Sequence[NearMiss]) -> tuple[NearMiss, ...]:
    """Near misses of one label within a second of each other are one: from the first to the last, the nearest's why.

    A sound that wavers about its threshold would fill the table otherwise.
    """
    groups: dict[str, list[NearMiss]] = {}
    done: list[NearMiss] = []
    for miss in sorted(misses, key=lambda miss: miss.onset_frame):
        group = groups.setdefault(miss.event_label, [])
        if group and miss.onset_frame - group[-1].offset_frame > MERGE_FRAMES:
            done.append(_one(group))
            group.clear()
        group.append(miss)
    done += [_one(group) for group in groups.values()]
    return tuple(sorted(done, key=lambda miss: (miss.onset_frame, miss.event_label)))


def _one(group: Sequence[NearMiss]) -> NearMiss:
    nearest = max(group, key=lambda miss: (miss.reason != "below threshold", miss.score))
    return replace(nearest, onset_frame=group[0].onset_frame, offset_frame=group[-1].offset_frame)


def near_miss_rows(
    misses: Sequence[NearMiss],
    event_labels: Sequence[str],
    started_at: datetime | None = None,
    source: str = "",
) -> list[NearMissRow]:
    """Near misses as rows; a row keeps its number for as long as its onset stays. `started_at` is when frame 0 was."""
    place = {label: number for number, label in enumerate(event_labels)}
    rows = []
    for miss in misses:
        onset = round(miss.onset_frame * FRAME_S, 6)
        row = NearMissRow(
            id=miss.onset_frame * len(place) + place[miss.event_label],
            event_label=miss.event_label,
            onset=onset,
            offset=round(miss.offset_frame * FRAME_S, 6),
            peak=miss.score,
            at=started_at + timedelta(seconds=onset) if started_at else None,
            source=source,
            reason=miss.reason,
            missing=miss.missing,
        )
        rows.append(row)
    return rows


class NearMissTable(FoundTable):
    """Near misses, the newest first."""

    def __init__(
        self,
        event_labels: Sequence[str],
        colours: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(near_miss_columns(), translate("NearMissTable", "Near misses"), colours, parent)
        self._event_labels = tuple(event_labels)
        self.show_misses(())

    def show_misses(
        self, misses: Sequence[NearMiss], started_at: datetime | None = None, source: str = ""
    ) -> None:
        """Show these and no others; `started_at` is when frame 0 was heard, `source` what it was heard with."""
        self.set_rows(near_miss_rows(misses, self._event_labels, started_at, source))
        self.sentence.setText(_count_text(len(misses)))

    def near_miss_export(self, file: str = FILE_NAME) -> Export:
        """The rows as an export of one file: the reason stands in the note, and none is confirmed or rejected."""
        return near_miss_export([cast("NearMissRow", row) for row in self.rows()], file)


def near_miss_export(rows: Sequence[NearMissRow], file: str = FILE_NAME) -> Export:
    """Near misses as an export; the reason stands in the note."""
    events = [
        ExportEvent(
            source=row.source,
            file=file,
            onset=row.onset,
            offset=row.offset,
            event_label=row.event_label,
            score=row.peak,
            onset_utc=row.at,
            note=translate("NearMissTable", "near miss: {reason}").format(reason=reason_text(row)),
        )
        for row in rows
    ]
    return Export(events=events, about={"kind": "near misses"}, unrecorded=frozenset({file}))


def near_miss_columns() -> list[Column]:
    """Columns of near misses."""
    why = Column(
        "why",
        translate("NearMissTable", "Why it was no event"),
        lambda row: reason_text(cast("NearMissRow", row)),
        lambda row: (cast("NearMissRow", row).reason, cast("NearMissRow", row).missing),
    )
    return [*event_columns(("time", "label", "duration", "peak")), why]


def _count_text(count: int) -> str:
    if not count:
        return translate("NearMissTable", "Nothing came near to being an event.")
    if count == 1:
        return translate("NearMissTable", "1 sound was nearly an event.")
    return translate("NearMissTable", "{count} sounds were nearly events.").format(count=count)
