"""The first look: whether model, sound input and microphone are there, and how loud it is."""

import threading
from collections.abc import Callable, Iterable
from typing import Literal, Protocol

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from edge_app.views.background import Background, Cancelled, Report
from edge_app.views.history.clip_player import Play, play_sound
from edge_app.views.settings.echo import EchoBox, Record, record_from

Status = Literal["ok", "note", "warning", "failure"]


class Check(Protocol):
    """One row of the look."""

    @property
    def subject(self) -> str:
        """What was looked at."""

    @property
    def status(self) -> Status:
        """How it is."""

    @property
    def found(self) -> str:
        """What there is."""

    @property
    def advice(self) -> str:
        """What to do about it; empty where nothing is wrong."""


class FirstRunPage(QWidget):
    """`look` gives the checks one by one and runs beside the window, for it records a second of sound.

    `record` and `play` are what the echo records and plays with.
    """

    finished = pyqtSignal()
    """The user goes on to the program."""
    looked = pyqtSignal()
    """All checks are shown."""

    def __init__(
        self,
        look: Callable[[], Iterable[Check]],
        record: Record = record_from,
        play: Play = play_sound,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._look = look
        self.echo = EchoBox(record, play, self)
        self.checks: list[Check] = []
        self._work = Background(self)
        self._work.reported.connect(self._show)
        self._work.ended.connect(self._end)
        self._make_controls()

    @property
    def is_fit(self) -> bool:
        """Whether nothing that detection needs is missing, by the checks that are shown."""
        return not any(check.status == "failure" for check in self.checks)

    def start(self) -> None:
        """Look, from the beginning."""
        if self._work.is_running:
            return
        self._clear()
        self.verdict.setText(self.tr("Looking… make a sound, so that the microphone has something to hear."))
        self.again.setEnabled(False)
        self._work.start(self._look_through)

    def close_threads(self) -> None:
        """End the threads of this page, after the check that it is at."""
        self._work.close()
        self.echo.close_threads()

    def _look_through(self, report: Report, cancelled: threading.Event) -> None:
        for check in self._look():
            if cancelled.is_set():
                raise Cancelled
            report(check)

    def _make_controls(self) -> None:
        privacy = QLabel(
            self.tr(
                "Everything stays on this computer: nothing is sent anywhere, and no sound is kept unless the "
                "settings ask for it, label by label or for whole sessions."
            ),
            self,
        )
        privacy.setWordWrap(True)
        self.verdict = QLabel(self)
        self.verdict.setWordWrap(True)
        self.verdict.setAccessibleName(self.tr("Whether detection can run"))
        self.again = QPushButton(self.tr("Look again"), self)
        self.again.setAccessibleName(self.tr("Run the checks again"))
        self.again.clicked.connect(self.start)
        self.go_on = QPushButton(self.tr("Go on"), self)
        self.go_on.setAccessibleName(self.tr("Go on to the program"))
        self.go_on.clicked.connect(self.finished)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.again)
        buttons.addWidget(self.go_on)
        layout = QVBoxLayout(self)
        for widget in (self._title(), privacy, self.verdict, self.echo):
            layout.addWidget(widget)
        layout.addWidget(self._check_area(), 1)
        layout.addLayout(buttons)

    def _title(self) -> QLabel:
        title = QLabel(self.tr("Is everything there?"), self)
        font = title.font()
        font.setBold(True)
        font.setPointSizeF(font.pointSizeF() * 1.5)
        title.setFont(font)
        return title

    def _check_area(self) -> QScrollArea:
        inside = QWidget(self)
        self._grid = QGridLayout(inside)
        self._grid.setColumnStretch(2, 1)
        self._grid.setHorizontalSpacing(16)
        self._grid.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(inside)
        area.setAccessibleName(self.tr("Checks"))
        return area

    def _show(self, check: Check) -> None:
        row = len(self.checks)
        self.checks.append(check)
        mark = QLabel(self._mark(check.status), self)
        subject = QLabel(check.subject, self)
        text = f"{check.found}\n→ {check.advice}" if check.advice else check.found
        found = QLabel(text, self)
        found.setWordWrap(True)
        found.setTextFormat(Qt.TextFormat.PlainText)
        found.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        found.setAccessibleName(f"{check.subject}: {self._mark(check.status)}")
        for column, label in enumerate((mark, subject, found)):
            self._grid.addWidget(label, row, column, Qt.AlignmentFlag.AlignTop)

    def _mark(self, status: Status) -> str:
        return {
            "ok": self.tr("✓ good"),
            "note": self.tr("· note"),
            "warning": self.tr("! look"),
            "failure": self.tr("✗ missing"),
        }[status]

    def _end(self, failure: str) -> None:
        missing = ", ".join(check.subject for check in self.checks if check.status == "failure")
        doubtful = ", ".join(check.subject for check in self.checks if check.status == "warning")
        if failure:
            text = failure
        elif missing:
            text = self.tr(
                "Something is missing: {subjects}. Recordings can be scored without a microphone."
            ).format(subjects=missing)
        elif doubtful:
            text = self.tr("Detection can run; look at: {subjects}.").format(subjects=doubtful)
        else:
            text = self.tr("Detection can run.")
        self.verdict.setText(text)
        self.again.setEnabled(True)
        self.looked.emit()

    def _clear(self) -> None:
        self.checks = []
        while item := self._grid.takeAt(0):
            widget = item.widget()
            if widget:
                widget.deleteLater()
