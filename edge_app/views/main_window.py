"""The main window: what to listen to, the live page and the other pages, and the status bar."""

from collections.abc import Callable
from functools import partial
from typing import cast

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QCloseEvent
from PyQt6.QtWidgets import (
    QApplication,
    QLabel,
    QMainWindow,
    QMessageBox,
    QPushButton,
    QSplitter,
    QTabWidget,
    QToolBar,
    QWidget,
)

from edge_app.core.bundle import BundleManifest
from edge_app.core.delay import algorithmic_delay
from edge_app.stream.board import Board
from edge_app.stream.live_run import LiveRun
from edge_app.stream.snapshot import Snapshot
from edge_app.views.deeds import fill_menus, keys_text, make_actions
from edge_app.views.errand import Errand
from edge_app.views.live_page import LivePage
from edge_app.views.source_picker import SourceChoice, SourceLister, SourcePicker, microphones
from edge_app.views.status import StatusRow
from edge_app.views.theme import ThemeChoice, apply_theme, chosen_theme

RunOpener = Callable[[SourceChoice, Board], LiveRun]
"""Makes a run, not started, that shows itself on the board; is called in a thread, for it may take seconds."""
THEMES: dict[ThemeChoice, str] = {"system": "System colours", "dark": "Dark", "light": "Light"}
UNOFFERED = ("export", "settings", "save_last", "mark", "play", "confirm", "reject")
"""Deeds that others do: they can be chosen once `offer` has said how."""
PART_HEIGHT = 200
SIZE = (1400, 900)
LEAST_SIZE = (900, 560)


