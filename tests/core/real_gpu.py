"""The machine's own GPU, for tests marked `gpu`."""

import os

import pytest

from edge_app.core.errors import RuntimeUnavailable
from edge_app.core.gpu import Gpu, find_gpu


def required_gpu() -> Gpu:
    """The GPU; without one the test is skipped, or with SEDGE_REQUIRE_GPU=1 fails."""
    try:
        return find_gpu()
    except RuntimeUnavailable as error:
        if os.environ.get("SEDGE_REQUIRE_GPU") == "1":
            raise
        pytest.skip(str(error))
