"""The desktop program: Qt's application, the window, and what opens a run for it."""

import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QApplication

from edge_app.core.bundle import BundleManifest, load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import EXIT_SOME_FAILED, BundleError, SedgeError
from edge_app.core.runtimes import RuntimeChoice
from edge_app.sessions.upkeep import Upkeep
from edge_app.store.settings import AppSettings
from edge_app.stream.board import Board
from edge_app.stream.live_run import LiveRun
from edge_app.stream.microphone import MicrophoneSource
from edge_app.stream.snapshot import Snapshot
from edge_app.stream.sources import FileSource, Source
from edge_app.views.live.live_area import enabled_labels
from edge_app.views.live.stored_run import StoredRun
from edge_app.views.main_window import MainWindow
from edge_app.views.pages import Services
from edge_app.views.settings.choices import Choices
from edge_app.views.settings.first_run import Check
from edge_app.views.source_picker import SourceChoice, SourceLister, choice_in, microphones
from edge_app.views.theme import ThemeChoice

INTERRUPT_LOOK_MS = 200
"""How often Python is given a turn while Qt waits: only then does it see Ctrl-C."""

DetectorOpener = Callable[[AppSettings], Detector]
"""Opens a detector by the settings in force; slow, so it is called in a thread."""


@dataclass(frozen=True)
class AppSetup:
    """What the program is started with. What the command line says holds for this time, and is not saved."""

    manifest: BundleManifest
    """Of the bundle that `open_detector` opens."""
    open_detector: DetectorOpener
    """Opens the live detector."""
    settings: AppSettings = field(default_factory=AppSettings)
    """The user's own."""
    settings_path: Path | None = None
    """Where changes of the settings are saved; None: nowhere."""
    settings_problem: str | None = None
    """What of the file could not be used."""
    bundle: Path | None = None
    """Instead of the user's model."""
    runtime: RuntimeChoice | None = None
    """Instead of the user's choice of what runs it."""
    hop_frames: int | None = None
    """Instead of the user's step."""
    source: SourceChoice | None = None
    """Instead of what was listened to last."""
    theme_choice: ThemeChoice | None = None
    """Instead of the user's colours."""
    is_listening: bool = False
    """Whether to begin to listen at once; the user's settings may say so as well."""
    asks_to_close: bool = False
    """Whether closing the window while it listens asks first."""
    screenshot: Path | None = None
    """Where to save a picture of the window, as PNG; the program ends then."""
    screenshot_after_s: float = 10.0
    """Seconds of listening before the picture is taken."""
    list_sources: SourceLister = microphones
    store: Path | None = None
    """The history that sessions are written to; None: none."""
    open_batch_detector: DetectorOpener | None = None
    """Opens the detector of whole recordings; None: no page for them."""
    look: Callable[[AppSettings], Iterable[Check]] | None = None
    """Looks whether everything is there that detection needs; None: no page for it."""
    build_command: Callable[[Path | None], Sequence[str] | None] | None = None
    """Gives what compiles a bundle, or the built-in one, for this machine's GPU; None where it cannot be."""

    @property
    def overrides(self) -> Mapping[str, Any]:
        """Fields of the settings that hold for this time."""
        fields: dict[str, Any] = {
            "bundle": None if self.bundle is None else str(self.bundle),
            "runtime": self.runtime,
            "hop_frames": self.hop_frames,
            "theme": self.theme_choice,
        }
        said = {name: value for name, value in fields.items() if value is not None}
        return said if self.source is None else {**said, **self.source.fields}

    @property
    def services(self) -> Services:
        """What the pages are given."""
        kept = None if self.settings.bundle is None else Path(self.settings.bundle)
        return Services(
            check_bundle=lambda folder: load_bundle(folder).manifest,
            open_detector=self.open_detector,
            store=self.store,
            open_batch_detector=self.open_batch_detector,
            look=self.look,
            build_command=self.build_command(self.bundle or kept) if self.build_command else None,
        )


class RunMaker:
    """Opens runs; a detector is kept for as long as the settings ask for the same one."""

    def __init__(self, setup: AppSetup) -> None:
        self._setup = setup
        self._detector: Detector | None = None
        self._opened: tuple[object, ...] = ()

    def __call__(self, settings: AppSettings, board: Board) -> LiveRun:
        """A run by those settings, not started. Raises SedgeError where source, model or runtime cannot be used."""
        detector = self._detector_of(settings)
        manifest = detector.bundle.manifest
        if manifest != self._setup.manifest:
            raise SedgeError(
                f"{settings.bundle or 'the built-in model'}: expected the model that the window was opened with, "
                "found another: close the program and start it again to use this one"
            )
        source = open_source(choice_in(settings), board.notify)
        decoding, enabled = settings.decoding(manifest.decoding), enabled_labels(settings, manifest)
        if self._setup.store is None:
            return LiveRun(source, detector, board, decoding=decoding, enabled=enabled)
        return StoredRun(
            source,
            detector,
            board,
            self._setup.store,
            decoding=decoding,
            enabled=enabled,
            with_scores=settings.save_scores,
            wishes=settings.clip_wishes,
            history_s=float(settings.history_s),
            records_sound=settings.records_sound,
        )

    def _detector_of(self, settings: AppSettings) -> Detector:
        wanted = (settings.bundle, settings.runtime, settings.hop_frames)
        if self._detector is None or self._opened != wanted:
            self._detector = self._setup.open_detector(settings)
            self._opened = wanted
        return self._detector


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
    application.setDesktopFileName("sedge")
    return application


