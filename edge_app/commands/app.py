"""`sedge app`: the desktop program."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from edge_app.commands.detector import RuntimeOption, open_detector
from edge_app.commands.doctor import Check, all_checks
from edge_app.core.bundle import DEFAULT_BUNDLE, load_bundle
from edge_app.core.detect import Context, Detector
from edge_app.core.errors import BundleError, RuntimeUnavailable, SedgeError
from edge_app.core.gpu import check_driver
from edge_app.store.places import database_path, settings_path
from edge_app.store.settings import AppSettings, load_settings
from edge_app.stream.quiet import quiet_libraries

if TYPE_CHECKING:
    from edge_app.views.application import AppSetup
    from edge_app.views.source_picker import SourceChoice

DESCRIPTION = """Open the desktop program: level, spectrogram and a timeline with one lane for each label, as sounds are
heard, and the history, batch and settings pages. Needs PyQt6 and pyqtgraph: `pip install ".[app]"` in a checkout.
Options hold for this time only; what is chosen in the window is kept for the next.

Exit code 0 means closed, 1 that a picture was asked for and listening failed, 2 wrong use, 3 no model, no PyQt6
or no display."""
NEEDED = ("PyQt6", "pyqtgraph")


@dataclass(frozen=True)
class AppArgs:
    """Arguments of `sedge app`."""

    source: Annotated[str | None, tyro.conf.arg(metavar="mic|FILE")] = None
    """Begin at once to listen to a microphone or a recording; without it, the window waits for the button Listen, or
    resumes what was listened to last, as the settings say."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The microphone, by its name or a part of it (`sedge devices` lists them); the system's default unless given."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model to use; without it, the one that comes with the program."""
    hop_frames: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Frames of 20 ms from one step to the next: fewer react sooner and cost more; without it, the model's own."""
    runtime: RuntimeOption | None = None
    store: Annotated[Path | None, tyro.conf.arg(metavar="DB")] = None
    """File of the history that sessions are written to; without it, the user's own."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    theme: Literal["system", "dark", "light"] | None = None
    """Colours; system: as the desktop has them. Without it, as chosen in the window."""
    settings: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """File of the settings; without it, the user's own."""
    screenshot: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Save a picture of the window and end; needs --source beside it."""
    screenshot_after: Annotated[float, tyro.conf.arg(metavar="S")] = 10.0
    """Seconds of sound before the picture is taken, or the end of the recording where that comes first."""


def main(argv: list[str]) -> int:
    """Run `sedge app`. Raises SedgeError for wrong use, no model, and where PyQt6 is missing."""
    args = tyro.cli(AppArgs, args=argv, prog="sedge app", description=DESCRIPTION)
    check_args(args)
    check_installation()
    from edge_app.views.display import check_display

    check_display()
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
    """What the arguments and the user's settings mean. Raises BundleError where there is no usable model."""
    from edge_app.views.application import AppSetup

    path = args.settings or settings_path()
    kept, problem = load_settings(path)
    bundle = args.bundle or (Path(kept.bundle) if kept.bundle else None)
    try:
        loaded = load_bundle(bundle)
    except BundleError as error:
        if args.bundle is not None:
            raise
        # A model that has been moved must not keep the program from opening: that is where another is chosen.
        loaded, kept, problem = load_bundle(None), kept.model_copy(update={"bundle": None}), str(error)
    return AppSetup(
        manifest=loaded.manifest,
        open_detector=partial(open_by_settings, "live", args.threads),
        settings=kept,
        settings_path=path,
        settings_problem=problem,
        bundle=args.bundle,
        runtime=args.runtime,
        hop_frames=args.hop_frames,
        source=source_of(args),
        theme_choice=args.theme,
        is_listening=args.source is not None,
        asks_to_close=args.screenshot is None,
        screenshot=args.screenshot,
        screenshot_after_s=args.screenshot_after,
        store=args.store or database_path(),
        open_batch_detector=partial(open_by_settings, "clip", args.threads),
        look=look,
        build_command=build_command,
    )


def source_of(args: AppArgs) -> "SourceChoice | None":
    """What the arguments name to listen to; None where they leave it to the settings."""
    from edge_app.views.source_picker import SourceChoice

    if args.source is None:
        return SourceChoice(args.device) if args.device is not None else None
    # Whole, for the history and the settings outlive the folder that the program was started in.
    return SourceChoice(args.device, None if args.source == "mic" else Path(args.source).absolute())


def open_by_settings(context: Context, threads: int, settings: AppSettings) -> Detector:
    """A detector by the settings. Raises SedgeError where the bundle or the runtime cannot be used."""
    bundle = Path(settings.bundle) if settings.bundle else None
    hop_frames = settings.hop_frames if context == "live" else None
    return open_detector(bundle, settings.runtime, context, threads, hop_frames)


def look(settings: AppSettings) -> Iterator[Check]:
    """The checks of the first start."""
    return all_checks(Path(settings.bundle) if settings.bundle else None, microphone=True)


def build_command(bundle: Path | None) -> tuple[str, ...] | None:
    """What compiles a bundle for this machine's GPU, or None where it cannot be compiled here."""
    if find_spec("export") is None or find_spec("tensorrt") is None:
        return None
    try:
        check_driver()
    except RuntimeUnavailable:
        return None
    return (sys.executable, "-m", "edge_app", "export-tensorrt", str(bundle or DEFAULT_BUNDLE))
