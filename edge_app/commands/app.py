"""`sedge app`: the desktop program."""

import math
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from edge_app.commands.detector import RuntimeOption, open_detector
from edge_app.core.bundle import load_bundle
from edge_app.core.errors import RuntimeUnavailable, SedgeError
from edge_app.store.places import database_path
from edge_app.stream.quiet import quiet_libraries

if TYPE_CHECKING:
    from edge_app.views.application import AppSetup

DESCRIPTION = """Open the desktop program: level, spectrogram and a timeline with one lane for each label, as sounds are
heard. Needs PyQt6 and pyqtgraph: `pip install ".[app]"` in a checkout.

Exit code 0 means closed, 1 that a picture was asked for and listening failed, 2 wrong use, 3 no model or no PyQt6."""
NEEDED = ("PyQt6", "pyqtgraph")


@dataclass(frozen=True)
class AppArgs:
    """Arguments of `sedge app`."""

    source: Annotated[str | None, tyro.conf.arg(metavar="mic|FILE")] = None
    """Begin at once to listen to a microphone or a recording; without it, the window waits for the button Listen."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The microphone, by its name or a part of it (`sedge devices` lists them); the system's default unless given."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to use; without it, the one that comes with the program."""
    hop_frames: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Frames of 20 ms from one step to the next: fewer react sooner and cost more; without it, the model's own."""
    runtime: RuntimeOption = "auto"
    store: Annotated[Path | None, tyro.conf.arg(metavar="DB")] = None
    """File of the history that sessions are written to; without it, the user's own."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    theme: Literal["system", "dark", "light"] = "system"
    """Colours; system: as the desktop has them."""
    screenshot: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Save a picture of the window and end; needs --source beside it."""
    screenshot_after: Annotated[float, tyro.conf.arg(metavar="S")] = 10.0
    """Seconds of sound before the picture is taken, or the end of the recording where that comes first."""


def main(argv: list[str]) -> int:
    """Run `sedge app`. Raises SedgeError for wrong use, no model, and where PyQt6 is missing."""
    args = tyro.cli(AppArgs, args=argv, prog="sedge app", description=DESCRIPTION)
    check_args(args)
    check_installation()
    setup = setup_of(args)
    from edge_app.views.application import run_app

    quiet_libraries()
    return run_app(setup)


def check_args(args: AppArgs) -> None:
    """Raise SedgeError for what cannot be meant."""
    if args.screenshot is not None and args.source is None:
        raise SedgeError("--screenshot: expected --source beside it, found none")
    if args.device is not None and args.source not in (None, "mic"):
        raise SedgeError(f"--device: expected --source mic beside it, found {args.source}")
    if not 0 < args.screenshot_after < math.inf:
        raise SedgeError(
            f"--screenshot-after: expected more than 0 and finite, found {args.screenshot_after}"
        )


def check_installation() -> None:
    """Raise RuntimeUnavailable, in a sentence, where the window's libraries are not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise RuntimeUnavailable(
            f'app needs {" and ".join(missing)}, not installed: `pip install ".[app]"` in a checkout, '
            f"or `pip install {' '.join(NEEDED)}`"
        )


def setup_of(args: AppArgs) -> "AppSetup":
    """What the arguments mean. Raises BundleError where there is no usable model."""
    from edge_app.views.application import AppSetup
    from edge_app.views.source_picker import SourceChoice

    recording = Path(args.source) if args.source not in (None, "mic") else None
    return AppSetup(
        manifest=load_bundle(args.bundle).manifest,
        open_detector=partial(
            open_detector, args.bundle, args.runtime, "live", args.threads, args.hop_frames
        ),
        hop_frames=args.hop_frames,
        source=SourceChoice(args.device, recording),
        store=args.store or database_path(),
        is_listening=args.source is not None,
        theme_choice=args.theme,
        screenshot=args.screenshot,
        screenshot_after_s=args.screenshot_after,
    )