def make_window(setup: AppSetup, choices: Choices | None = None) -> MainWindow:
    """The window of a setup, not shown yet; `choices` are those of the window that it replaces."""
    choices = choices or Choices(setup.settings, setup.overrides, setup.settings_path)
    window = MainWindow(
        setup.manifest, choices, RunMaker(setup), setup.services, setup.list_sources, setup.asks_to_close
    )
    if setup.settings_problem:
        window.notices.warn("settings", setup.settings_problem)
    return window


class Program:
    """A window, and another in its place where the user has chosen a model that has other labels or thresholds."""

    def __init__(self, setup: AppSetup) -> None:
        self._setup = setup
        self.window = make_window(setup)
        self._upkeep = self._start_upkeep(setup.store) if setup.store is not None else None
        self.window.choices.changed.connect(lambda *_: QTimer.singleShot(0, self.renew))
        self._attach()

    def close(self) -> None:
        """End what goes on beside the windows."""
        if self._upkeep is not None:
            self._upkeep.close()

    def renew(self) -> None:
        """Replace the window, if its model is another one than the settings say and it does not listen."""
        window, bundle = self.window, self.window.choices.now.bundle
        if window.listening.stage != "idle" or bundle == self._bundle:
            return
        try:
            manifest = load_bundle(Path(bundle) if bundle else None).manifest
        except BundleError as error:
            window.notices.warn("bundle", str(error))
            return
        setup = replace(self._setup, manifest=manifest, bundle=None, settings=window.choices.now)
        self.window = make_window(setup, window.choices)
        self._attach()
        self.window.setGeometry(window.geometry())
        self.window.show()
        self.window.show_page(self.window.others.settings)
        self.window.picker.refresh()
        window.leave()
        window.deleteLater()

    def _attach(self) -> None:
        window = self.window
        self._bundle = window.choices.now.bundle
        window.listening_changed.connect(lambda _: QTimer.singleShot(0, self.renew))
        if self._upkeep is not None:
            upkeep = self._upkeep
            window.notices.watch("upkeep", lambda: upkeep.problem)

    def _start_upkeep(self, store: Path) -> Upkeep:
        choices = self.window.choices
        upkeep = Upkeep(store, choices.now.retention_days, choices.now.retention_bytes)
        choices.changed.connect(
            lambda settings, _: upkeep.change(settings.retention_days, settings.retention_bytes)
        )
        return upkeep


def run_app(setup: AppSetup) -> int:
    """Show the window until it is closed; the exit code."""
    application = make_application()
    program = Program(setup)
    program.window.show()
    with_python = QTimer()
    with_python.setInterval(INTERRUPT_LOOK_MS)
    with_python.timeout.connect(lambda: None)
    with_python.start()
    endings = (signal.SIGINT, signal.SIGTERM)
    former = {ending: signal.signal(ending, lambda *_: program.window.leave()) for ending in endings}
    # The desktop's session ends: nobody can answer a question.
    application.commitDataRequest.connect(lambda _: program.window.leave())
    begin(program.window, setup, application)
    try:
        return application.exec()
    finally:
        program.close()
        with_python.stop()
        for ending, handler in former.items():
            signal.signal(ending, handler)


def begin(window: MainWindow, setup: AppSetup, application: QApplication) -> None:
    """What the program does by itself once its window is there."""
    window.picker.refresh()
    if setup.is_listening or window.choices.now.resumes:
        window.listen()
    elif not window.choices.now.is_introduced:
        window.deeds.check()
    if setup.screenshot is not None:
        window.failed.connect(lambda words: fail(words, application))
        wait_for_picture(window, setup.screenshot, setup.screenshot_after_s)


def wait_for_picture(window: MainWindow, path: Path, after_s: float) -> None:
    """Save a picture once the window has listened for so long, or the recording has ended, and close it."""
    sample_rate = window.board.sample_rate

    def look(snapshot: Snapshot, is_over: bool = False) -> None:
        if is_over or snapshot.now_sample >= after_s * sample_rate:
            window.live_page.snapshot_shown.disconnect(look)
            save_picture(window, path)
            window.leave()

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
