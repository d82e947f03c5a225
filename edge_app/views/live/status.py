"""The status bar: state, delay, and how well the analysis keeps up."""

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QResizeEvent
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QWidget

from edge_app.core.delay import AlgorithmicDelay
from edge_app.stream.microphone import State
from edge_app.stream.snapshot import Snapshot
from edge_app.stream.stamps import Percentiles

EVERY = 10  # snapshots: numbers that change thirty times a second cannot be read
STATE_SIGNS: dict[State, str] = {
    "stopped": "■ stopped",
    "opening": "… opening",
    "running": "● listening",
    "stalled": "▲ no sound",
    "reconnecting": "↻ reconnecting",
    "failed": "✖ failed",
}


class StatusRow(QWidget):
    """One line of small texts; the last one gives way where there is no space."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._snapshots = 0
        self._computed: AlgorithmicDelay | None = None
        self._state = _field(self.tr("State"))
        self._delay = _field(self.tr("Delay from a sound to its mark on the screen"))
        self._health = _field(self.tr("How well the analysis keeps up"))
        self._runtime = ElidedLabel(self.tr("What runs the model"))
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 2, 8, 2)
        row.setSpacing(10)
        for i, label in enumerate((self._state, self._delay, self._health)):
            if i:
                row.addWidget(_separator())
            row.addWidget(label)
        row.addWidget(_separator())
        row.addWidget(self._runtime, stretch=1)
        self.show_state("stopped")

    def show_state(self, state: State) -> None:
        """Say whether it listens."""
        _set_text(self._state, STATE_SIGNS[state])

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Take a snapshot; numbers change a few times a second, the state at once."""
        is_new_state = _set_text(self._state, STATE_SIGNS[snapshot.state])
        if is_new_state or self._snapshots % EVERY == 0:
            _set_text(self._delay, delay_text(snapshot, self._computed))
            self._delay.setToolTip(self._delay_sentence())
            _set_text(self._health, health_text(snapshot))
            self._runtime.show_text(snapshot.runtime_text)
        self._snapshots += 1

    def restart(self) -> None:
        """Another run begins: its first snapshot is shown at once."""
        self._snapshots = 0

    def set_delay(self, computed: AlgorithmicDelay | None) -> None:
        """The delay that the settings make."""
        self._computed = computed

    def _delay_sentence(self) -> str:
        words = self.tr(
            "From the onset of a sound to its first mark on the screen, which may be a guess from unfiltered scores, "
            "and to its confirmed event, painting included: median / 95th percentile, and in brackets the most that "
            "the settings alone make."
        )
        return " ".join([words, *(self._computed.sentences() if self._computed else [])])

    def texts(self) -> tuple[str, ...]:
        """What is written, from left to right."""
        return self._state.text(), self._delay.text(), self._health.text(), self._runtime.whole_text


class ElidedLabel(QLabel):
    """A text that is cut with an ellipsis where it does not fit; the whole is its tool tip."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.whole_text = ""
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_text(self, text: str) -> None:
        """Write a text."""
        if text != self.whole_text:
            self.whole_text = text
            self.setToolTip(text)
            self._elide()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Cut anew."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        metrics = self.fontMetrics()
        self.setText(metrics.elidedText(self.whole_text, Qt.TextElideMode.ElideRight, self.width()))


def delay_text(snapshot: Snapshot, computed: AlgorithmicDelay | None) -> str:
    """Measured delays, median and 95th percentile, beside the most that the settings alone make.

    The first mark of an event is a guess where one was drawn before it.
    """
    first_ms, confirmed_ms = worst_ms(computed) if computed else (None, None)
    return (
        f"delay s: first mark {_figures(snapshot.latency.provisional, first_ms)} · "
        f"confirmed {_figures(snapshot.latency.confirmed, confirmed_ms)}"
    )


def worst_ms(computed: AlgorithmicDelay) -> tuple[float, float]:
    """The most that the settings delay the first mark and a confirmed event of any label, in milliseconds.

    The first mark is a guess, drawn at the latest when the scores of the onset are final.
    """
    return (
        computed.scored.most_ms,
        max(label.confirmed.most_ms for label in computed.labels),
    )


def _figures(measured: Percentiles | None, most_ms: float | None) -> str:
    figures = "–" if measured is None else f"{measured.p50_s:.2f}/{measured.p95_s:.2f}"
    return figures if most_ms is None else f"{figures} (≤ {most_ms / 1000:.2f})"


def health_text(snapshot: Snapshot) -> str:
    """How well the analysis keeps up, in one line."""
    summary = snapshot.summary
    factor, overflows = (summary.real_time_factor, summary.overflows) if summary else (0.0, 0)
    return (
        f"RTF {factor:.3f} · queue {snapshot.pulse.queue_depth} · overflows {overflows} · "
        f"not analysed {snapshot.not_analysed_s:.1f} s"
    )


def _field(name: str) -> QLabel:
    label = QLabel()
    label.setAccessibleName(name)
    return label


def _separator() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.VLine)
    return line


def _set_text(label: QLabel, text: str) -> bool:
    """Write what has changed, for writing lays the row out again; whether it has."""
    has_changed = label.text() != text
    if has_changed:
        label.setText(text)
    return has_changed
