"""What the tests ask of the window: its banner and its table."""

from edge_app.views.main_window import MainWindow
from edge_app.views.tables.event_table import EventTable


def banner_text(window: MainWindow) -> str:
    """What the banners say; empty where there is none."""
    banner = window.live_page.banner
    return window.notices.text() or ("" if banner.isHidden() else banner.text())


def live_table(window: MainWindow) -> EventTable:
    """The table of events below the timeline."""
    return window.live.events.table
