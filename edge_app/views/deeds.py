"""What can be done from the keyboard and the menus: one table of names, words and keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from PyQt6.QtCore import QCoreApplication, Qt
from PyQt6.QtGui import QAction, QKeySequence
from PyQt6.QtWidgets import QMenu, QMenuBar, QWidget

Menu = Literal["file", "session", "view", "event", "help"]
Place = Literal["window", "live", "timeline"]
MENUS: dict[Menu, str] = {
    "file": "&File",
    "session": "&Session",
    "view": "&View",
    "event": "&Event",
    "help": "&Help",
}


@dataclass(frozen=True)
class Deed:
    """One thing to do."""

    name: str
    menu: Menu
    text: str
    keys: tuple[str, ...] = ()
    place: Place = "live"
    """Where its keys work: in the whole window, on the live page with its tables, or on its timeline alone."""


DEEDS = (
    Deed("open", "file", "Open recording…", ("Ctrl+O",), place="window"),
    Deed("batch", "file", "Score recordings…", ("Ctrl+Shift+O",), place="window"),
    Deed("export", "file", "Export events…", ("Ctrl+E",), place="window"),
    Deed("settings", "file", "Settings", ("Ctrl+,",), place="window"),
    Deed("quit", "file", "Quit", ("Ctrl+Q",), place="window"),
    Deed("listen", "session", "Listen", ("Ctrl+L",), place="window"),
    Deed("stop", "session", "Stop", ("Ctrl+.",), place="window"),
    Deed("pause", "session", "Listen, or pause the view", ("Space",)),
    Deed("save_last", "session", "Save the last 30 s", ("S",)),
    Deed("mark", "session", "Mark this moment", ("M",)),
    Deed("zoom_in", "view", "Show less time", ("+", "=")),
    Deed("zoom_out", "view", "Show more time", ("-",)),
    Deed("now", "view", "Back to now", ("Home",)),
    Deed("curve", "view", "Score curve of the chosen label", ("C",)),
    Deed("play", "event", "Play the event", ("P",)),
    Deed("confirm", "event", "The event is right", ("Y",)),
    Deed("reject", "event", "The event is wrong", ("N",)),
    Deed("keys", "help", "Keys", ("F1",), place="window"),
    Deed("check", "help", "Is everything there?", place="window"),
)


def make_actions(places: Mapping[Place, QWidget]) -> Mapping[str, QAction]:
    """An action for each deed, by name; its keys work where the deed says, `places` gives the widgets."""
    return {deed.name: _make_action(deed, places[deed.place]) for deed in DEEDS}


def fill_menus(menu_bar: QMenuBar, actions: Mapping[str, QAction]) -> Mapping[Menu, QMenu]:
    """One menu after the other with its deeds; gives the menus, to add to them."""
    menus: dict[Menu, QMenu] = {}
    for deed in DEEDS:
        if deed.menu not in menus:
            menu = menu_bar.addMenu(translated(MENUS[deed.menu]))
            assert menu is not None
            menus[deed.menu] = menu
        menus[deed.menu].addAction(actions[deed.name])
    return menus


def keys_text() -> str:
    """All deeds with their keys, one a line."""
    lines = [f"{' or '.join(deed.keys)}\t{translated(deed.text)}" for deed in DEEDS if deed.keys]
    return "\n".join([*lines, "Tab, Shift+Tab\t" + translated("Next or previous event, on the timeline")])


def translated(text: str) -> str:
    """A deed's words in the user's language."""
    return QCoreApplication.translate("deeds", text)


def _make_action(deed: Deed, owner: QWidget) -> QAction:
    action = QAction(translated(deed.text), owner)
    action.setShortcuts([QKeySequence(keys) for keys in deed.keys])
    whole, part = Qt.ShortcutContext.WindowShortcut, Qt.ShortcutContext.WidgetWithChildrenShortcut
    action.setShortcutContext(whole if deed.place == "window" else part)
    owner.addAction(action)
    return action
