"""Every setting in one place; what can be changed while listening is, and what it comes to is said in words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from edge_app.core.bundle import BundleManifest
from edge_app.core.errors import BundleError
from edge_app.core.events import FRAME_S
from edge_app.core.runtimes import RUNTIME_NAMES
from edge_app.store.settings import AppSettings
from edge_app.views.settings.engine_build import EngineBuild
from edge_app.views.settings.keeping_box import KeepingBox, whole_box
from edge_app.views.settings.label_grid import LabelGrid
from edge_app.views.settings.presets import PRESETS, preset_of, preset_words, with_preset
from edge_app.views.settings.settings_words import choice_of, delay_sentences, warnings, with_choice
from edge_app.views.source_picker import (
    SourceChoice,
    SourceLister,
    SourcePicker,
    choice_in,
    microphones,
)

AT_RESTART = ("source", "device", "bundle", "runtime", "hop_frames", "history_s", "records_sound")
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
        self._is_showing = False
        self.labels = LabelGrid(manifest.event_labels, manifest.decoding, self)
        self.labels.changed.connect(self._take_label)
        self.source = SourcePicker(list_sources, choice_in(settings))
        self.keeping = KeepingBox(self)
        self.engine = EngineBuild(build_command, self)
        self._make_controls()
        self._lay_out()
        self._show()
        self._connect()
        self._say()

    def show_settings(self, settings: AppSettings) -> None:
        """Show settings that were changed elsewhere; nothing is told."""
        self.settings = settings
        self._show()
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
        self.source.finish()

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
        self.view = whole_box(self, 10, 600, 10, self.tr(" s"))
        self.resumes = QCheckBox(self.tr("Listen at once when the program starts"), self)
        self.preset = QComboBox(self)
        for place, preset in enumerate(PRESETS):
            name, explanation = preset_words(preset)
            self.preset.addItem(f"{name}: {explanation}", preset)
            self.preset.setItemData(place, explanation, Qt.ItemDataRole.ToolTipRole)

    def _lay_out(self) -> None:
        inside = QWidget(self)
        column = QVBoxLayout(inside)
        for section in self._sections():
            column.addWidget(section)
        column.addStretch(1)
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.addWidget(self.warning)
        layout.addWidget(area, 1)

    def _sections(self) -> list[QGroupBox]:
        labels: Rows = [(self.tr("Thresholds"), self.preset), ("", self.labels)]
        look: Rows = [(self.tr("Colours"), self.theme), (self.tr("Time shown"), self.view)]
        return [
            self._section(self.tr("Listening"), self._listening_rows()),
            self._section(self.tr("Delay"), [("", self.delay)]),
            self._section(self.tr("Labels"), labels),
            self.keeping,
            self._section(self.tr("Look"), look),
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
            (self.tr("At the start"), self.resumes),
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
        self._is_showing = True
        kept = self.settings
        self.source.choose(choice_in(kept))
        self.bundle.setText(kept.bundle or "")
        self.bundle_error.hide()
        self.runtime.setCurrentIndex(self.runtime.findData(kept.runtime))
        self.hop.setCurrentIndex(self.hop.findData(kept.hop_frames or self._manifest.hop_frames.default))
        self.theme.setCurrentIndex(self.theme.findData(kept.theme))
        self.view.setValue(kept.view_s)
        self.resumes.setChecked(kept.resumes)
        self.keeping.show_settings(kept)
        own = self._manifest.decoding
        self.labels.show_choices({label: choice_of(kept, label, own[label]) for label in own})
        self._show_preset()
        self._is_showing = False

    def _show_preset(self) -> None:
        is_showing, self._is_showing = self._is_showing, True
        self.preset.setCurrentIndex(self.preset.findData(preset_of(self.settings, self._manifest)))
        self._is_showing = is_showing

    def _connect(self) -> None:
        self.browse.clicked.connect(self._ask_bundle)
        self.bundle.editingFinished.connect(self._take_bundle)
        self.source.changed.connect(self._take_source)
        self.runtime.currentIndexChanged.connect(lambda _: self._set(runtime=self.runtime.currentData()))
        self.hop.currentIndexChanged.connect(lambda _: self._set(hop_frames=self.hop.currentData()))
        self.theme.currentIndexChanged.connect(lambda _: self._set(theme=self.theme.currentData()))
        self.view.valueChanged.connect(lambda seconds: self._set(view_s=seconds))
        self.resumes.toggled.connect(lambda on: self._set(resumes=on))
        self.keeping.changed.connect(lambda fields: self._set(**fields))
        self.preset.currentIndexChanged.connect(lambda _: self._take_preset())

    def _set(self, **fields: Any) -> None:
        if self._is_showing:
            return
        self._take(AppSettings.model_validate({**self.settings.model_dump(), **fields}))

    def _take(self, settings: AppSettings) -> None:
        if settings == self.settings or self._is_showing:
            return
        self.settings = settings
        self._show_preset()
        self._say()
        self.changed.emit(settings)

    def _take_label(self, label: str) -> None:
        choice = self.labels.rows[label].choice()
        self._take(with_choice(self.settings, label, choice, self._manifest.decoding[label]))

    def _take_preset(self) -> None:
        settings = with_preset(self.settings, self._manifest, self.preset.currentData())
        if not self._is_showing and settings != self.settings:
            own = self._manifest.decoding
            self.labels.show_choices({label: choice_of(settings, label, own[label]) for label in own})
            self._take(settings)
        self._show_preset()  # `own` is where hands lead, and cannot be chosen

    def _take_source(self, choice: SourceChoice) -> None:
        self._set(**choice.fields)

    def _ask_bundle(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self.tr("Folder of a model"), self.bundle.text())
        if name:
            self.bundle.setText(name)
            self._take_bundle()

    def _take_bundle(self) -> None:
        folder = self.bundle.text().strip()
        try:
            if folder and folder != self.settings.bundle:  # looking at it takes time
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
