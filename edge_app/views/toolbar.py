"""The two bars above the pages: what is listened to and with what, and how eagerly events are reported."""

from collections.abc import Mapping

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QComboBox, QLabel, QPushButton, QSizePolicy, QToolBar, QWidget

from edge_app.core.bundle import BundleManifest
from edge_app.store.settings import AppSettings
from edge_app.views.live.status import ElidedLabel
from edge_app.views.settings.presets import PRESETS, Preset, preset_of, preset_words, with_preset
from edge_app.views.source_picker import SourcePicker

MODEL_WIDTH = 90


class ListeningBar(QToolBar):
    """Listen, pause, stop; source; model and what runs it."""

    def __init__(self, manifest: BundleManifest, picker: SourcePicker, settings: QAction) -> None:
        super().__init__()
        self.setWindowTitle(self.tr("Listening"))
        self.setMovable(False)
        self.listen_button = QPushButton("● " + self.tr("Listen"))
        self.pause_button = QPushButton()
        self.stop_button = QPushButton("■ " + self.tr("Stop"))
        self._name = manifest.name
        self.model = ElidedLabel(self.tr("Model, and what runs it"))
        self.model.setMinimumWidth(MODEL_WIDTH)
        self.model.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.change = QPushButton(self.tr("Change…"))
        self.change.setToolTip(self.tr("Choose another model, or what runs it, in the settings"))
        self.change.setAccessibleName(self.tr("Change the model, or what runs it"))
        self.change.clicked.connect(settings.trigger)
        self.set_frozen(False)
        self.show_runtime("")
        for part in (self.listen_button, self.pause_button, self.stop_button):
            self.addWidget(part)
        self.addSeparator()
        self.addWidget(caption(self.tr("Source:")))
        self.addWidget(picker)
        self.addSeparator()
        self.addWidget(caption(self.tr("Model:")))
        self.addWidget(self.model)
        self.addWidget(self.change)

    def set_frozen(self, is_frozen: bool) -> None:
        """What the middle button does."""
        words = "▶ " + self.tr("Follow") if is_frozen else "❚❚ " + self.tr("Pause view")
        self.pause_button.setText(words)

    def show_runtime(self, text: str) -> None:
        """What runs the model, as a run says it; why nothing faster does is for the status bar and the settings."""
        used = text.partition(";")[0]
        self.model.show_text(f"{self._name} · {used}" if used else self._name)


class DoingBar(QToolBar):
    """Preset, and two things that are done in a hurry."""

    chosen = pyqtSignal(object)
    """The AppSettings with the thresholds of a preset that was chosen."""

    def __init__(self, manifest: BundleManifest, actions: Mapping[str, QAction]) -> None:
        super().__init__()
        self.setWindowTitle(self.tr("Events"))
        self.setMovable(False)
        self._manifest = manifest
        self._settings = AppSettings()
        self.presets = QComboBox()
        self.presets.setAccessibleName(self.tr("Preset: how readily a sound counts as an event"))
        for preset in PRESETS:
            self.presets.addItem(preset_words(preset)[0], preset)
        self.presets.activated.connect(self._choose)
        self.meaning = caption("")
        self.addWidget(caption(self.tr("Preset:")))
        self.addWidget(self.presets)
        self.addWidget(self.meaning)
        filler = QWidget()
        filler.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.addWidget(filler)
        for name, words in (
            ("save_last", self.tr("Save last 30 s")),
            ("mark", self.tr("Mark")),
            ("export", self.tr("Export…")),
        ):
            self.addWidget(action_button(actions[name], words))

    def show_settings(self, settings: AppSettings) -> None:
        """The settings in force."""
        self._settings = settings
        preset = preset_of(settings, self._manifest)
        self.presets.setCurrentIndex(self.presets.findData(preset))
        self.meaning.setText(preset_words(preset)[1])

    def _choose(self) -> None:
        preset: Preset = self.presets.currentData()
        wanted = with_preset(self._settings, self._manifest, preset)
        if wanted == self._settings:
            self.show_settings(self._settings)
        else:
            self.chosen.emit(wanted)


def action_button(action: QAction, words: str) -> QPushButton:
    """A button that does an action, and can be pressed when the action can."""
    button = QPushButton(words)
    keys = action.shortcut().toString()
    button.setToolTip(f"{action.text()} ({keys})" if keys else action.text())
    button.clicked.connect(action.trigger)
    action.changed.connect(lambda: button.setEnabled(action.isEnabled()))
    button.setEnabled(action.isEnabled())
    return button


def caption(text: str) -> QLabel:
    """A text of less weight."""
    label = QLabel(text)
    label.setProperty("quiet", "true")
    return label
