"""A runtime that is opened whatever it computes, so that what differs can be told and not only that it does."""

import math
from dataclasses import replace
from pathlib import Path

from edge_app.core.bundle import Bundle
from edge_app.core.runtime import Runtime
from edge_app.core.runtimes import RuntimeName, open_runtime


def open_unchecked(bundle: Bundle, name: RuntimeName, engines: Path) -> Runtime:
    """Open a runtime with any difference allowed on the bundle's clip; RuntimeUnavailable where it cannot run."""
    parity = bundle.manifest.parity.model_copy(update={"tolerance": math.inf})
    lenient = replace(bundle, manifest=bundle.manifest.model_copy(update={"parity": parity}))
    return open_runtime(lenient, name, engines=engines).runtime
