"""What the user chose, what the command line says instead for this time, and the file that keeps the first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QObject, QTimer, pyqtSignal

from edge_app.core.errors import SedgeError
from edge_app.store.settings import AppSettings, save_settings

SAVE_AFTER_MS = 500
"""A slider tells of many changes a second, and each file written is one too many for its disk."""


class Choices(QObject):
    """The settings in force, `now`; a change is told at once and saved a moment later.

    `overrides` are fields that the command line sets: they hold until the user changes them, and are never saved.
    Without a `path` nothing is saved.
    """

    changed = pyqtSignal(object, object)
    """The AppSettings in force, and the names of the fields that have changed."""
    failed = pyqtSignal(str)
    """Why the file could not be written; an empty text once it has been."""

    def __init__(
        self,
        kept: AppSettings | None = None,
        overrides: Mapping[str, Any] | None = None,
        path: Path | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.kept = kept or AppSettings()
        """The user's own, as the file has them or soon will."""
        self._overrides = dict(overrides or {})
        self._path = path
        self.now = _with(self.kept, self._overrides)
        self._saving = QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(SAVE_AFTER_MS)
        self._saving.timeout.connect(self.save)

    def set(self, **fields: Any) -> None:
        """Change some fields. Raises ValidationError for values that are not allowed."""
        self.take(_with(self.now, fields))

    def take(self, settings: AppSettings) -> None:
        """Change what differs from the settings in force."""
        fields = {name: getattr(settings, name) for name in type(settings).model_fields}
        changed = {name: value for name, value in fields.items() if value != getattr(self.now, name)}
        if not changed:
            return
        for name in changed:
            self._overrides.pop(name, None)
        self.kept = _with(self.kept, changed)
        self.now = settings
        self._saving.start()
        self.changed.emit(self.now, frozenset(changed))

    def close(self) -> None:
        """Save what waits."""
        if self._saving.isActive():
            self._saving.stop()
            self.save()

    def save(self) -> None:
        """Write the file."""
        if self._path is None:
            return
        try:
            save_settings(self.kept, self._path)
        except SedgeError as error:
            self.failed.emit(str(error))
        else:
            self.failed.emit("")


def _with(settings: AppSettings, fields: Mapping[str, Any]) -> AppSettings:
    return AppSettings.model_validate({**settings.model_dump(), **fields})
