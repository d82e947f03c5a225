"""Opens the window of `sedge app` and prints the moment, by the monotonic clock, at which it was painted first.

A process of its own, so that every import counts: `python -m benchmarks.app.app_start [--bundle DIR] ...`, with the
arguments of `sedge app`.
"""

import dataclasses
import sys
import time

import tyro

from edge_app.commands.app import AppArgs, setup_of
from edge_app.stream.quiet import quiet_libraries


def main(argv: list[str]) -> int:
    """Open, print, close."""
    setup = setup_of(tyro.cli(AppArgs, args=argv))
    # Not the very first start, which shows a check of the microphone instead of the timeline.
    settings = setup.settings.model_copy(update={"is_introduced": True})
    setup = dataclasses.replace(setup, settings=settings)
    from edge_app.views.application import begin, make_application, make_window

    quiet_libraries()
    application = make_application()
    window = make_window(setup)

    def painted() -> None:
        window.live_page.timeline.canvas.painted.disconnect(painted)
        print(time.monotonic(), flush=True)
        window.close()
        application.quit()

    window.live_page.timeline.canvas.painted.connect(painted)
    window.show()
    begin(window, setup, application)
    return application.exec()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
