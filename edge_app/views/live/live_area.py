"""The live page with its tables below: events, and what just missed being one."""

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QSplitter, QTabWidget, QVBoxLayout, QWidget

from edge_app.core.bundle import BundleManifest
from edge_app.core.decode import LabelDecoding
from edge_app.store.settings import AppSettings
from edge_app.views.live.live_page import LivePage
from edge_app.views.live.live_table import LiveTable
from edge_app.views.live.live_what_if import LiveWhatIf
from edge_app.views.palette import label_colours
from edge_app.views.tables.event_rows import EventRow
from edge_app.views.tables.event_table import LIVE_COLUMNS, EventTable
from edge_app.views.theme import Theme

PART_HEIGHT = 200


class LiveArea(QSplitter):
    """The timeline above, tables below."""

    def __init__(self, manifest: BundleManifest, settings: AppSettings, theme: Theme) -> None:
        super().__init__(Qt.Orientation.Vertical)
        self._manifest = manifest
        self._shown: tuple[object, object] | None = None
        self.page = LivePage(manifest, theme, float(settings.view_s))
        self.events = LiveTable(
            EventTable(manifest.event_labels, LIVE_COLUMNS), self.page.timeline, manifest.log_mel.sample_rate
        )
        self.tables = QTabWidget()
        self.tables.setDocumentMode(True)
        decoding, enabled = _in_force(settings, manifest)
        self.what_if = LiveWhatIf(manifest.event_labels, decoding, enabled, parent=self)
        self._add_table(self.events.table, self.tr("Events"))
        self._add_table(self.what_if.near_misses, self.tr("Near misses"))
        self._add_table(self.what_if.panel, self.tr("What if"))
        for part in (self.events, self.what_if):
            self.page.snapshot_shown.connect(part.show_snapshot)
        self.what_if.found.connect(self.page.show_what_if)
        self.what_if.chosen.connect(self._show_near_miss)
        self.addWidget(self.page)
        self.addWidget(self.tables)
        self.setChildrenCollapsible(False)
        self.setStretchFactor(0, 3)
        self.setStretchFactor(1, 1)
        self.setSizes([3 * PART_HEIGHT, PART_HEIGHT])

    def set_theme(self, theme: Theme) -> None:
        """Take a theme's colours."""
        self.page.set_theme(theme)
        colours = label_colours(self._manifest.event_labels, theme.is_dark)
        self.events.table.set_colours(colours)
        self.what_if.set_colours(colours)

    def restart(self, source: str) -> None:
        """Another run begins."""
        self.events.restart(source)
        self.what_if.restart(source)

    def close_threads(self) -> None:
        """End the threads of the tables."""
        self.what_if.close_threads()

    def show_settings(self, settings: AppSettings) -> None:
        """Show which labels are on, where their thresholds lie, and how much time is shown."""
        decoding, enabled = _in_force(settings, self._manifest)
        if (decoding, enabled) != self._shown:
            self._shown = decoding, enabled
            self.page.set_decoding(decoding, enabled)
            self.what_if.set_decoding(decoding, enabled)
        if round(self.page.timeline.view_s) != settings.view_s:
            self.page.timeline.set_view(float(settings.view_s))

    def _show_near_miss(self, row: EventRow | None) -> None:
        if row is not None:
            self.page.timeline.show_span(row.event_label, row.onset, row.offset)

    def _add_table(self, table: QWidget, title: str) -> None:
        around = QWidget()
        column = QVBoxLayout(around)
        column.setContentsMargins(8, 6, 8, 4)
        column.addWidget(table)
        self.tables.addTab(around, title)


def _in_force(
    settings: AppSettings, manifest: BundleManifest
) -> tuple[dict[str, LabelDecoding], frozenset[str]]:
    return settings.decoding(manifest.decoding), enabled_labels(settings, manifest)


def enabled_labels(settings: AppSettings, manifest: BundleManifest) -> frozenset[str]:
    """The labels that are listened for."""
    return frozenset(label for label in manifest.event_labels if settings.label(label).enabled)
