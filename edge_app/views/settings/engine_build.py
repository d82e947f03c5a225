"""Compiles the model for this machine's GPU in a process of its own, while detection goes on."""

from collections.abc import Sequence

from PyQt6.QtCore import QProcess, pyqtSignal
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

END_MS = 3000


class EngineBuild(QWidget):
    """A button, and the newest line that the compiler says. `command` is what compiles; None where nothing can."""

    built = pyqtSignal()
    """An engine is there: it runs from the next start of listening."""
    ended = pyqtSignal()

    def __init__(self, command: Sequence[str] | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._command = command
        self._is_cancelled, self._line = False, ""
        self._process = QProcess(self)
        self._process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        self._process.readyRead.connect(self._read)
        self._process.finished.connect(self._finish)
        self._process.errorOccurred.connect(self._fail)
        self.button = QPushButton(self.tr("Compile for this GPU"), self)
        self.button.setAccessibleName(self.tr("Compile the model for this computer's NVIDIA GPU"))
        self.button.clicked.connect(self._start_or_cancel)
        self.button.setEnabled(command is not None)
        unable = self.tr("Needs an NVIDIA GPU, TensorRT, and the program's checkout.")
        self.message = QLabel("" if command is not None else unable, self)
        self.message.setWordWrap(True)
        self.message.setAccessibleName(self.tr("How far compiling is"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.message, 1)

    @property
    def is_running(self) -> bool:
        """Whether the compiler is at work."""
        return self._process.state() != QProcess.ProcessState.NotRunning

    def close_process(self) -> None:
        """End the compiler; an unfinished engine is not kept."""
        self._process.blockSignals(True)
        if self.is_running:
            self._process.kill()
            self._process.waitForFinished(END_MS)

    def _start_or_cancel(self) -> None:
        if self.is_running:
            self._is_cancelled = True
            self._process.kill()
        elif self._command:
            self._is_cancelled = False
            self.message.setText(self.tr("Compiling: this takes minutes. Detection goes on meanwhile."))
            self.button.setText(self.tr("Cancel"))
            self._process.start(self._command[0], list(self._command[1:]))

    def _read(self) -> None:
        text = self._process.readAll().data().decode(errors="replace").replace("\r", "\n")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines:
            self._line = lines[-1]
            self.message.setText(self._line)

    def _finish(self, code: int) -> None:
        self.button.setText(self.tr("Compile for this GPU"))
        if self._is_cancelled:
            self.message.setText(self.tr("Cancelled: nothing was changed."))
        elif code == 0:
            self.message.setText(self.tr("Compiled: it is used from the next start of listening."))
            self.built.emit()
        else:
            last = self._line or self.tr("no message")
            self.message.setText(self.tr("Compiling failed ({code}): {last}").format(code=code, last=last))
        self.ended.emit()

    def _fail(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self.button.setText(self.tr("Compile for this GPU"))
            self.message.setText(self.tr("The compiler could not be started."))
            self.ended.emit()
