"""The table of the events of the run that goes on, below the timeline; what is chosen in one is chosen in the other."""

from datetime import UTC, datetime, timedelta

from PyQt6.QtCore import QObject

from edge_app.formats.exchange import Export, ExportEvent
from edge_app.stream.snapshot import LaneItem, Snapshot
from edge_app.views.tables.event_rows import EventRow
from edge_app.views.tables.event_table import EventTable
from edge_app.views.timeline.timeline import Timeline

NONE_DROPPED = -1
MOST_LISTED = 500
"""The newest events of a run, which may never end; the history has all of them."""


class LiveTable(QObject):
    """Keeps a table as the snapshots are; provisional events are not listed."""

    def __init__(self, table: EventTable, timeline: Timeline, sample_rate: int) -> None:
        super().__init__(table)
        self.table = table
        self._timeline = timeline
        self._sample_rate = sample_rate
        self._source = ""
        self._started_at = datetime.now(UTC)
        self._items: tuple[LaneItem, ...] = ()
        self._listed: dict[int, LaneItem] = {}
        self._verdicts: dict[int, str] = {}
        self._dropped = NONE_DROPPED  # events are numbered in order, and dropped in order
        self._is_choosing = False
        timeline.event_selected.connect(self._select_row)
        table.selected.connect(self._select_item)

    def restart(self, source: str) -> None:
        """Another run begins: the table is empty."""
        self._source, self._started_at = source, datetime.now(UTC)
        self._items, self._listed, self._verdicts, self._dropped = (), {}, {}, NONE_DROPPED
        self.table.set_events([])

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """List what is new; what is listed already costs nothing."""
        if snapshot.items is self._items:
            return
        self._items = snapshot.items
        for item in snapshot.items:
            if item.id <= self._dropped or item.state not in ("confirmed", "closed"):
                continue
            if self._listed.get(item.id) != item:
                self._listed[item.id] = item
                self.table.take(self._row(item))
        self._forget()

    @property
    def chosen(self) -> LaneItem | None:
        """The event that is chosen in the table or on the timeline."""
        selected, row = self._timeline.selected, self.table.current()
        if selected is not None:  # as it is by now, for a picture that is held has it as it was
            return self._listed.get(selected.id, selected)
        return self._listed.get(row.id) if row is not None else None

    def review(self, event_id: int, verdict: str) -> None:
        """Show a verdict on an event."""
        self._verdicts[event_id] = verdict
        if event_id in self._listed:
            self.table.take(self._row(self._listed[event_id]))

    def export(self, model_name: str = "") -> Export:
        """The events that are listed, and no gaps."""
        rows = self.table.model.events()
        return Export([_export_event(row, model_name) for row in rows])

    def _forget(self) -> None:
        while len(self._listed) > MOST_LISTED:
            oldest = self._dropped = next(iter(self._listed))
            del self._listed[oldest]
            self._verdicts.pop(oldest, None)
            self.table.model.drop(oldest)

    def _row(self, item: LaneItem) -> EventRow:
        onset_s = item.onset_sample / self._sample_rate
        return EventRow(
            id=item.id,
            event_label=item.event_label,
            onset=onset_s,
            offset=item.offset_sample / self._sample_rate,
            peak=item.score,
            at=self._started_at + timedelta(seconds=onset_s),
            source=self._source,
            state="closed" if item.state == "closed" else "open",
            cut=item.cut,
            review=self._verdicts.get(item.id, ""),
        )

    def _select_row(self, item: LaneItem | None) -> None:
        current = self.table.current()
        if item is None and not self._is_choosing:
            self.table.clear_choice()
        elif item is not None and (current is None or current.id != item.id):
            self.table.select(item.id)

    def _select_item(self, row: EventRow | None) -> None:
        selected = self._timeline.selected
        if row is not None and row.id in self._listed and (selected is None or selected.id != row.id):
            self._is_choosing = True  # an event that is out of view is chosen in the table alone
            self._timeline.select(self._listed[row.id])
            self._is_choosing = False


def _export_event(row: EventRow, model_name: str) -> ExportEvent:
    return ExportEvent(
        source=row.source,
        file=row.source,
        onset=row.onset,
        offset=row.offset,
        event_label=row.event_label,
        score=row.peak,
        onset_utc=row.at,
        event_id=row.id,
        state=row.state,
        cut=row.cut,
        review=row.review,
        model=model_name,
    )
