"""The list of what can be listened to: microphones by name, and recordings."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QToolButton, QWidget

from edge_app.scoring.search import SUFFIXES
from edge_app.store.settings import AppSettings
from edge_app.stream.devices import full_name, input_devices
from edge_app.views.background import Background, Report

RECORDINGS = " ".join(f"*{suffix}" for suffix in SUFFIXES)


@dataclass(frozen=True)
class SourceChoice:
    """One thing to listen to."""

    device_name: str | None = None
    """A microphone's name with its sound interface; None, without a recording: the system's default."""
    recording: Path | None = None
    is_loopback: bool = field(default=False, compare=False)
    """Whether it records what the computer plays."""

    @property
    def text(self) -> str:
        """How it is listed."""
        if self.recording is not None:
            return f"♪ {self.recording.name}"
        if self.device_name is None:
            return "Default microphone"
        return f"{self.device_name} (loopback)" if self.is_loopback else self.device_name

    @property
    def fields(self) -> dict[str, str | None]:
        """The choice as fields of AppSettings; a recording leaves the microphone as it is."""
        if self.recording is not None:
            return {"source": str(self.recording)}
        return {"source": "mic", "device": self.device_name}


def choice_in(settings: AppSettings) -> SourceChoice:
    """What the settings say is listened to."""
    if settings.source == "mic":
        return SourceChoice(settings.device)
    return SourceChoice(recording=Path(settings.source))


SourceLister = Callable[[], Sequence[SourceChoice]]


def microphones() -> list[SourceChoice]:
    """The microphones of this machine, by name, loopbacks last. Raises DeviceError without PortAudio."""
    devices = sorted(input_devices(), key=lambda device: device.is_loopback)
    return [SourceChoice(full_name(device), is_loopback=device.is_loopback) for device in devices]


class SourcePicker(QWidget):
    """A list, and two buttons: look for microphones again, and open a recording."""

    changed = pyqtSignal(object)
    """The SourceChoice that is chosen now."""
    listed = pyqtSignal(object)
    """The microphones that were found, as SourceChoices."""
    failed = pyqtSignal(str)
    """Why microphones could not be listed, in one sentence; an empty text once they have been."""

    def __init__(self, list_sources: SourceLister = microphones, first: SourceChoice | None = None) -> None:
        super().__init__()
        self._list_sources = list_sources
        self._found: Sequence[SourceChoice] = ()
        self._search = Background(self)
        self._search.ended.connect(self._end_search)
        self.choices: list[SourceChoice] = []
        self.box = QComboBox()
        self.box.setAccessibleName(self.tr("Source"))
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(16)
        self.refresh_button = _button("⟳", self.tr("Look for microphones again"))
        self.open_button = _button("…", self.tr("Open a recording"))
        self.refresh_button.clicked.connect(self.refresh)
        self.open_button.clicked.connect(self.ask_for_recording)
        self.box.currentIndexChanged.connect(lambda _: self.changed.emit(self.choice))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for part in (self.box, self.refresh_button, self.open_button):
            row.addWidget(part)
        self._fill([SourceChoice()])
        if first is not None:
            self.choose(first)

    @property
    def choice(self) -> SourceChoice:
        """What is chosen."""
        return self.choices[max(0, self.box.currentIndex())]

    def choose(self, choice: SourceChoice) -> None:
        """Choose a source, listed or not."""
        if choice not in self.choices:
            self.choices.append(choice)
            self.box.addItem(choice.text)
            tip = str(choice.recording or choice.text)
            self.box.setItemData(self.box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.box.setCurrentIndex(self.choices.index(choice))

    def refresh(self) -> None:
        """List the microphones anew; recordings stay."""
        if self._search.start(self._look):
            self.refresh_button.setEnabled(False)

    def offer(self, found: Sequence[SourceChoice]) -> None:
        """List these microphones; recordings stay."""
        recordings = [choice for choice in self.choices if choice.recording is not None]
        self._fill([SourceChoice(), *found, *recordings])

    def finish(self) -> None:
        """Wait for what goes on; nothing is told of it any more."""
        self._search.close(None)

    def ask_for_recording(self) -> None:
        """Let the user pick a file."""
        name, _ = QFileDialog.getOpenFileName(
            self, self.tr("Open a recording"), "", self.tr("Recordings") + f" ({RECORDINGS})"
        )
        if name:
            self.choose(SourceChoice(recording=Path(name)))

    def _look(self, _: Report, __: threading.Event) -> None:
        self._found = self._list_sources()

    def _end_search(self, failure: str) -> None:
        self.refresh_button.setEnabled(True)
        if not failure:
            self.offer(self._found)
            self.listed.emit(self._found)
        self.failed.emit(failure)

    def _fill(self, choices: list[SourceChoice]) -> None:
        """List anew; a microphone that was chosen and is gone stays, for it may come back."""
        chosen = self.choice if self.choices else choices[0]
        self.choices = []
        self.box.blockSignals(True)
        self.box.clear()
        for choice in dict.fromkeys([*choices, chosen]):
            self.choices.append(choice)
            self.box.addItem(choice.text)
        self.box.setCurrentIndex(self.choices.index(chosen))
        self.box.blockSignals(False)


def _button(sign: str, name: str) -> QToolButton:
    button = QToolButton()
    button.setText(sign)
    button.setToolTip(name)
    button.setAccessibleName(name)
    return button
