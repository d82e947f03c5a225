"""What happens when the window is closed while it listens: one question, and the tray where there is one."""

from typing import Literal

from PyQt6.QtCore import QObject, QTimer, pyqtSignal
from PyQt6.QtGui import QIcon
from PyQt6.QtWidgets import QApplication, QMenu, QMessageBox, QSystemTrayIcon, QWidget

from edge_app.views.theme import program_icon

Answer = Literal["close", "tray", "stay"]


def has_tray() -> bool:
    """Whether the desktop has a place for programs without a window."""
    return QSystemTrayIcon.isSystemTrayAvailable()


class CloseQuestion(QMessageBox):
    """Asks whether to stop listening; waits for nobody, and tells the answer."""

    answered = pyqtSignal(str)
    """close, tray or stay."""

    def __init__(self, parent: QWidget, offers_tray: bool) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Listening goes on"))
        self.setIcon(QMessageBox.Icon.Question)
        self.setText(self.tr("Stop listening and close?"))
        self.setInformativeText(self.tr("What was heard so far is kept in the history."))
        role = QMessageBox.ButtonRole
        self.close_button = self.addButton(self.tr("Stop and close"), role.DestructiveRole)
        self.tray_button = (
            self.addButton(self.tr("Go on in the tray"), role.AcceptRole) if offers_tray else None
        )
        self.stay_button = self.addButton(self.tr("Go on listening"), role.RejectRole)
        self.setDefaultButton(self.stay_button)
        self.setEscapeButton(self.stay_button)
        self.finished.connect(self._tell)

    def _tell(self) -> None:
        pressed = self.clickedButton()
        is_tray = pressed is not None and pressed is self.tray_button
        answer: Answer = "close" if pressed is self.close_button else "tray" if is_tray else "stay"
        self.deleteLater()
        self.answered.emit(answer)


class Tray(QObject):
    """The program without its window: a sign with a menu, until the window is shown again."""

    left = pyqtSignal()
    """The user wants the program to end."""

    def __init__(self, window: QWidget, icon: QIcon) -> None:
        super().__init__(window)
        self._window = window
        self._sign = QSystemTrayIcon(icon, self)
        self._sign.setToolTip(self.tr("Sedge is listening"))
        self._menu = QMenu(window)
        show = self._menu.addAction(self.tr("Show the window"))
        leave = self._menu.addAction(self.tr("Stop listening and quit"))
        assert show is not None
        assert leave is not None
        show.triggered.connect(self.show_window)
        leave.triggered.connect(self._leave)
        self._sign.setContextMenu(self._menu)
        self._sign.activated.connect(self._activate)

    def take_window(self) -> None:
        """Hide the window; listening goes on."""
        _quit_with_window(False)
        self._sign.show()
        self._window.hide()

    def show_window(self) -> None:
        """Bring the window back."""
        self._window.show()
        self._window.raise_()
        self._window.activateWindow()
        self._sign.hide()
        _quit_with_window(True)

    def close(self) -> None:
        """Take the sign away."""
        self._sign.hide()
        _quit_with_window(True)

    def _activate(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason != QSystemTrayIcon.ActivationReason.Context:
            self.show_window()

    def _leave(self) -> None:
        self.show_window()
        self.left.emit()


class Closing(QObject):
    """Asks, once at a time, and does what the answer says."""

    left = pyqtSignal()
    """The window is to close now, without another question."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self.question: CloseQuestion | None = None
        """What is asked at this moment."""
        self.tray: Tray | None = None

    def ask(self) -> None:
        """Ask, beside whatever goes on."""
        if self.question is None:
            self.question = CloseQuestion(self._window, has_tray())
            self.question.answered.connect(self._take)
            self.question.open()

    def close(self) -> None:
        """The window goes."""
        if self.tray is not None:
            self.tray.close()

    def _take(self, answer: str) -> None:
        self.question = None
        if answer == "close":
            QTimer.singleShot(0, self.left.emit)  # the question must be gone before its owner goes
        elif answer == "tray":
            if self.tray is None:
                self.tray = Tray(self._window, program_icon())
                self.tray.left.connect(self.left)
            self.tray.take_window()


def _quit_with_window(is_wanted: bool) -> None:
    application = QApplication.instance()
    if isinstance(application, QApplication):
        application.setQuitOnLastWindowClosed(is_wanted)
