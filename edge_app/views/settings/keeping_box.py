"""The part of the settings that says what is kept of what is heard, and for how long."""

from typing import Any

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QGroupBox, QSpinBox, QWidget

from edge_app.store.settings import AppSettings

GIGABYTE = 1_000_000_000


class KeepingBox(QGroupBox):
    """Edits what AppSettings says of clips, recordings, scores and how long they stay."""

    changed = pyqtSignal(object)
    """Fields of AppSettings that are other ones now, dict[str, value]."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTitle(self.tr("What is kept"))
        self._is_showing = False
        self.pre_roll = decimal_box(self, 0, 20, 0.5, self.tr(" s"))
        self.post_roll = decimal_box(self, 0, 20, 0.5, self.tr(" s"))
        self.history = whole_box(self, 30, 600, 30, self.tr(" s"))
        self.days = decimal_box(self, 1, 3650, 1, self.tr(" days"))
        self.most_size = decimal_box(self, 0.01, 10_000, 0.5, self.tr(" GB"))
        self.save_scores = QCheckBox(
            self.tr("Keep the scores, so that other thresholds can be tried on the past"), self
        )
        self.records_sound = QCheckBox(
            self.tr("Record each session whole (about 60 MB an hour), so that it can be replayed"), self
        )
        self.records_sound.setToolTip(
            self.tr("Everything that is said in the room is kept on this computer until it is deleted.")
        )
        self._lay_out()
        self._connect()

    def show_settings(self, settings: AppSettings) -> None:
        """Show settings without telling that they changed."""
        self._is_showing = True
        self.pre_roll.setValue(settings.pre_roll_s)
        self.post_roll.setValue(settings.post_roll_s)
        self.history.setValue(settings.history_s)
        self.days.setValue(settings.retention_days)
        self.most_size.setValue(settings.retention_bytes / GIGABYTE)
        self.save_scores.setChecked(settings.save_scores)
        self.records_sound.setChecked(settings.records_sound)
        self._is_showing = False

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        rows: list[tuple[str, QWidget]] = [
            (self.tr("Sound before an event"), self.pre_roll),
            (self.tr("Sound after an event"), self.post_roll),
            (self.tr("Sound held in memory"), self.history),
            (self.tr("Events not reviewed are deleted after"), self.days),
            (self.tr("The oldest are deleted beyond"), self.most_size),
            (self.tr("Scores"), self.save_scores),
            (self.tr("Whole sessions"), self.records_sound),
        ]
        for words, widget in rows:
            form.addRow(words, widget)
            widget.setAccessibleName(words)

    def _connect(self) -> None:
        self.pre_roll.valueChanged.connect(lambda seconds: self._tell(pre_roll_s=seconds))
        self.post_roll.valueChanged.connect(lambda seconds: self._tell(post_roll_s=seconds))
        self.history.valueChanged.connect(lambda seconds: self._tell(history_s=seconds))
        self.days.valueChanged.connect(lambda days: self._tell(retention_days=days))
        self.most_size.valueChanged.connect(lambda size: self._tell(retention_bytes=round(size * GIGABYTE)))
        self.save_scores.toggled.connect(lambda on: self._tell(save_scores=on))
        self.records_sound.toggled.connect(lambda on: self._tell(records_sound=on))

    def _tell(self, **fields: Any) -> None:
        if not self._is_showing:
            self.changed.emit(fields)


def whole_box(parent: QWidget, low: int, high: int, step: int, unit: str) -> QSpinBox:
    """A box for a whole number."""
    box = QSpinBox(parent)
    box.setRange(low, high)
    box.setSingleStep(step)
    _finish(box, unit)
    return box


def decimal_box(parent: QWidget, low: float, high: float, step: float, unit: str) -> QDoubleSpinBox:
    """A box for a number with decimals."""
    box = QDoubleSpinBox(parent)
    box.setRange(low, high)
    box.setDecimals(2 if high > 1000 and low < 1 else 1)
    box.setSingleStep(step)
    _finish(box, unit)
    return box


def _finish(box: QSpinBox | QDoubleSpinBox, unit: str) -> None:
    box.setSuffix(unit)
    box.setKeyboardTracking(False)  # a number counts once it is typed to its end
    box.setMaximumWidth(160)
