"""Near misses and other thresholds over the past of the run that goes on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from PyQt6.QtCore import QEvent, QObject, pyqtSignal
from PyQt6.QtWidgets import QWidget

from edge_app.core.decode import LabelDecoding
from edge_app.core.events import FRAME_S
from edge_app.stream.snapshot import Snapshot
from edge_app.stream.what_if import WhatIf
from edge_app.views.live.near_miss_table import NearMissTable, merged
from edge_app.views.live.what_if_panel import WhatIfPanel
from edge_app.views.live.what_if_runner import WhatIfRunner
from edge_app.views.tables.export_dialog import ExportDialog, ask_export

EVERY_FRAMES = round(1 / FRAME_S)
"""How often the past is looked at again while it grows: once a second."""
SETTLED_FRAMES = round(1 / FRAME_S)
"""What ends in the newest second may still become an event: it has not missed yet."""


class LiveWhatIf(QObject):
    """Owns two widgets for the live page, `near_misses` and `panel`, and decodes for both in a thread of its own."""

    found = pyqtSignal(object)
    """The WhatIf of the settings that are tried; None where nothing is tried."""
    used = pyqtSignal(object)
    """The decoding that is wanted from now on, dict[str, LabelDecoding]."""
    chosen = pyqtSignal(object)
    """The NearMissRow that is chosen, or None."""

    def __init__(
        self,
        event_labels: Sequence[str],
        decoding: Mapping[str, LabelDecoding],
        enabled: Collection[str] | None = None,
        colours: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.near_misses = NearMissTable(event_labels, colours)
        self.panel = WhatIfPanel(event_labels, decoding, enabled)
        self._runner = WhatIfRunner(event_labels, self)
        self._source, self._started_at = "", datetime.now(UTC)
        self._end_frame = 0
        self._newest: Snapshot | None = None
        self._runner.found.connect(self._show)
        self.panel.changed.connect(lambda _: self._ask())
        self.panel.used.connect(self.used)
        self.panel.left.connect(self._ask)
        self.near_misses.selected.connect(self.chosen)
        self.near_misses.export_asked.connect(self.ask_export)
        for part in (self.near_misses, self.panel):
            part.installEventFilter(self)

    def restart(self, source: str) -> None:
        """Another run begins: there is no past."""
        self._source, self._started_at, self._end_frame = source, datetime.now(UTC), 0
        self._newest = None
        self._runner.forget()
        self.near_misses.show_misses(())
        self.found.emit(None)

    def set_decoding(
        self, decoding: Mapping[str, LabelDecoding], enabled: Collection[str] | None = None
    ) -> None:
        """What is in force from now on; what was tried is forgotten."""
        self.panel.set_decoding(decoding, enabled)
        self._ask()

    def set_colours(self, colours: Mapping[str, str]) -> None:
        """The colour of each label as "#rrggbb", from now on."""
        self.near_misses.set_colours(colours)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Look at the past again where it has grown by a second, and somebody sees what comes of it."""
        self._newest = snapshot
        has_grown = abs(_end_of(snapshot) - self._end_frame) >= EVERY_FRAMES
        if has_grown and not self._runner.is_running and self._is_seen():
            self._look(snapshot)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Somebody begins to look, maybe at a run that is over: what came while nobody did is looked at now."""
        if event is not None and event.type() == QEvent.Type.Show and self._newest is not None:
            self._look(self._newest)
        return super().eventFilter(watched, event)

    def ask_export(self) -> ExportDialog:
        """Ask where to write the near misses."""
        export = self.near_misses.near_miss_export()
        return ask_export(lambda: export, self.tr("near-misses"), self.near_misses)

    def close_threads(self) -> None:
        """Wait for the thread; nothing is told afterwards."""
        self._runner.close()

    def _look(self, snapshot: Snapshot) -> None:
        self._end_frame = _end_of(snapshot)
        self._runner.look(snapshot.scores, snapshot.scores_first)
        self._ask()

    def _is_seen(self) -> bool:
        return self.near_misses.isVisible() or self.panel.isVisible() or self.panel.is_trying

    def _ask(self) -> None:
        if not self.panel.is_trying:
            self.found.emit(None)
        self._runner.ask(self.panel.decoding, self.panel.enabled, self.panel.in_force)

    def _show(self, found: WhatIf, before: WhatIf) -> None:
        settled = self._end_frame - SETTLED_FRAMES
        misses = tuple(miss for miss in merged(found.near_misses) if miss.offset_frame <= settled)
        found = replace(found, near_misses=misses)
        self.near_misses.show_misses(misses, self._started_at, self._source)
        self.panel.show_result(found, before)
        if self.panel.is_trying:
            self.found.emit(found)


def _end_of(snapshot: Snapshot) -> int:
    """The frame after the last score."""
    return snapshot.scores_first + len(snapshot.scores)
