"""A runtime that is opened whatever it computes, so that what differs can be told and not only that it does."""

from pathlib import Path

from edge_app.core.bundle import Bundle
from edge_app.core.runtime import Runtime
from edge_app.core.runtimes import RuntimeName, open_runtime


def open_unchecked(bundle: Bundle, name: RuntimeName, engines: Path) -> Runtime:
    """Open a runtime without a parity check; RuntimeUnavailable where it cannot run."""
    return open_runtime(bundle, name, engines=engines, check=False).runtime
