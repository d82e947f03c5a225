"""The detector of a command, and the option that says what runs it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import tyro

from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Context, Detector
from edge_app.core.errors import RuntimeUnavailable
from edge_app.core.runtimes import (
    FASTER_THAN_CPU,
    RUNTIME_NAMES,
    PassedOver,
    RuntimeChoice,
    RuntimeName,
    open_runtime,
)
from edge_app.store.places import engine_folder

RuntimeOption = Annotated[
    RuntimeChoice,
    tyro.conf.arg(
        metavar="|".join(("auto", *RUNTIME_NAMES)),
        help="What runs the model. auto: the fastest that works here, and the results say why none that is faster. "
        "A name: that one or an error. `sedge doctor` shows what each would need.",
    ),
]


def open_detector(
    bundle: Path | None,
    runtime: RuntimeChoice,
    context: Context,
    threads: int = 1,
    hop_frames: int | None = None,
) -> Detector:
    """A detector on a bundle's folder, by default the built-in one's.

    Raises SedgeError where the bundle or the runtime cannot be used, or the bundle does not allow the hop.
    """
    loaded = load_bundle(bundle)
    try:
        opened = open_runtime(loaded, runtime, threads, engine_folder(), context)
    except RuntimeUnavailable as error:
        raise RuntimeUnavailable(f"--runtime {runtime}: {error}") from error
    return Detector(loaded, opened.runtime, context, hop_frames, opened.passed_over)


def chosen_runtime(asked: RuntimeChoice, passed_over: Iterable[PassedOver]) -> RuntimeName:
    """The name of the runtime that was opened: the one asked for, or what `auto` came to after those passed over."""
    if asked != "auto":
        return asked
    left = {other.name for other in passed_over}
    return next((name for name in FASTER_THAN_CPU if name not in left), "cpu")
