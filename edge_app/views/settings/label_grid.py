"""One row a label: whether it is listened for, how its scores become events, whether its sound is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PyQt6.QtCore import QCoreApplication, pyqtSignal
from PyQt6.QtWidgets import QCheckBox, QDoubleSpinBox, QGridLayout, QLabel, QPushButton, QSpinBox, QWidget

from edge_app.core.decode import LabelDecoding

translate = QCoreApplication.translate
MOST_MEDIAN_FRAMES = 151
LONGEST_MIN_S = 30.0
FRAME_STEP_S = 0.02


@dataclass(frozen=True)
class LabelChoice:
    """What a user wants of a label."""

    enabled: bool
    decoding: LabelDecoding
    save_audio: bool


class LabelRow:
    """The controls of one label."""

    def __init__(self, grid: "LabelGrid", label: str) -> None:
        self.label = label
        name = label.replace("_", " ")
        self.enabled = QCheckBox(name, grid)
        self.median = QSpinBox(grid)
        self.median.setRange(1, MOST_MEDIAN_FRAMES)
        self.median.setSingleStep(2)
        self.threshold_on = _decimal(grid, 0.01, 0.99, 0.05)
        self.threshold_off = _decimal(grid, 0.01, 0.99, 0.05)
        self.min_on = _decimal(grid, 0, LONGEST_MIN_S, FRAME_STEP_S)
        self.min_off = _decimal(grid, 0, LONGEST_MIN_S, FRAME_STEP_S)
        for seconds in (self.min_on, self.min_off):
            seconds.setSuffix(translate("LabelGrid", " s"))
        self.save_audio = QCheckBox(grid)
        self.reset = QPushButton(translate("LabelGrid", "Reset"), grid)
        for control, words in self._names().items():
            control.setAccessibleName(words.format(label=name))

    def _names(self) -> dict[QWidget, str]:
        return {
            self.enabled: translate("LabelGrid", "Listen for {label}"),
            self.threshold_on: translate("LabelGrid", "Threshold of {label}"),
            self.threshold_off: translate("LabelGrid", "Ending threshold of {label}"),
            self.median: translate("LabelGrid", "Median filter of {label}, frames"),
            self.min_on: translate("LabelGrid", "Least length of {label}"),
            self.min_off: translate("LabelGrid", "Least pause of {label}"),
            self.save_audio: translate("LabelGrid", "Keep the sound of {label}"),
            self.reset: translate("LabelGrid", "The model's own settings for {label}"),
        }

    @property
    def numbers(self) -> tuple[QDoubleSpinBox | QSpinBox, ...]:
        """Those that say how scores become events, in order."""
        return (self.threshold_on, self.threshold_off, self.median, self.min_on, self.min_off)

    def show(self, choice: LabelChoice) -> None:
        """Show a choice."""
        rules = choice.decoding
        self.enabled.setChecked(choice.enabled)
        self.save_audio.setChecked(choice.save_audio)
        self.threshold_on.setValue(rules.threshold_on)
        self.threshold_off.setMaximum(rules.threshold_on)
        self.threshold_off.setValue(rules.off)
        self.median.setValue(rules.median_frames)
        self.min_on.setValue(rules.min_on_s)
        self.min_off.setValue(rules.min_off_s)
        for control in self.numbers:
            control.setEnabled(choice.enabled)

    def choice(self) -> LabelChoice:
        """What the controls say; an even median counts as the next odd one, which is in the middle of its frames."""
        decoding = LabelDecoding(
            threshold_on=round(self.threshold_on.value(), 2),
            threshold_off=min(round(self.threshold_off.value(), 2), round(self.threshold_on.value(), 2)),
            median_frames=self.median.value() | 1,
            min_on_s=round(self.min_on.value(), 2),
            min_off_s=round(self.min_off.value(), 2),
        )
        return LabelChoice(self.enabled.isChecked(), decoding, self.save_audio.isChecked())


class LabelGrid(QWidget):
    """Edits what each label's events are; `own` is the model's own decoding, which Reset brings back."""

    changed = pyqtSignal(str)
    """The label whose choice is another one now."""

    def __init__(
        self, event_labels: Sequence[str], own: Mapping[str, LabelDecoding], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._own = dict(own)
        self._is_showing = False
        self.rows = {label: LabelRow(self, label) for label in event_labels}
        grid = QGridLayout(self)
        for column, (title, explanation) in enumerate(self._titles()):
            heading = QLabel(title, self)
            heading.setToolTip(explanation)
            grid.addWidget(heading, 0, column)
        for place, row in enumerate(self.rows.values(), start=1):
            controls = (row.enabled, *row.numbers, row.save_audio, row.reset)
            for column, control in enumerate(controls):
                control.setToolTip(control.toolTip() or self._titles()[column][1])
                grid.addWidget(control, place, column)
            self._connect(row)
        grid.setColumnStretch(
            len(self._titles()), 1
        )  # what is left is no space between a name and its numbers

    def show_choices(self, choices: Mapping[str, LabelChoice]) -> None:
        """Show choices without telling that they changed."""
        self._is_showing = True
        for label, choice in choices.items():
            if label in self.rows:
                self.rows[label].show(choice)
        self._is_showing = False

    def choices(self) -> dict[str, LabelChoice]:
        """What the controls say, by label."""
        return {label: row.choice() for label, row in self.rows.items()}

    def set_threshold(self, label: str, threshold_on: float) -> None:
        """Move a label's threshold, and its ending threshold by as much."""
        row = self.rows[label]
        distance = row.threshold_on.value() - row.threshold_off.value()
        row.threshold_on.setValue(threshold_on)
        row.threshold_off.setValue(row.threshold_on.value() - distance)

    def _titles(self) -> list[tuple[str, str]]:
        return [
            (self.tr("Label"), self.tr("Listen for this label, or not at all")),
            (self.tr("Threshold"), self.tr("An event begins where the filtered score is at or above this")),
            (
                self.tr("Ends below"),
                self.tr("It lasts to the last moment at or above this; at most the threshold"),
            ),
            (
                self.tr("Median"),
                self.tr("Width of the filter over the scores, in frames of 20 ms, odd: steadier, later"),
            ),
            (
                self.tr("Least length"),
                self.tr("Shorter events are dropped; an event is confirmed once it is this long"),
            ),
            (self.tr("Least pause"), self.tr("Events with a shorter pause between them are one event")),
            (
                self.tr("Keep sound"),
                self.tr("Save the sound of each event, with the seconds before and after it"),
            ),
            ("", self.tr("Take the model's own settings again")),
        ]

    def _connect(self, row: LabelRow) -> None:
        for box in (row.enabled, row.save_audio):
            box.toggled.connect(lambda _on, row=row: self._tell(row))
        for number in row.numbers:
            number.valueChanged.connect(lambda _value, row=row: self._tell(row))
        row.reset.clicked.connect(lambda _on, row=row: self._reset(row))

    def _reset(self, row: LabelRow) -> None:
        choice = row.choice()
        self.show_choices({row.label: LabelChoice(choice.enabled, self._own[row.label], choice.save_audio)})
        self.changed.emit(row.label)

    def _tell(self, row: LabelRow) -> None:
        if self._is_showing:
            return
        row.threshold_off.setMaximum(row.threshold_on.value())
        for control in row.numbers:
            control.setEnabled(row.enabled.isChecked())
        self.changed.emit(row.label)


def _decimal(parent: QWidget, low: float, high: float, step: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox(parent)
    box.setRange(low, high)
    box.setSingleStep(step)
    box.setDecimals(2)
    return box
