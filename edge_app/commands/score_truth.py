"""The figures that `sedge score --ground-truth` prints: `sedge evaluate`, in a process of its own.

That command lies beside this package, not in it, and a device has only this one.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from edge_app.core.errors import SedgeError
from edge_app.formats.desed_tsv import read_events

ROOT = Path(__file__).resolve().parents[2]


def check_truth(ground_truth: Path) -> None:
    """Raise SedgeError for a table that cannot be read, and where `sedge evaluate` cannot run: before any work."""
    if not read_events(ground_truth):
        raise SedgeError(f"{ground_truth}: expected reference events, found an empty table")
    if importlib.util.find_spec("train") is None:
        raise SedgeError(
            "--ground-truth: expected train/ beside edge_app/, found none: run it from a checkout"
        )
    tried = _evaluate("--help", capture_output=True)
    if tried.returncode:
        words = tried.stderr.strip().splitlines() or ["it gives no reason"]
        raise SedgeError(f"--ground-truth: expected `sedge evaluate` to run, found: {words[-1]}")


def print_figures(out: Path, ground_truth: Path) -> int:
    """Run `sedge evaluate` on a folder of results; gives its exit status."""
    folder, truth = str(out.absolute()), str(ground_truth.absolute())
    return _evaluate(folder, "--ground-truth", truth, "--no-fifty-points").returncode


def _evaluate(*arguments: str, capture_output: bool = False) -> "subprocess.CompletedProcess[str]":
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(ROOT), *([before] if before else [])])
    return subprocess.run(
        [sys.executable, "-m", "edge_app", "evaluate", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=capture_output,
        text=True,
        check=False,
    )
