"""The banner above all pages: what is wrong, as long as it is, and for a moment what has been done."""

from collections.abc import Callable

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

TOLD_MS = 8_000
WATCH_MS = 1_000


class Notices(QWidget):
    """One sentence for each subject that something is wrong with; it goes when all is well.

    The user may take it away before. A sentence that was taken away comes again only once it has changed.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._wrong: dict[str, str] = {}
        self._read: dict[str, str] = {}
        self._watched: dict[str, Callable[[], str | None]] = {}
        self._watching = QTimer(self)
        self._watching.setInterval(WATCH_MS)
        self._watching.timeout.connect(self._look)
        self._watching.start()
        self._words = QLabel(self)
        self._words.setWordWrap(True)
        self._close = QToolButton(self)
        self._close.setText("✕")
        self._close.setToolTip(self.tr("Take this message away"))
        self._close.setAccessibleName(self.tr("Take this message away"))
        self._close.clicked.connect(self.dismiss)
        self._done = QLabel(self)
        self._done.setWordWrap(True)
        self._done.setObjectName("told")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(TOLD_MS)
        self._timer.timeout.connect(self._done.hide)
        self._lay_out()
        self._done.hide()
        self._show()

    def text(self) -> str:
        """What is said to be wrong; empty where all is well."""
        return "" if self._banner.isHidden() else self._words.text()

    def told(self) -> str:
        """What was told last, while it stands there."""
        return "" if self._done.isHidden() else self._done.text()

    def warn(self, subject: str, words: str) -> None:
        """Say what is wrong with a subject; with no words, that all is well again."""
        if words == self._wrong.get(subject, ""):
            return
        if words:
            self._wrong[subject] = words
        else:
            del self._wrong[subject]
            self._read.pop(subject, None)
        self._show()

    def watch(self, subject: str, problem: Callable[[], str | None]) -> None:
        """Ask once a second what is wrong with a subject; `problem` must answer at once."""
        self._watched[subject] = problem

    def stop_watching(self) -> None:
        """Ask no more."""
        self._watching.stop()

    def tell(self, words: str) -> None:
        """Say for a moment what has been done."""
        self._done.setText(words)
        self._done.setAccessibleName(words)
        self._done.show()
        self._timer.start()

    def dismiss(self) -> None:
        """The user has read what is wrong."""
        self._read = dict(self._wrong)
        self._show()

    def _look(self) -> None:
        for subject, problem in self._watched.items():
            self.warn(subject, problem() or "")

    def _show(self) -> None:
        unread = [words for subject, words in self._wrong.items() if self._read.get(subject) != words]
        text = "\n".join(dict.fromkeys(unread))
        if text != self._words.text():
            self._words.setText(text)
            self._words.setAccessibleName(text)
        self._banner.setVisible(bool(text))

    def _lay_out(self) -> None:
        self._banner = QWidget(self)
        self._banner.setObjectName("notice")
        row = QHBoxLayout(self._banner)
        row.setContentsMargins(10, 4, 4, 4)
        row.addWidget(self._words, stretch=1)
        row.addWidget(self._close)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._banner)
        column.addWidget(self._done)
