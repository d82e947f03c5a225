"""Where the frozen program begins: `sedge` is the command line, `sedge-app` the desktop app on its own."""

import multiprocessing
import sys
from pathlib import Path

from edge_app.cli import main

APP_NAME = "sedge-app"  # of the program that a double click starts; it has no console

if __name__ == "__main__":
    multiprocessing.freeze_support()  # worker processes start as this very program
    is_app = Path(sys.executable).stem.lower() == APP_NAME
    sys.exit(main(["app", *sys.argv[1:]] if is_app else None))
