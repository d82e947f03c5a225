"""One run of `smoke.toml`, through the command line, that every test of the pipeline looks at."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 900
"""For a loaded machine; alone it takes a minute."""


@pytest.fixture(scope="session")
def smoke_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs, with the whole of `smoke`. Not to be written to."""
    runs = tmp_path_factory.mktemp("smoke")
    words = [sys.executable, "-m", "edge_app", "train", "smoke", "--runs", str(runs), "--threads", "1"]
    done = subprocess.run(
        words, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    (runs / "stdout.txt").write_text(done.stdout)
    (runs / "stderr.txt").write_text(done.stderr)
    assert done.returncode == 0, done.stderr
    return runs


@pytest.fixture
def smoke_copy(smoke_runs: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(smoke_runs / "smoke", tmp_path / "runs" / "smoke")
    return tmp_path / "runs"
