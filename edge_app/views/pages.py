"""The pages beside the live one, made from what they need, and what is done with all of them at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PyQt6.QtWidgets import QWidget

from edge_app.core.bundle import BundleManifest
from edge_app.core.detect import Detector
from edge_app.store.settings import AppSettings
from edge_app.views.batch.batch_page import BatchPage
from edge_app.views.history.history_page import HistoryPage
from edge_app.views.settings.choices import Choices
from edge_app.views.settings.echo import record_from
from edge_app.views.settings.first_run import Check, FirstRunPage
from edge_app.views.settings.settings_page import SettingsPage
from edge_app.views.source_picker import SourceLister


@dataclass(frozen=True)
class Services:
    """What the pages are given from outside; a page whose service is missing is left out."""

    check_bundle: Callable[[Path], object]
    """Loads a bundle's manifest, or raises BundleError."""
    open_detector: Callable[[AppSettings], Detector]
    """Opens the live detector, to replay a session with; slow."""
    store: Path | None = None
    """The history; None: nothing is kept."""
    open_batch_detector: Callable[[AppSettings], Detector] | None = None
    """Opens the detector of whole recordings; slow."""
    look: Callable[[AppSettings], Iterable[Check]] | None = None
    """Looks whether everything is there that detection needs."""
    build_command: Sequence[str] | None = None
    """Compiles the model for this machine's GPU; None where it cannot be."""


@dataclass(frozen=True)
class Pages:
    """The pages of a window; what is None is left out."""

    history: HistoryPage | None
    batch: BatchPage | None
    settings: SettingsPage
    first_run: FirstRunPage | None

    @property
    def all(self) -> list[QWidget]:
        """Those that are there, in the order of the tabs."""
        pages = (self.history, self.batch, self.settings, self.first_run)
        return [page for page in pages if page is not None]

    def set_colours(self, colours: Mapping[str, str]) -> None:
        """The colour of each label, from now on."""
        for page in (self.history, self.batch):
            if page is not None:
                page.set_colours(colours)

    def close(self) -> None:
        """End the threads and processes of all pages."""
        self.settings.close_process()
        for page in (self.history, self.batch, self.first_run):
            if page is not None:
                page.close_threads()


def make_pages(
    manifest: BundleManifest, choices: Choices, services: Services, list_sources: SourceLister
) -> Pages:
    """All pages that the services allow."""
    return Pages(
        history=_history_page(manifest, choices, services),
        batch=_batch_page(manifest, choices, services),
        settings=SettingsPage(
            manifest, choices.now, services.check_bundle, services.build_command, list_sources
        ),
        first_run=_first_run_page(choices, services),
    )


def _history_page(manifest: BundleManifest, choices: Choices, services: Services) -> HistoryPage | None:
    if services.store is None:
        return None
    return HistoryPage(
        services.store, manifest.event_labels, open_detector=lambda: services.open_detector(choices.now)
    )


def _batch_page(manifest: BundleManifest, choices: Choices, services: Services) -> BatchPage | None:
    open_batch = services.open_batch_detector
    return None if open_batch is None else BatchPage(lambda: open_batch(choices.now), manifest.event_labels)


def _first_run_page(choices: Choices, services: Services) -> FirstRunPage | None:
    look = services.look
    if look is None:
        return None
    return FirstRunPage(lambda: look(choices.now), lambda: record_from(choices.now.device))
