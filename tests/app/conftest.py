"""Windows of these tests are painted, but not on a screen, unless a test brings a screen of its own."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture
def artefacts(tmp_path: Path) -> Path:
    """Where pictures are left: the folder that SEDGE_ARTEFACTS names, or one of the test's own."""
    folder = Path(os.environ.get("SEDGE_ARTEFACTS", tmp_path / "artefacts"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
