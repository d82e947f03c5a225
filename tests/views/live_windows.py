"""The window on a part of the bundled recording, and a probe that sees how long Qt stood still."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import soundfile
from PyQt6.QtCore import QObject, QTimer

from edge_app.commands.app import open_by_settings
from edge_app.commands.demo import RECORDING
from edge_app.core.bundle import load_bundle
from edge_app.views.application import AppSetup, make_window
from edge_app.views.main_window import MainWindow
from edge_app.views.source_picker import SourceChoice


def cut_recording(path: Path, begin_s: float, end_s: float) -> Path:
    """A part of the bundled recording as a WAV file."""
    with soundfile.SoundFile(RECORDING) as recording:
        rate = recording.samplerate
        recording.seek(round(begin_s * rate))
        soundfile.write(path, recording.read(round((end_s - begin_s) * rate), dtype="float32"), rate)
    return path


def setup_on(recording: Path, hop_frames: int = 10, store: Path | None = None, **fields: Any) -> AppSetup:
    """A program that listens to a recording at its own speed, with the bundled model."""
    return AppSetup(
        manifest=load_bundle(None).manifest,
        open_detector=partial(open_by_settings, "live", 1),
        open_batch_detector=partial(open_by_settings, "clip", 1),
        hop_frames=hop_frames,
        runtime="cpu",
        source=SourceChoice(recording=recording),
        theme_choice="dark",
        list_sources=list,
        store=store,
        **fields,
    )


def window_on(recording: Path, hop_frames: int = 10, store: Path | None = None, **fields: Any) -> MainWindow:
    """The window of such a program, not shown yet."""
    return make_window(setup_on(recording, hop_frames, store, **fields))


class LoopProbe(QObject):
    """Fires whenever Qt's loop comes round, and keeps the longest time between."""

    def __init__(self) -> None:
        super().__init__()
        self.longest_s = 0.0
        self._last_s = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        self.longest_s, self._last_s = 0.0, time.perf_counter()
        self._timer.setInterval(2)
        self._timer.start()

    def _look(self) -> None:
        now = time.perf_counter()
        self.longest_s, self._last_s = max(self.longest_s, now - self._last_s), now
