"""What each deed of the menus does in a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtWidgets import QMessageBox

from edge_app.views.deeds import fill_menus, keys_text
from edge_app.views.history.past import load_export
from edge_app.views.live_deeds import LiveDeeds
from edge_app.views.settings.settings_words import choice_of, with_choice
from edge_app.views.tables.export_dialog import ExportDialog, ask_export
from edge_app.views.theme import ThemeChoice

if TYPE_CHECKING:
    from edge_app.core.decode import LabelDecoding
    from edge_app.sessions.journal import Journal
    from edge_app.views.main_window import MainWindow

THEMES: dict[ThemeChoice, str] = {"system": "System colours", "dark": "Dark", "light": "Light"}
KEPT = ("save_last", "mark", "play", "confirm", "reject")
"""Deeds that need a session that is kept."""


class WindowDeeds:
    """Fills the menus of a window, and does what is chosen in them."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._journal: Journal | None = None
        self._listens_again = False
        history = window.others.history
        self.live = LiveDeeds(
            window.board,
            window.live.events,
            history.store.ask if history is not None else None,
            parent=window,
        )
        for action in window.actions_by_name.values():
            action.setEnabled(False)
        self._fill_menus()
        self._connect()
        for name, act in {**self._page_deeds(), **self._live_deeds()}.items():
            self.offer(name, act)
        self.follow(None)

    def offer(self, name: str, act: Callable[[], object]) -> None:
        """Say how a deed is done: it can be chosen from now on."""
        action = self._window.actions_by_name[name]
        action.triggered.connect(lambda _=False: act())
        action.setEnabled(True)

    def follow(self, journal: Journal | None) -> None:
        """Another run; None where it is not kept."""
        self._journal = journal
        self.live.follow(journal)
        for name in KEPT:
            self._window.actions_by_name[name].setEnabled(journal is not None)

    def end(self) -> None:
        """The run is over: its moments are past, but its sound and its events are still there."""
        self._window.actions_by_name["mark"].setEnabled(False)
        if self._listens_again:
            self._listens_again = False
            QTimer.singleShot(0, self._window.listen)  # once everyone knows that the run is over

    def close_threads(self) -> None:
        """End the threads of what goes on."""
        self.live.close_threads()

    def pause_or_listen(self) -> None:
        """Listen, or hold the picture of a run that goes on, or follow it again."""
        if self._window.run is None:
            self._window.listen()
        else:
            self._window.live_page.toggle_frozen()

    def go_to_now(self) -> None:
        """Follow again, with nothing chosen."""
        self._window.live_page.set_frozen(False)
        self._window.live_page.timeline.select(None)

    def zoom(self, steps: int) -> None:
        """Show less time (1) or more (-1), and remember it."""
        timeline = self._window.live_page.timeline
        timeline.zoom(steps)
        self._window.choices.set(view_s=round(timeline.view_s))

    def take_step(self, hop_frames: int) -> None:
        """Listen again with another step, for a run keeps its own to its end."""
        self._window.choices.set(hop_frames=hop_frames)
        self._listens_again = True
        self._window.stop()

    def export(self) -> ExportDialog:
        """Export what the page in front shows; on the live page, the run that goes on or has just ended."""
        window, pages = self._window, self._window.others
        page = window.pages.currentWidget()
        if page is pages.history and pages.history is not None:
            return pages.history.ask_export()
        if page is pages.batch and pages.batch is not None:
            return pages.batch.ask_export()
        if self._journal is not None and self._journal.session is not None:
            session = self._journal.session
            return ask_export(partial(load_export, self._journal.path, session), f"session-{session}", window)
        export = window.live.events.export(window.manifest.name)
        return ask_export(lambda: export, window.tr("events"), window)

    def open_recording(self) -> None:
        """Ask for a recording to listen to."""
        self._window.show_page(self._window.live)
        self._window.picker.ask_for_recording()

    def score_recordings(self) -> None:
        """Go to the batch page, and ask for recordings."""
        batch = self._window.others.batch
        if batch is not None:
            self._window.show_page(batch)
            batch.ask_files()

    def check(self) -> None:
        """Look whether everything is there."""
        first_run = self._window.others.first_run
        if first_run is not None:
            self._window.show_page(first_run)
            first_run.start()

    def end_check(self) -> None:
        """The check has been read: the program can be used."""
        window, first_run = self._window, self._window.others.first_run
        window.pages.removeTab(window.pages.indexOf(first_run))
        window.show_page(window.live)
        window.choices.set(is_introduced=True)

    def show_keys(self) -> None:
        """Tell which keys there are."""
        rows = "".join(
            f"<tr><td style='padding-right:24px'><b>{keys}</b></td><td>{words}</td></tr>"
            for keys, _, words in (line.partition("\t") for line in keys_text().splitlines())
        )
        box = QMessageBox(self._window)
        box.setWindowTitle(self._window.tr("Keys"))
        box.setTextFormat(Qt.TextFormat.RichText)
        box.setText(f"<table>{rows}</table>")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def use_thresholds(self, decoding: Mapping[str, LabelDecoding]) -> None:
        """Take the thresholds that were tried; a past session may have had labels that are not the window's."""
        settings = self._window.choices.now
        for label, wanted in decoding.items():
            if label not in self._window.manifest.decoding:
                continue
            own = self._window.manifest.decoding[label]
            choice = replace(choice_of(settings, label, own), decoding=wanted)
            settings = with_choice(settings, label, choice, own)
        self._window.choices.take(settings)

    def _page_deeds(self) -> dict[str, Callable[[], object]]:
        window = self._window
        deeds: dict[str, Callable[[], object]] = {
            "open": self.open_recording,
            "quit": window.close,
            "listen": window.listen,
            "stop": window.stop,
            "pause": self.pause_or_listen,
            "zoom_in": partial(self.zoom, 1),
            "zoom_out": partial(self.zoom, -1),
            "now": self.go_to_now,
            "curve": window.live_page.toggle_curve,
            "export": self.export,
            "settings": partial(window.show_page, window.others.settings),
            "keys": self.show_keys,
        }
        if window.others.batch is not None:
            deeds["batch"] = self.score_recordings
        if window.others.first_run is not None:
            deeds["check"] = self.check
        return deeds

    def _live_deeds(self) -> dict[str, Callable[[], object]]:
        return {
            "save_last": self.live.save_last,
            "mark": self.live.mark,
            "play": self.live.play,
            "confirm": partial(self.live.judge, "confirmed"),
            "reject": partial(self.live.judge, "rejected"),
        }

    def _connect(self) -> None:
        window = self._window
        self.live.told.connect(window.notices.tell)
        self.live.failed.connect(window.notices.tell)
        window.live.events.table.export_asked.connect(self.export)
        window.live.events.table.activated.connect(lambda _row: self.live.play())
        window.live_page.step_wanted.connect(self.take_step)
        window.live.what_if.used.connect(self.use_thresholds)
        if window.others.history is not None:
            self.live.reviewed.connect(window.others.history.refresh)
            window.others.history.decoding_wanted.connect(self.use_thresholds)
        if window.others.first_run is not None:
            window.others.first_run.finished.connect(self.end_check)

    def _fill_menus(self) -> None:
        menu_bar = self._window.menuBar()
        assert menu_bar is not None
        view = fill_menus(menu_bar, self._window.actions_by_name)["view"]
        view.addSeparator()
        for choice, title in THEMES.items():
            action = view.addAction(self._window.tr(title))
            assert action is not None
            action.triggered.connect(partial(self._choose_theme, choice))

    def _choose_theme(self, choice: ThemeChoice) -> None:
        self._window.choices.set(theme=choice)
