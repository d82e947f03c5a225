"""Hear what the microphone hears: three seconds are recorded and played back, and nothing is kept."""

import math
import threading
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QCoreApplication, pyqtSignal
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from edge_app.stream.devices import find_device, record
from edge_app.views.background import Background, Cancelled, Report
from edge_app.views.history.clip_player import Play, play_sound

translate = QCoreApplication.translate
ECHO_S = 3.0
QUIET_DBFS = -60.0
"""Speech at arm's length is far above this."""
FULL_SCALE = 0.999
Record = Callable[[], tuple[NDArray[np.float32], int]]
"""Records `ECHO_S` seconds: samples, shape (sample,), and their rate."""
Stage = Literal["recording", "playing", "done"]


def record_from(device_name: str | None = None) -> tuple[NDArray[np.float32], int]:
    """Record from a microphone, or the default one. Raises DeviceError where none delivers sound."""
    device = find_device(device_name)
    return record(device, ECHO_S), round(device.sample_rate_hz)


class EchoBox(QWidget):
    """A button, and a sentence on how loud it was. Both work beside the window."""

    ended = pyqtSignal()

    def __init__(
        self, record: Record = record_from, play: Play = play_sound, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._record, self._play = record, play
        self._level = ""
        self._work = Background(self)
        self._work.reported.connect(self._show)
        self._work.ended.connect(self._end)
        self.button = QPushButton(self.tr("Record 3 s and play it back"), self)
        self.button.setAccessibleName(self.tr("Record three seconds and play them back"))
        self.button.clicked.connect(self.start)
        self.message = QLabel(self.tr("Hear yourself as the microphone hears you; nothing is kept."), self)
        self.message.setWordWrap(True)
        self.message.setAccessibleName(self.tr("How the recording went"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.message, 1)

    def start(self) -> None:
        """Record and play."""
        if self._work.start(self._echo):
            self._level = ""
            self.button.setEnabled(False)

    def close_threads(self) -> None:
        """Wait for the thread."""
        self._work.close()

    def _echo(self, report: Report, cancelled: threading.Event) -> None:
        report(("recording", ""))
        samples, sample_rate = self._record()
        if cancelled.is_set():
            raise Cancelled
        report(("playing", level_text(samples)))
        self._play(samples, sample_rate, cancelled)

    def _show(self, news: tuple[Stage, str]) -> None:
        stage, level = news
        if stage == "recording":
            self.message.setText(self.tr("Recording: say something…"))
        else:
            self._level = level
            self.message.setText(self.tr("Playing it back… {level}").format(level=level))

    def _end(self, failure: str) -> None:
        self.message.setText(f"{self._level} {failure}".strip())
        self.button.setEnabled(True)
        self.ended.emit()


def level_text(samples: NDArray[np.float32]) -> str:
    """How loud samples in -1...1 are, shape (sample,), and what to do about it, in words."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0:
        return translate("EchoBox", "The microphone delivered zeros only: it is muted, or not allowed.")
    peak_dbfs = 20 * math.log10(peak)
    if peak >= FULL_SCALE:
        words = translate(
            "EchoBox", "Too loud, peak {peak:.0f} dBFS: lower the level in the system's settings."
        )
    elif peak_dbfs < QUIET_DBFS:
        words = translate(
            "EchoBox", "Very quiet, peak {peak:.0f} dBFS: raise the level in the system's settings."
        )
    else:
        words = translate("EchoBox", "A good level, peak {peak:.0f} dBFS.")
    return words.format(peak=peak_dbfs)
