"""One event of the past: listen to it, say whether it is right, and note why."""

from dataclasses import replace

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QKeySequence, QShortcut
from PyQt6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from edge_app.views.history.clip_picture import ClipPicture
from edge_app.views.history.clip_player import ClipPlayer
from edge_app.views.tables.event_rows import EventRow, review_text, state_text, time_text


class ReviewPanel(QWidget):
    """Shows the chosen event; P plays its sound, Y confirms, N rejects, each while the panel's page is in use."""

    reviewed = pyqtSignal(int, str, str)
    """Number of the event, the verdict (confirmed, rejected or nothing), and the note."""
    step_asked = pyqtSignal(int)
    """Go on by so many events."""

    def __init__(self, player: ClipPlayer | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.player = player or ClipPlayer(parent=self)
        self.player.changed.connect(self._show_playing)
        self.player.failed.connect(self._say)
        self._row: EventRow | None = None
        self.picture = ClipPicture(self)
        self._make_controls()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._facts_grid())
        layout.addWidget(self.picture)
        layout.addLayout(self._buttons())
        layout.addWidget(self.note)
        layout.addWidget(self.message)
        self.show_event(None)

    def add_shortcuts(self, page: QWidget) -> None:
        """Take P, Y and N while `page` or something in it has the focus; text fields keep their letters."""
        for key, button in (("P", self.play), ("Y", self.confirm), ("N", self.reject)):
            shortcut = QShortcut(QKeySequence(key), page)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(button.click)

    def show_event(self, row: EventRow | None) -> None:
        """Show an event, or that none is chosen."""
        if row is None or self._row is None or row.id != self._row.id:
            self._save_note()
            self.message.clear()
        is_same = row is not None and self._row is not None and row.id == self._row.id
        self._row = row
        self.title.setText(row.event_label.replace("_", " ") if row else self.tr("No event chosen"))
        self.facts.setText(self._facts(row) if row else self.tr("Choose an event in the table to review it."))
        self.picture.show_event(row)
        self._enable(row)
        if not is_same:
            self.note.setText(row.note if row else "")

    def close_player(self) -> None:
        """Write an unsaved note, stop playing, and wait for the threads."""
        self._save_note()
        self.picture.close_threads()
        self.player.close()

    def _facts(self, row: EventRow) -> str:
        span = self.tr("{onset:.2f} to {offset:.2f} s ({duration:.2f} s), peak {peak:.2f}").format(
            onset=row.onset, offset=row.offset, duration=row.duration, peak=row.peak
        )
        told = [time_text(row.at), row.source, span, state_text(row), review_text(row.review)]
        return "\n".join(line for line in told if line)

    def _enable(self, row: EventRow | None) -> None:
        is_closed = row is not None and row.state == "closed"
        for button in (self.confirm, self.reject, self.note):
            button.setEnabled(is_closed)
        self.clear.setEnabled(is_closed and bool(row and row.review))
        self.play.setEnabled(row is not None and row.clip is not None)
        lacks_sound = row is not None and row.clip is None
        self.play.setToolTip(
            self.tr("No sound was kept of this event: the settings say for which labels it is.")
            if lacks_sound
            else self.tr("Play the event with the seconds before and after it (P)")
        )

    def _make_controls(self) -> None:
        self.title = QLabel(self)
        font = self.title.font()
        font.setBold(True)
        font.setPointSizeF(font.pointSizeF() * 1.3)
        self.title.setFont(font)
        self.facts = QLabel(self)
        self.facts.setWordWrap(True)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.facts.setAccessibleName(self.tr("The chosen event"))
        self.message = QLabel(self)
        self.message.setWordWrap(True)
        self.message.setAccessibleName(self.tr("Message"))
        self.note = QLineEdit(self)
        self.note.setPlaceholderText(self.tr("Note"))
        self.note.setAccessibleName(self.tr("Note on this event"))
        self.note.editingFinished.connect(self._save_note)
        self.play = self._button(self.tr("▶ Play"), self.tr("Play the event's sound"))
        self.confirm = self._button(self.tr("✓ Confirm"), self.tr("Confirm: the label is right (Y)"))
        self.reject = self._button(self.tr("✗ Reject"), self.tr("Reject: the label is wrong (N)"))
        self.clear = self._button(self.tr("Clear"), self.tr("Take the verdict back"))
        self.play.clicked.connect(self._play_or_stop)
        self.confirm.clicked.connect(lambda: self._judge("confirmed"))
        self.reject.clicked.connect(lambda: self._judge("rejected"))
        self.clear.clicked.connect(lambda: self._judge(""))

    def _button(self, text: str, explanation: str) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(explanation)
        button.setAccessibleName(explanation)
        return button

    def _facts_grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.addWidget(self.title, 0, 0)
        grid.addWidget(self.facts, 1, 0)
        return grid

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        for button in (self.play, self.confirm, self.reject, self.clear):
            row.addWidget(button)
        row.addStretch(1)
        return row

    def _judge(self, verdict: str) -> None:
        if self._row is None:
            return
        self._tell(verdict, self.note.text().strip())
        if verdict:
            self.step_asked.emit(1)

    def _save_note(self) -> None:
        row, note = self._row, self.note.text().strip()
        if row is not None and row.state == "closed" and note != row.note:
            self._tell(row.review, note)

    def _tell(self, verdict: str, note: str) -> None:
        if self._row is not None:
            # Before it is told: a filter may take the event away at once, and another one is shown then.
            self._row = replace(self._row, review=verdict, note=note)
            self.reviewed.emit(self._row.id, verdict, note)

    def _play_or_stop(self) -> None:
        self.message.clear()
        if self.player.is_playing:
            self.player.stop()
        elif self._row is not None and self._row.clip is not None:
            self.player.play(self._row.clip)

    def _show_playing(self, is_playing: bool) -> None:
        self.play.setText(self.tr("■ Stop") if is_playing else self.tr("▶ Play"))

    def _say(self, text: str) -> None:
        self.message.setText(text)
