"""Every setting in one place; what can be changed while listening is, and what it comes to is said in words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from edge_app.core.bundle import BundleManifest
from edge_app.core.errors import BundleError
from edge_app.core.events import FRAME_S
from edge_app.core.runtimes import RUNTIME_NAMES
from edge_app.store.settings import AppSettings
from edge_app.views.engine_build import EngineBuild
from edge_app.views.label_grid import LabelGrid
from edge_app.views.settings_words import choice_of, delay_sentences, warnings, with_choice
from edge_app.views.source_picker import SourceChoice, SourceLister, SourcePicker, microphones

GIGABYTE = 1_000_000_000
AT_RESTART = ("source", "device", "bundle", "runtime", "hop_frames", "history_s")
"""Settings that count from the next start of listening; all others count at once."""

Rows = list[tuple[str, QWidget]]
"""What each control is called, and the control; one without a name has the whole width."""


class SettingsPage(QWidget):
    """Edits AppSettings; every valid edit is told at once.

    `check_bundle` loads a bundle's manifest or raises BundleError; `build_command` compiles an engine, None where
    this machine cannot; `list_sources` gives what can be listened to.
    """

    changed = pyqtSignal(object)
    """The AppSettings in force now."""

    def __init__(
        self,
        manifest: BundleManifest,
        settings: AppSettings,
        check_bundle: Callable[[Path], object],
        build_command: Sequence[str] | None = None,
        list_sources: SourceLister = microphones,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._manifest, self.settings, self._check_bundle = manifest, settings, check_bundle
        self._at_start = settings
        self.labels = LabelGrid(manifest.event_labels, manifest.decoding, self)
        self.labels.changed.connect(self._take_label)
        recording = None if settings.source == "mic" else Path(settings.source)
        self.source = SourcePicker(list_sources, SourceChoice(settings.device, recording))
        self.engine = EngineBuild(build_command, self)
        self._make_controls()
        self._lay_out()
        self._show()
        self._connect()
        self._say()

    def show_runtime(self, text: str) -> None:
        """What runs the model now, and why nothing faster does."""
        self.runtime_text.setText(self.tr("In use: {runtime}").format(runtime=text))

    def mark_started(self) -> None:
        """Listening has begun with the settings as they are."""
        self._at_start = self.settings
        self._say()

    def close_process(self) -> None:
        """End what this page has started."""
        self.engine.close_process()

    def _make_controls(self) -> None:
        self.bundle = QLineEdit(self)
        self.bundle.setPlaceholderText(self.tr("the built-in model"))
        self.bundle.setAccessibleName(self.tr("Folder of the model"))
        self.browse = QPushButton(self.tr("Browse…"), self)
        self.runtime = QComboBox(self)
        self.runtime.addItem(self.tr("the fastest that works (auto)"), "auto")
        for runtime in RUNTIME_NAMES:
            self.runtime.addItem(runtime, runtime)
        self.runtime_text, self.delay, self.warning = QLabel(self), QLabel(self), QLabel(self)
        self.restart = QLabel(self.tr("Counts from the next start of listening."), self)
        self.bundle_error = QLabel(self)
        for label in (self.runtime_text, self.delay, self.warning, self.restart, self.bundle_error):
            label.setWordWrap(True)
        self.warning.setObjectName("banner")
        self.hop = QComboBox(self)
        for frames in self._manifest.hop_frames.allowed:
            self.hop.addItem(self.tr("{seconds:.2f} s").format(seconds=frames * FRAME_S), frames)
        self._make_wishes()

    def _make_wishes(self) -> None:
        self.theme = QComboBox(self)
        themes = (
            ("system", self.tr("as the system")),
            ("dark", self.tr("dark")),
            ("light", self.tr("light")),
        )
        for name, words in themes:
            self.theme.addItem(words, name)
        self.view = _whole(self, 10, 600, 10, self.tr(" s"))
        self.pre_roll = _decimal(self, 0, 20, 0.5, self.tr(" s"))
        self.post_roll = _decimal(self, 0, 20, 0.5, self.tr(" s"))
        self.history = _whole(self, 30, 600, 30, self.tr(" s"))
        self.days = _decimal(self, 1, 3650, 1, self.tr(" days"))
        self.most_size = _decimal(self, 0.01, 10_000, 0.5, self.tr(" GB"))
        self.save_scores = QCheckBox(
            self.tr("Keep the scores, so that other thresholds can be tried on the past"), self
        )

    def _lay_out(self) -> None:
        inside = QWidget(self)
        column = QVBoxLayout(inside)
        for title, rows in self._sections():
            column.addWidget(self._section(title, rows))
        column.addStretch(1)
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.addWidget(self.warning)
        layout.addWidget(area, 1)

    def _sections(self) -> list[tuple[str, Rows]]:
        kept: Rows = [
            (self.tr("Sound before an event"), self.pre_roll),
            (self.tr("Sound after an event"), self.post_roll),
            (self.tr("Sound held in memory"), self.history),
            (self.tr("Events not reviewed are deleted after"), self.days),
            (self.tr("The oldest are deleted beyond"), self.most_size),
            (self.tr("Scores"), self.save_scores),
        ]
        return [
            (self.tr("Listening"), self._listening_rows()),
            (self.tr("Delay"), [("", self.delay)]),
            (self.tr("Labels"), [("", self.labels)]),
            (self.tr("What is kept"), kept),
            (self.tr("Look"), [(self.tr("Colours"), self.theme), (self.tr("Time shown"), self.view)]),
        ]

    def _listening_rows(self) -> Rows:
        folder = QWidget(self)
        line = QHBoxLayout(folder)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.bundle, 1)
        line.addWidget(self.browse)
        return [
            (self.tr("Source"), self.source),
            (self.tr("Model"), folder),
            ("", self.bundle_error),
            (self.tr("Runs on"), self.runtime),
            ("", self.runtime_text),
            (self.tr("GPU engine"), self.engine),
            (self.tr("Step"), self.hop),
            ("", self.restart),
        ]

    def _section(self, title: str, rows: Rows) -> QGroupBox:
        box = QGroupBox(title, self)
        form = QFormLayout(box)
        for words, widget in rows:
            if words:
                form.addRow(words, widget)
                if not widget.accessibleName():
                    widget.setAccessibleName(words)
            else:
                form.addRow(widget)
        return box

    def _show(self) -> None:
        kept = self.settings
        self.bundle.setText(kept.bundle or "")
        self.bundle_error.hide()
        self.runtime.setCurrentIndex(self.runtime.findData(kept.runtime))
        self.hop.setCurrentIndex(self.hop.findData(kept.hop_frames or self._manifest.hop_frames.default))
        self.theme.setCurrentIndex(self.theme.findData(kept.theme))
        self.view.setValue(kept.view_s)
        self.pre_roll.setValue(kept.pre_roll_s)
        self.post_roll.setValue(kept.post_roll_s)
        self.history.setValue(kept.history_s)
        self.days.setValue(kept.retention_days)
        self.most_size.setValue(kept.retention_bytes / GIGABYTE)
        self.save_scores.setChecked(kept.save_scores)
        own = self._manifest.decoding
        self.labels.show_choices({label: choice_of(kept, label, own[label]) for label in own})

    def _connect(self) -> None:
        self.browse.clicked.connect(self._ask_bundle)
        self.bundle.editingFinished.connect(self._take_bundle)
        self.source.changed.connect(self._take_source)
        self.runtime.currentIndexChanged.connect(lambda _: self._set(runtime=self.runtime.currentData()))
        self.hop.currentIndexChanged.connect(lambda _: self._set(hop_frames=self.hop.currentData()))
        self.theme.currentIndexChanged.connect(lambda _: self._set(theme=self.theme.currentData()))
        self.view.valueChanged.connect(lambda seconds: self._set(view_s=seconds))
        self.pre_roll.valueChanged.connect(lambda seconds: self._set(pre_roll_s=seconds))
        self.post_roll.valueChanged.connect(lambda seconds: self._set(post_roll_s=seconds))
        self.history.valueChanged.connect(lambda seconds: self._set(history_s=seconds))
        self.days.valueChanged.connect(lambda days: self._set(retention_days=days))
        self.most_size.valueChanged.connect(lambda size: self._set(retention_bytes=round(size * GIGABYTE)))
        self.save_scores.toggled.connect(lambda on: self._set(save_scores=on))

    def _set(self, **fields: Any) -> None:
        self._take(AppSettings.model_validate({**self.settings.model_dump(), **fields}))

    def _take(self, settings: AppSettings) -> None:
        if settings == self.settings:
            return
        self.settings = settings
        self._say()
        self.changed.emit(settings)

    def _take_label(self, label: str) -> None:
        choice = self.labels.rows[label].choice()
        self._take(with_choice(self.settings, label, choice, self._manifest.decoding[label]))

    def _take_source(self, choice: SourceChoice) -> None:
        source = str(choice.recording) if choice.recording else "mic"
        self._set(source=source, device=choice.device_name)

    def _ask_bundle(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self.tr("Folder of a model"), self.bundle.text())
        if name:
            self.bundle.setText(name)
            self._take_bundle()

    def _take_bundle(self) -> None:
        folder = self.bundle.text().strip()
        try:
            if folder:
                self._check_bundle(Path(folder))
        except BundleError as error:
            self.bundle_error.setText(str(error))
            self.bundle_error.show()
            return
        self.bundle_error.hide()
        self._set(bundle=folder or None)

    def _say(self) -> None:
        self.delay.setText("\n".join(delay_sentences(self._manifest, self.settings)))
        found = warnings(self._manifest, self.settings)
        self.warning.setText("\n".join(found))
        self.warning.setVisible(bool(found))
        waits = any(getattr(self.settings, name) != getattr(self._at_start, name) for name in AT_RESTART)
        self.restart.setVisible(waits)


def _whole(parent: QWidget, low: int, high: int, step: int, unit: str) -> QSpinBox:
    box = QSpinBox(parent)
    box.setRange(low, high)
    _finish(box, step, unit)
    return box


def _decimal(parent: QWidget, low: float, high: float, step: float, unit: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(parent)
    box.setRange(low, high)
    box.setDecimals(2 if high > 1000 and low < 1 else 1)
    _finish(box, step, unit)
    return box


def _finish(box: Any, step: float, unit: str) -> None:
    box.setSingleStep(step)
    box.setSuffix(unit)
    box.setKeyboardTracking(False)  # a number counts once it is typed to its end
    box.setMaximumWidth(160)
