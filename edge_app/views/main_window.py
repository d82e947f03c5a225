"""The main window: what to listen to, the live page and the other pages, and what is said about them."""

from collections.abc import Callable
from functools import partial

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtGui import QCloseEvent
from PyQt6.QtWidgets import QApplication, QMainWindow, QTabWidget, QVBoxLayout, QWidget

from edge_app.core.bundle import BundleManifest
from edge_app.core.delay import algorithmic_delay
from edge_app.store.settings import AppSettings
from edge_app.stream.board import Board
from edge_app.stream.live_run import LiveRun
from edge_app.stream.snapshot import Snapshot
from edge_app.views.closing import Closing
from edge_app.views.deeds import Place, make_actions
from edge_app.views.listening import Listening
from edge_app.views.live.live_area import LiveArea, enabled_labels
from edge_app.views.live.live_page import notice
from edge_app.views.live.status import StatusRow
from edge_app.views.live.stored_run import StoredRun
from edge_app.views.notices import Notices
from edge_app.views.pages import Services, make_pages
from edge_app.views.palette import label_colours
from edge_app.views.settings.choices import Choices
from edge_app.views.source_picker import SourceLister, SourcePicker, choice_in, microphones
from edge_app.views.theme import ThemeChoice, apply_theme, chosen_theme, program_icon
from edge_app.views.toolbar import DoingBar, ListeningBar
from edge_app.views.window_deeds import WindowDeeds

RunOpener = Callable[[AppSettings, Board], LiveRun]
"""Makes a run, not started, that shows itself on the board; is called in a thread, for it may take seconds."""
SIZE = (1400, 900)
LEAST_SIZE = (900, 600)


