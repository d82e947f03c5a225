"""Dark and light: the colours of everything that is not a label, and how they reach Qt."""

from dataclasses import dataclass
from typing import Literal

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QIcon, QPainter, QPalette, QPixmap
from PyQt6.QtWidgets import QApplication

ThemeChoice = Literal["system", "dark", "light"]


@dataclass(frozen=True)
class Theme:
    """Colours as "#rrggbb"."""

    is_dark: bool
    window: str
    """Behind controls."""
    canvas: str
    """Behind lanes, meters and tables."""
    text: str
    muted: str
    """Text of less weight: units, axes."""
    line: str
    """Between areas, and lines of a grid."""
    accent: str
    """What is chosen or pressed."""
    on_accent: str
    warning: str
    """Behind a sentence that something is wrong."""
    on_warning: str
    gap: str
    """Where nothing was analysed."""
    quiet: str
    loud: str
    clipped: str


DARK = Theme(
    is_dark=True,
    window="#1b1e24",
    canvas="#0f1116",
    text="#e8eaee",
    muted="#a9b0bc",
    line="#3a404b",
    accent="#4c8dff",
    on_accent="#08101f",
    warning="#6b4a00",
    on_warning="#fff3d6",
    gap="#9aa2af",
    quiet="#2bc79a",
    loud="#f0e442",
    clipped="#ff7a66",
)
LIGHT = Theme(
    is_dark=False,
    window="#f3f4f6",
    canvas="#ffffff",
    text="#16191f",
    muted="#535b68",
    line="#c9ced6",
    accent="#1f5fd0",
    on_accent="#ffffff",
    warning="#ffe2a6",
    on_warning="#3d2a00",
    gap="#6d7683",
    quiet="#007a58",
    loud="#8a6d00",
    clipped="#c22a12",
)

STYLE = "fusion"


def chosen_theme(choice: ThemeChoice, application: QApplication) -> Theme:
    """The theme of a choice; `system` asks the desktop, and is light where that does not say."""
    if choice == "system":
        hints = application.styleHints()
        return DARK if hints and hints.colorScheme() == Qt.ColorScheme.Dark else LIGHT
    return DARK if choice == "dark" else LIGHT


def apply_theme(theme: Theme, application: QApplication) -> None:
    """Dress every control of the application."""
    style = application.style()
    if style is None or style.objectName() != STYLE:
        application.setStyle(STYLE)
    # Without the old sheet every control takes the palette at once; with it, each is dressed twice, five times slower.
    application.setStyleSheet("")
    application.setPalette(palette_of(theme))
    application.setStyleSheet(style_sheet(theme))


def palette_of(theme: Theme) -> QPalette:
    """The theme as Qt's roles."""
    role = QPalette.ColorRole
    colours = {
        role.Window: theme.window,
        role.WindowText: theme.text,
        role.Base: theme.canvas,
        role.AlternateBase: theme.window,
        role.ToolTipBase: theme.window,
        role.ToolTipText: theme.text,
        role.PlaceholderText: theme.muted,
        role.Text: theme.text,
        role.Button: theme.window,
        role.ButtonText: theme.text,
        role.Link: theme.accent,
        role.Highlight: theme.accent,
        role.HighlightedText: theme.on_accent,
        role.Mid: theme.line,
        role.Light: theme.line,
        role.Midlight: theme.line,
        role.Dark: theme.line,
    }
    palette = QPalette()
    for where, colour in colours.items():
        palette.setColor(where, QColor(colour))
    for where in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, where, QColor(theme.muted))
    return palette


def style_sheet(theme: Theme) -> str:
    """What palettes cannot say: the banner, the keyboard's focus, and quiet text."""
    return f"""
        QLabel#banner {{ background: {theme.warning}; color: {theme.on_warning}; font-weight: bold; }}
        QLabel#banner {{ padding: 6px 10px; }}
        QWidget#notice {{ background: {theme.warning}; }}
        QWidget#notice QLabel {{ color: {theme.on_warning}; font-weight: bold; }}
        QWidget#notice QToolButton {{ color: {theme.on_warning}; border: none; padding: 2px 8px; }}
        QLabel#told {{ color: {theme.text}; background: {theme.canvas}; padding: 4px 10px; }}
        QLabel[quiet="true"] {{ color: {theme.muted}; }}
        QLineEdit {{ border: 1px solid {theme.line}; border-radius: 3px; padding: 2px 4px; }}
        QLineEdit:focus {{ border-color: {theme.accent}; }}
        QAbstractSpinBox QLineEdit, QComboBox QLineEdit {{ border: none; padding: 0; }}
        QCheckBox::indicator:unchecked {{ border: 1px solid {theme.muted}; border-radius: 2px; }}
        QCheckBox::indicator:unchecked {{ background: {theme.canvas}; }}
        QPushButton:focus, QComboBox:focus {{ border: 2px solid {theme.accent}; }}
        QPushButton#listen:checked {{ background: {theme.accent}; color: {theme.on_accent}; font-weight: bold; }}
        QStatusBar {{ border-top: 1px solid {theme.line}; }}
        QStatusBar::item {{ border: none; }}
        QToolBar {{ border: none; spacing: 6px; padding: 4px; }}
    """


def program_icon() -> QIcon:
    """The program's sign: three lanes with events, drawn, so that no file is needed."""
    picture = QPixmap(64, 64)
    picture.fill(QColor(DARK.canvas))
    painter = QPainter(picture)
    for top, left, width, colour in (
        (10, 8, 26, DARK.quiet),
        (28, 26, 30, DARK.accent),
        (46, 14, 18, DARK.loud),
    ):
        painter.fillRect(left, top, width, 10, QColor(colour))
    painter.end()
    return QIcon(picture)
