"""The desktop program: Qt's application, the window, and what opens a run for it."""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QApplication

from edge_app.core.bundle import BundleManifest
from edge_app.core.detect import Detector
from edge_app.core.errors import EXIT_SOME_FAILED
from edge_app.stream.board import Board
from edge_app.stream.live_run import LiveRun
from edge_app.stream.microphone import MicrophoneSource
from edge_app.stream.snapshot import Snapshot
from edge_app.stream.sources import FileSource, Source
from edge_app.views.event_table import EventTable
from edge_app.views.live_table import LiveTable
from edge_app.views.main_window import MainWindow
from edge_app.views.palette import label_colours
from edge_app.views.source_picker import SourceChoice, SourceLister, microphones
from edge_app.views.stored_run import StoredRun
from edge_app.views.theme import Theme, ThemeChoice

INTERRUPT_LOOK_MS = 200
"""How often Python is given a turn while Qt waits: only then does it see Ctrl-C."""


@dataclass(frozen=True)
class AppSetup:
    """What the program is started with."""

    manifest: BundleManifest
    """Of the bundle that `open_detector` opens."""
    open_detector: Callable[[], Detector]
    """Opens the live detector; slow, so it is called in a thread, once."""
    hop_frames: int | None = None
    source: SourceChoice | None = None
    """What to choose at the start; None: the default microphone."""
    is_listening: bool = False
    """Whether to begin to listen at once."""
    theme_choice: ThemeChoice = "system"
    screenshot: Path | None = None
    """Where to save a picture of the window, as PNG; the program ends then."""
    screenshot_after_s: float = 10.0
    """Seconds of listening before the picture is taken."""
    list_sources: SourceLister = microphones
    store: Path | None = None
    """The history that sessions are written to; None: none."""


class RunMaker:
    """Opens runs, all with one detector that is opened at the first."""

    def __init__(self, setup: AppSetup) -> None:
        self._setup = setup
        self._detector: Detector | None = None

    def __call__(self, choice: SourceChoice, board: Board) -> LiveRun:
        """A run of that source, not started. Raises SedgeError where source, model or runtime cannot be used."""
        if self._detector is None:
            self._detector = self._setup.open_detector()
        source = open_source(choice, board.notify)
        if self._setup.store is None:
            return LiveRun(source, self._detector, board)
        return StoredRun(source, self._detector, board, self._setup.store)


def open_source(choice: SourceChoice, notify: Callable[[str], None]) -> Source:
    """The source of a choice; a recording plays at its own speed. Raises AudioError or DeviceError."""
    if choice.recording is not None:
        return FileSource(choice.recording, realtime=True)
    return MicrophoneSource(choice.device_name, notify=notify)


def make_application() -> QApplication:
    """The process's one application."""
    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    application.setApplicationName("sedge")
    application.setApplicationDisplayName("Sedge")
    return application


def make_window(setup: AppSetup) -> MainWindow:
    """The window of a setup, not shown yet."""
    window = MainWindow(
        setup.manifest,
        RunMaker(setup),
        setup.hop_frames,
        setup.source,
        setup.list_sources,
        setup.theme_choice,
    )
    add_table(window)
    return window


def add_table(window: MainWindow) -> LiveTable:
    """The table of events below the timeline."""
    labels, page = window.board.event_labels, window.live_page
    events = LiveTable(EventTable(labels), page.timeline, window.board.sample_rate)

    def dress(theme: Theme) -> None:
        events.table.set_colours(label_colours(labels, theme.is_dark))

    def restart(is_listening: bool) -> None:
        if is_listening:
            events.restart(window.picker.choice.text)

    export = window.actions_by_name["export"]
    events.table.export_asked.connect(export.trigger)
    export.changed.connect(lambda: events.table.export.setVisible(export.isEnabled()))
    events.table.export.setVisible(export.isEnabled())
    window.show_below(events.table)
    window.theme_changed.connect(dress)
    window.listening_changed.connect(restart)
    page.snapshot_shown.connect(events.show_snapshot)
    dress(window.theme)
    return events


def run_app(setup: AppSetup) -> int:
    """Show the window until it is closed; the exit code."""
    application = make_application()
    window = make_window(setup)
    window.show()
    with_python = QTimer()
    with_python.setInterval(INTERRUPT_LOOK_MS)
    with_python.timeout.connect(lambda: None)
    with_python.start()
    former = signal.signal(signal.SIGINT, lambda *_: window.close())
    window.picker.refresh()
    if setup.is_listening:
        window.listen()
    if setup.screenshot is not None:
        window.failed.connect(lambda words: fail(words, application))
        wait_for_picture(window, setup.screenshot, setup.screenshot_after_s)
    try:
        return application.exec()
    finally:
        with_python.stop()
        signal.signal(signal.SIGINT, former)


def wait_for_picture(window: MainWindow, path: Path, after_s: float) -> None:
    """Save a picture once the window has listened for so long, or the recording has ended, and close it."""
    sample_rate = window.board.sample_rate

    def look(snapshot: Snapshot, is_over: bool = False) -> None:
        if is_over or snapshot.now_sample >= after_s * sample_rate:
            window.live_page.snapshot_shown.disconnect(look)
            save_picture(window, path)
            window.close()

    def end(snapshot: Snapshot) -> None:
        if window.isVisible():
            look(snapshot, is_over=True)

    window.live_page.snapshot_shown.connect(look)
    window.live_page.ended.connect(end)


def save_picture(window: MainWindow, path: Path) -> None:
    """Save the window as it looks now."""
    window.grab().save(str(path), "PNG")


def fail(words: str, application: QApplication) -> None:
    """End the program with a sentence."""
    print(f"sedge: {words}", file=sys.stderr)
    application.exit(EXIT_SOME_FAILED)