class MainWindow(QMainWindow):
    """One window, one run at a time. It pulls what it shows; no other thread calls it."""

    listening_changed = pyqtSignal(bool)
    """A run has been started, or is over and its threads are gone."""
    theme_changed = pyqtSignal(object)
    """The Theme from now on."""
    failed = pyqtSignal(str)
    """Why listening could not begin, in one sentence."""
    closed = pyqtSignal()
    """The window is gone, and its threads with it."""

    def __init__(
        self,
        manifest: BundleManifest,
        choices: Choices,
        open_run: RunOpener,
        services: Services,
        list_sources: SourceLister = microphones,
        asks_to_close: bool = False,
    ) -> None:
        super().__init__()
        self.manifest, self.choices, self._open_run = manifest, choices, open_run
        self.asks_to_close = asks_to_close
        """Whether closing while it listens asks first."""
        self.closing = Closing(self)
        settings, log_mel = choices.now, manifest.log_mel
        self._runtime_text = ""
        self.theme = chosen_theme(settings.theme, _application())
        self.board = Board(
            manifest.event_labels,
            log_mel.sample_rate,
            n_mels=log_mel.n_mels,
            hops_allowed=manifest.hop_frames.allowed,
        )
        self.listening = Listening(self)
        self.live = LiveArea(manifest, settings, self.theme)
        self.live_page = self.live.page
        self.others = make_pages(manifest, choices, services, list_sources)
        self.picker = SourcePicker(list_sources, choice_in(settings))
        self.status = StatusRow()
        self.notices = Notices()
        self.pages = QTabWidget()
        places: dict[Place, QWidget] = {"window": self, "live": self.live, "timeline": self.live_page}
        self.actions_by_name = make_actions(places)
        self.bar = ListeningBar(manifest, self.picker, self.actions_by_name["settings"])
        self.listen_button, self.pause_button = self.bar.listen_button, self.bar.pause_button
        self.stop_button = self.bar.stop_button
        self.doing_bar = DoingBar(manifest, self.actions_by_name)
        self.deeds = WindowDeeds(self)
        self.notices.watch("journal", self._journal_problem)
        self._compose()
        self._connect()
        self.set_theme(settings.theme)
        self._take_settings(settings, frozenset())
        self._show_stage()

    @property
    def run(self) -> LiveRun | None:
        """What is listened with; None while nothing is."""
        return self.listening.run

    @property
    def is_listening(self) -> bool:
        """Whether a run goes on."""
        return self.run is not None

    def offer(self, name: str, act: Callable[[], object]) -> None:
        """Say how a deed is done: it can be chosen from now on."""
        self.deeds.offer(name, act)

    def set_theme(self, choice: ThemeChoice) -> None:
        """Dress the window, and all other windows of the application."""
        self.theme = theme = chosen_theme(choice, _application())
        apply_theme(theme, _application())
        self.live.set_theme(theme)
        self.others.set_colours(label_colours(self.manifest.event_labels, theme.is_dark))
        self.theme_changed.emit(theme)

    def listen(self) -> None:
        """Begin to listen to the source that is chosen."""
        settings = self.choices.now
        if self.listening.begin(partial(self._open_run, settings, self.board)):
            self.notices.warn("listening", "")
            self.live_page.show_banner("")
            self.status.show_state("opening")

    def stop(self) -> None:
        """Ask the run to end; what has been heard is still analysed."""
        self.listening.stop()
        self.stop_button.setEnabled(False)

    def show_page(self, page: QWidget) -> None:
        """Bring a page to the front, as a tab where it is none yet."""
        if self.pages.indexOf(page) < 0:
            self.pages.addTab(page, self.tr("First-run check"))
        self.pages.setCurrentWidget(page)

    def leave(self) -> None:
        """Close without a question."""
        self.asks_to_close = False
        self.close()

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802
        """Ask where that is wanted; otherwise end the run and all threads before the window goes."""
        if self.asks_to_close and self.is_listening:
            self.closing.ask()
            if event is not None:
                event.ignore()
            return
        self._finish()
        super().closeEvent(event)
        self.closed.emit()

    def _finish(self) -> None:
        was_listening = self.is_listening
        self.live_page.leave()
        self.notices.stop_watching()
        self.closing.close()
        self.picker.finish()
        self.listening.close()
        self.deeds.close_threads()
        self.live.close_threads()
        self.others.close()
        self.choices.close()
        if was_listening:
            self.listening_changed.emit(False)

    def _begin(self, run: LiveRun) -> None:
        self.status.restart()
        self.live.restart(self.picker.choice.text)
        self.live_page.follow(run)
        self.deeds.follow(run.journal if isinstance(run, StoredRun) else None)
        self.others.settings.mark_started()
        self.listening_changed.emit(True)
        self._refresh_history()

    def _refuse(self, words: str) -> None:
        self.status.show_state("failed")
        self.notices.warn("listening", words)
        self.failed.emit(words)

    def _end(self, snapshot: Snapshot) -> None:
        """The run is over: its threads are gone in a moment."""
        self.status.show_state(snapshot.state)
        self.listening.end()

    def _clear_run(self) -> None:
        self.deeds.end()
        self.notices.warn("source", "")
        self.listening_changed.emit(False)
        self._refresh_history()

    def _refresh_history(self) -> None:
        if self.others.history is not None:
            self.others.history.refresh()

    def _journal_problem(self) -> str | None:
        return self.run.journal.problem if isinstance(self.run, StoredRun) else None

    def _show_snapshot(self, snapshot: Snapshot) -> None:
        self.status.show_snapshot(snapshot)
        self.bar.show_runtime(snapshot.runtime_text)
        is_elsewhere = self.pages.currentWidget() is not self.live
        self.notices.warn("source", notice(snapshot) if is_elsewhere else "")
        if snapshot.runtime_text != self._runtime_text:
            self._runtime_text = snapshot.runtime_text
            self.others.settings.show_runtime(snapshot.runtime_text)

    def _take_settings(self, settings: AppSettings, changed: frozenset[str]) -> None:
        """Live by the settings in force; those that count from the next start are left to it."""
        decoding = settings.decoding(self.manifest.decoding)
        hop_frames = settings.hop_frames or self.manifest.hop_frames.default
        self.status.set_delay(algorithmic_delay(self.manifest, hop_frames, decoding))
        self.live.show_settings(settings)
        self.doing_bar.show_settings(settings)
        if self.others.settings.settings != settings:
            self.others.settings.show_settings(settings)
        self.picker.choose(choice_in(settings))
        if "theme" in changed:
            self.set_theme(settings.theme)
        run = self.run
        if run is not None and "labels" in changed:
            run.set_decoding(decoding, enabled_labels(settings, self.manifest))
        if isinstance(run, StoredRun):
            run.journal.wish(settings.clip_wishes)
            run.journal.keep_scores(settings.save_scores)

    def _show_stage(self) -> None:
        stage = self.listening.stage
        is_idle, is_running = stage == "idle", stage == "running"
        for name in ("listen", "open"):
            self.actions_by_name[name].setEnabled(is_idle)
        for part in (self.listen_button, self.picker):
            part.setEnabled(is_idle)
        for button in (self.pause_button, self.stop_button):
            button.setEnabled(is_running)
        self.actions_by_name["stop"].setEnabled(is_running)

    def _connect(self) -> None:
        page, listening = self.live_page, self.listening
        listening.began.connect(self._begin)
        listening.ended.connect(self._clear_run)
        listening.failed.connect(self._refuse)
        listening.stage_changed.connect(self._show_stage)
        page.ended.connect(self._end)
        page.snapshot_shown.connect(self._show_snapshot)
        page.frozen_changed.connect(self.bar.set_frozen)
        self.listen_button.clicked.connect(self.listen)
        self.pause_button.clicked.connect(page.toggle_frozen)
        self.stop_button.clicked.connect(self.stop)
        self.picker.listed.connect(self.others.settings.source.offer)
        for picker in (self.picker, self.others.settings.source):
            picker.failed.connect(partial(self.notices.warn, "microphones"))
        self.picker.changed.connect(lambda choice: self.choices.set(**choice.fields))
        self.choices.changed.connect(self._take_settings)
        self.choices.failed.connect(partial(self.notices.warn, "settings"))
        self.others.settings.changed.connect(self.choices.take)
        self.doing_bar.chosen.connect(self.choices.take)
        self.closing.left.connect(self.leave)
        hints = _application().styleHints()
        if hints is not None:
            hints.colorSchemeChanged.connect(self._follow_system)

    def _follow_system(self) -> None:
        if self.choices.now.theme == "system":
            self.set_theme("system")

    def _compose(self) -> None:
        self.setWindowTitle("Sedge")
        self.setWindowIcon(program_icon())
        self.setMinimumSize(*LEAST_SIZE)
        self.resize(*SIZE)
        self.pages.setDocumentMode(True)
        tabs: list[tuple[QWidget | None, str]] = [
            (self.live, self.tr("Live")),
            (self.others.history, self.tr("History")),
            (self.others.batch, self.tr("Batch")),
            (self.others.settings, self.tr("Settings")),
        ]
        for page, title in tabs:
            if page is not None:
                self.pages.addTab(page, title)
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.notices)
        column.addWidget(self.pages, stretch=1)
        self.setCentralWidget(middle)
        self.addToolBar(self.bar)
        self.addToolBarBreak()
        self.addToolBar(self.doing_bar)
        status_bar = self.statusBar()
        assert status_bar is not None
        status_bar.addWidget(self.status, 1)
        status_bar.setSizeGripEnabled(False)


def _application() -> QApplication:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    return application
