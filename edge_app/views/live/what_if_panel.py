"""Other thresholds, tried on what was heard: a slider a label, and what each would change."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from PyQt6.QtCore import QCoreApplication, Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from edge_app.core.decode import LabelDecoding
from edge_app.stream.what_if import WhatIf

translate = QCoreApplication.translate
STEPS = 100
"""Steps of a slider from 0 to 1; the first and the last are no thresholds."""
LEAST_OFF = 0.01


def with_threshold(own: LabelDecoding, threshold_on: float) -> LabelDecoding:
    """The same decoding with another threshold; the one for the end keeps its distance."""
    off = max(own.off + threshold_on - own.threshold_on, min(LEAST_OFF, own.off))
    return own.model_copy(
        update={"threshold_on": threshold_on, "threshold_off": round(min(off, threshold_on), 6)}
    )


class WhatIfRow:
    """The slider of one label."""

    def __init__(self, panel: "WhatIfPanel", label: str) -> None:
        name = label.replace("_", " ")
        self.name = QLabel(name, panel)
        self.slider = QSlider(Qt.Orientation.Horizontal, panel)
        self.slider.setRange(1, STEPS - 1)
        self.slider.setPageStep(5)
        self.slider.setMinimumWidth(90)
        self.slider.setAccessibleName(
            translate("WhatIfPanel", "Threshold tried for {label}").format(label=name)
        )
        self.value, self.found = QLabel(panel), QLabel(panel)
        self.found.setAccessibleName(translate("WhatIfPanel", "Events of {label}").format(label=name))


class WhatIfPanel(QWidget):
    """Sliders begin at the `decoding` in force, and the settings stay as they are until "Use these".

    Labels outside `enabled` are off and have no slider to move; all are on without it.
    """

    changed = pyqtSignal(object)
    """The decoding that is tried, dict[str, LabelDecoding], at every move."""
    used = pyqtSignal(object)
    """The decoding that is wanted from now on, dict[str, LabelDecoding]."""
    left = pyqtSignal()
    """Back to the settings in force: nothing is tried any more."""

    def __init__(
        self,
        event_labels: Sequence[str],
        decoding: Mapping[str, LabelDecoding],
        enabled: Collection[str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._is_showing = False
        self._in_force: dict[str, LabelDecoding] = {}
        self._tried: dict[str, LabelDecoding] = {}
        self.enabled: frozenset[str] = frozenset(event_labels)
        self.rows = {label: WhatIfRow(self, label) for label in event_labels}
        self._lay_out()
        for label, row in self.rows.items():
            row.slider.valueChanged.connect(lambda step, label=label: self._take(label, step / STEPS))
        self.set_decoding(decoding, enabled)

    @property
    def decoding(self) -> dict[str, LabelDecoding]:
        """What is tried; what is in force where nothing is."""
        return {**self._in_force, **self._tried}

    @property
    def in_force(self) -> dict[str, LabelDecoding]:
        """What the settings say."""
        return dict(self._in_force)

    @property
    def is_trying(self) -> bool:
        """Whether a slider stands elsewhere than the settings."""
        return self.decoding != self._in_force

    def set_decoding(
        self, decoding: Mapping[str, LabelDecoding], enabled: Collection[str] | None = None
    ) -> None:
        """What is in force from now on; what was tried is forgotten, and nothing is told."""
        self._in_force = {label: decoding[label] for label in self.rows}
        self.enabled = frozenset(self.rows if enabled is None else enabled)
        self._tried = {}
        self._is_showing = True
        for label, row in self.rows.items():
            row.slider.setValue(round(decoding[label].threshold_on * STEPS))
            row.slider.setEnabled(label in self.enabled)
        self._is_showing = False
        self._show()

    def show_result(self, found: WhatIf, before: WhatIf | None = None) -> None:
        """Say what was found of each label, beside what the settings in force find."""
        events = Counter(event.event_label for event in found.events)
        misses = Counter(miss.event_label for miss in found.near_misses)
        former = Counter(event.event_label for event in before.events) if before else events
        for label, row in self.rows.items():
            row.found.setText(_found_text(events[label], former[label], misses[label]))

    def go_back(self) -> None:
        """Try nothing any more."""
        self.set_decoding(self._in_force, self.enabled)
        self.left.emit()

    def _take(self, label: str, threshold_on: float) -> None:
        if self._is_showing:
            return
        own = self._in_force[label]
        at_rest = round(own.threshold_on * STEPS) == round(threshold_on * STEPS)
        self._tried[label] = own if at_rest else with_threshold(own, threshold_on)
        self._show()
        self.changed.emit(self.decoding)

    def _use(self) -> None:
        wanted = self.decoding
        self.set_decoding(wanted, self.enabled)
        self.used.emit(wanted)

    def _show(self) -> None:
        for label, row in self.rows.items():
            own, tried = self._in_force[label], self.decoding[label]
            row.value.setText(
                self.tr("{tried:.2f} (now {own:.2f})").format(tried=tried.threshold_on, own=own.threshold_on)
                if tried != own
                else f"{own.threshold_on:.2f}"
            )
            row.value.setToolTip(self.tr("An event ends below {off:.2f}").format(off=tried.off))
        for button in (self.use, self.back):
            button.setEnabled(self.is_trying)

    def _lay_out(self) -> None:
        words = self.tr(
            "Move a slider to see what another threshold would have found. The settings stay as they are "
            "until you use these."
        )
        self.explanation = QLabel(words, self)
        self.explanation.setWordWrap(True)
        self.use = QPushButton(self.tr("Use these"), self)
        self.use.setAccessibleName(self.tr("Use these thresholds from now on"))
        self.use.clicked.connect(self._use)
        self.back = QPushButton(self.tr("Back"), self)
        self.back.setAccessibleName(self.tr("Back to the thresholds in force"))
        self.back.clicked.connect(self.go_back)
        bar = QHBoxLayout()
        bar.addWidget(self.explanation, 1)
        bar.addWidget(self.back)
        bar.addWidget(self.use)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(bar)
        layout.addWidget(self._slider_area(), 1)

    def _slider_area(self) -> QScrollArea:
        inside = QWidget(self)
        grid = QGridLayout(inside)
        grid.setColumnStretch(1, 1)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(2)
        grid.setAlignment(Qt.AlignmentFlag.AlignTop)
        for place, row in enumerate(self.rows.values()):
            for column, widget in enumerate((row.name, row.slider, row.value, row.found)):
                grid.addWidget(widget, place, column)
        for column, widest in ((2, self.tr("{tried:.2f} (now {own:.2f})")), (3, _found_text(888, 88, 88))):
            text = widest.format(tried=0.0, own=0.0)
            grid.setColumnMinimumWidth(column, self.fontMetrics().horizontalAdvance(text))
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(inside)
        return area


def _found_text(events: int, former: int, misses: int) -> str:
    text = (
        translate("WhatIfPanel", "1 event") if events == 1 else translate("WhatIfPanel", "{events} events")
    ).format(events=events)
    if events != former:
        text += translate("WhatIfPanel", " (now {former})").format(former=former)
    if misses:
        text += translate("WhatIfPanel", ", nearly {misses}").format(misses=misses)
    return text