class MainWindow(QMainWindow):
    """One window, one run at a time. It pulls what it shows; no other thread calls it."""

    listening_changed = pyqtSignal(bool)
    """A run has been started, or is over and its threads are gone."""
    theme_changed = pyqtSignal(object)
    """The Theme from now on."""
    failed = pyqtSignal(str)
    """Why listening could not begin, in one sentence."""

    def __init__(
        self,
        manifest: BundleManifest,
        open_run: RunOpener,
        hop_frames: int | None = None,
        source: SourceChoice | None = None,
        list_sources: SourceLister = microphones,
        theme_choice: ThemeChoice = "system",
    ) -> None:
        super().__init__()
        self._manifest = manifest
        self._open_run = open_run
        self._errand: Errand | None = None
        self.run: LiveRun | None = None
        """What is listened with; None while nothing is."""
        self.theme_choice: ThemeChoice = theme_choice
        log_mel = manifest.log_mel
        self.board = Board(manifest.event_labels, log_mel.sample_rate, n_mels=log_mel.n_mels)
        self.live_page = LivePage(manifest, chosen_theme(theme_choice, _application()))
        self.picker = SourcePicker(list_sources, source)
        self.status = StatusRow()
        self.status.set_delay(algorithmic_delay(manifest, hop_frames or manifest.hop_frames.default))
        self.pages = QTabWidget()
        self.listen_button = QPushButton("● " + self.tr("Listen"))
        self.pause_button = QPushButton("❚❚ " + self.tr("Pause view"))
        self.stop_button = QPushButton("■ " + self.tr("Stop"))
        self.actions_by_name = make_actions(self, self.live_page)
        self._compose()
        self._connect()
        self.set_theme(theme_choice)
        self._show_listening()

    @property
    def is_listening(self) -> bool:
        """Whether a run goes on."""
        return self.run is not None

    def add_page(self, page: QWidget, title: str) -> None:
        """Add a tab."""
        self.pages.addTab(page, title)

    def show_below(self, part: QWidget) -> None:
        """Put a part, such as the table of events, below the timeline."""
        self._live_area.addWidget(part)
        self._live_area.setStretchFactor(0, 3)
        self._live_area.setStretchFactor(1, 1)
        self._live_area.setSizes([3 * PART_HEIGHT, PART_HEIGHT])

    def offer(self, name: str, act: Callable[[], object]) -> None:
        """Say how a deed is done: it can be chosen from now on."""
        action = self.actions_by_name[name]
        action.triggered.connect(lambda _=False: act())
        action.setEnabled(True)

    def set_theme(self, choice: ThemeChoice) -> None:
        """Dress the window, and all other windows of the application."""
        self.theme_choice = choice
        self.theme = theme = chosen_theme(choice, _application())
        apply_theme(theme, _application())
        self.live_page.set_theme(theme)
        self.theme_changed.emit(theme)

    def listen(self) -> None:
        """Begin to listen to the source that is chosen."""
        if self.run is not None or self._errand is not None:
            return
        self.live_page.show_banner("")
        self.status.show_state("opening")
        choice = self.picker.choice
        self._send(partial(self._open_run, choice, self.board), self._begin, self._refuse)

    def stop(self) -> None:
        """Ask the run to end; what has been heard is still analysed."""
        if self.run is not None:
            self.run.stop()
            self.stop_button.setEnabled(False)

    def pause_or_listen(self) -> None:
        """Listen, or hold the picture of a run that goes on, or follow it again."""
        if self.run is None:
            self.listen()
        else:
            self.live_page.toggle_frozen()

    def go_to_now(self) -> None:
        """Follow again, with nothing chosen."""
        self.live_page.set_frozen(False)
        self.live_page.timeline.select(None)

    def show_keys(self) -> None:
        """Tell which keys there are."""
        rows = "".join(
            f"<tr><td style='padding-right:24px'><b>{keys}</b></td><td>{words}</td></tr>"
            for keys, _, words in (line.partition("\t") for line in keys_text().splitlines())
        )
        box = QMessageBox(self)
        box.setWindowTitle(self.tr("Keys"))
        box.setTextFormat(Qt.TextFormat.RichText)
        box.setText(f"<table>{rows}</table>")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802
        """End the run before the window goes."""
        self.live_page.leave()
        self.picker.finish()
        if self._errand is not None:
            self._errand.forget()
            self._errand.join()
            self._errand = None
        run, self.run = self.run, None
        if run is not None:
            run.stop()
            run.close()
            self.listening_changed.emit(False)
        super().closeEvent(event)

    def _begin(self, opened: object) -> None:
        self.run = run = cast("LiveRun", opened)
        run.start()
        self.status.restart()
        self.live_page.follow(run)
        self._show_listening()
        self.listening_changed.emit(True)

    def _refuse(self, words: str) -> None:
        self.status.show_state("failed")
        self.live_page.show_banner(words)
        self._show_listening()
        self.failed.emit(words)

    def _end(self, snapshot: Snapshot) -> None:
        """The run is over: its threads are gone in a moment."""
        run = self.run
        if run is None:
            return
        self._send(run.close, lambda _: self._clear_run(snapshot), lambda _: self._clear_run(snapshot))

    def _clear_run(self, snapshot: Snapshot) -> None:
        self.run = None
        self.status.show_state(snapshot.state)
        self._show_listening()
        self.listening_changed.emit(False)

    def _send(
        self, work: Callable[[], object], done: Callable[[object], None], failed: Callable[[str], None]
    ) -> None:
        """Do something slow in a thread."""
        errand = Errand(work, self)
        self._errand = errand
        self._show_listening()
        errand.done.connect(partial(self._received, done))
        errand.failed.connect(partial(self._received, failed))
        errand.start()

    def _received(self, react: Callable[..., None], outcome: object) -> None:
        errand, self._errand = self._errand, None
        if errand is not None:
            errand.deleteLater()
        react(outcome)

    def _show_listening(self) -> None:
        is_idle = self.run is None and self._errand is None
        for part in (
            self.listen_button,
            self.picker,
            self.actions_by_name["listen"],
            self.actions_by_name["open"],
        ):
            part.setEnabled(is_idle)
        for part in (self.pause_button, self.stop_button, self.actions_by_name["stop"]):
            part.setEnabled(self.run is not None and self._errand is None)

    def _show_frozen(self, is_frozen: bool) -> None:
        self.pause_button.setText("▶ " + self.tr("Follow") if is_frozen else "❚❚ " + self.tr("Pause view"))

    def _connect(self) -> None:
        page, timeline = self.live_page, self.live_page.timeline
        page.ended.connect(self._end)
        page.snapshot_shown.connect(self.status.show_snapshot)
        page.frozen_changed.connect(self._show_frozen)
        self.picker.failed.connect(page.show_banner)
        self.listen_button.clicked.connect(self.listen)
        self.pause_button.clicked.connect(page.toggle_frozen)
        self.stop_button.clicked.connect(self.stop)
        deeds: dict[str, Callable[[], object]] = {
            "open": self.picker.ask_for_recording,
            "quit": self.close,
            "listen": self.listen,
            "stop": self.stop,
            "pause": self.pause_or_listen,
            "zoom_in": partial(timeline.zoom, 1),
            "zoom_out": partial(timeline.zoom, -1),
            "now": self.go_to_now,
            "keys": self.show_keys,
        }
        for name, act in deeds.items():
            self.offer(name, act)
        for name in UNOFFERED:
            self.actions_by_name[name].setEnabled(False)
        hints = _application().styleHints()
        if hints is not None:
            hints.colorSchemeChanged.connect(self._follow_system)

    def _follow_system(self) -> None:
        if self.theme_choice == "system":
            self.set_theme("system")

    def _compose(self) -> None:
        self.setWindowTitle("Sedge")
        self.setMinimumSize(*LEAST_SIZE)
        self.resize(*SIZE)
        self._live_area = QSplitter(Qt.Orientation.Vertical)
        self._live_area.addWidget(self.live_page)
        self._live_area.setChildrenCollapsible(False)
        self.pages.addTab(self._live_area, self.tr("Live"))
        self.pages.setDocumentMode(True)
        self.setCentralWidget(self.pages)
        self._compose_bars()

    def _compose_bars(self) -> None:
        bar = QToolBar(self.tr("Listening"))
        bar.setMovable(False)
        for part in (self.listen_button, self.pause_button, self.stop_button):
            bar.addWidget(part)
        bar.addSeparator()
        bar.addWidget(_caption(self.tr("Source:")))
        bar.addWidget(self.picker)
        bar.addSeparator()
        bar.addWidget(_caption(self.tr("Model:")))
        bar.addWidget(QLabel(self._manifest.name))
        self.addToolBar(bar)
        status_bar = self.statusBar()
        assert status_bar is not None
        status_bar.addWidget(self.status, 1)
        status_bar.setSizeGripEnabled(False)
        self._compose_menus()

    def _compose_menus(self) -> None:
        menu_bar = self.menuBar()
        assert menu_bar is not None
        view = fill_menus(menu_bar, self.actions_by_name)["view"]
        view.addSeparator()
        for choice, title in THEMES.items():
            action = view.addAction(self.tr(title))
            assert action is not None
            action.triggered.connect(partial(self.set_theme, choice))


def _caption(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("quiet", "true")
    return label


def _application() -> QApplication:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    return application
