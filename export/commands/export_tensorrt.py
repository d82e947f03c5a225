"""`sedge export-tensorrt`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from edge_app.core.errors import EXIT_DONE

if TYPE_CHECKING:
    from export.tensorrt.engine import BuiltEngine, EngineSettings
    from export.tensorrt.process import Event

DESCRIPTION = """Compile a bundle's graph for this machine's NVIDIA GPU and keep the engine in the cache.

It takes some minutes, runs in a process of its own, and is done once: the engine is found again by the graph, the GPU,
its driver and the TensorRT version. Before it is kept, it must give the bundle's own scores.

Exit code 0 means that the engine is there; 2 that the build failed; 3 that the GPU, its driver or TensorRT is
missing or too old."""


@dataclass(frozen=True, kw_only=True)
class ExportTensorRT:
    """Arguments of `sedge export-tensorrt`."""

    bundle: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="BUNDLE")] = None
    """Folder of the bundle; the built-in one unless given."""
    precision: Literal["fp16", "fp32"] = "fp16"
    """Of weights and activations. Front end, logarithm, softmax and sigmoid are float32 in both."""
    profiles: Annotated[str, tyro.conf.arg(metavar="live,clip")] = "live,clip"
    """What the engine is tuned for, separated by commas: the step of a live stream, batches of whole clips."""
    max_batch: int = 16
    """Clips at once, at most."""
    input: Literal["log-mel", "waveform"] = "log-mel"
    """Whether the engine is given log-mel frames, or samples and computes the frames itself: for programs
    of your own, since `score`, `listen` and `demo` give it log-mel frames."""
    version_compatible: bool = False
    """Build an engine that later TensorRT versions and the lean runtime can run; a little slower."""
    engines: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of engines; the user's cache unless given."""


def main(argv: Sequence[str]) -> int:
    """`sedge export-tensorrt`; returns 0, or raises SedgeError."""
    args = tyro.cli(ExportTensorRT, args=list(argv), prog="sedge export-tensorrt", description=DESCRIPTION)
    from edge_app.core.bundle import load_bundle
    from edge_app.store.places import engine_folder
    from export.tensorrt.engine import export_tensorrt, find_platform

    settings = _settings(args)
    bundle = load_bundle(args.bundle)
    platform = find_platform()
    console = Console(stderr=True)
    console.print(f"{platform.gpu.name}, TensorRT {platform.tensorrt_version}", highlight=False)
    with BuildProgress.shown(console) as progress:
        built = export_tensorrt(bundle, settings, platform, args.engines or engine_folder(), progress.take)
    Console().print(_result(built), soft_wrap=True, highlight=False)
    return EXIT_DONE


def _settings(args: ExportTensorRT) -> "EngineSettings":
    from pydantic import ValidationError

    from edge_app.core.errors import SedgeError
    from export.tensorrt.engine import EngineSettings

    profiles = tuple(profile.strip() for profile in args.profiles.split(","))
    fields = {name: getattr(args, name) for name in ("precision", "max_batch", "input", "version_compatible")}
    try:
        return EngineSettings(profiles=profiles, **fields)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, expected ")
        raise SedgeError(f"--{option}: expected {expected}, found {first['input']!r}") from error


def _result(built: "BuiltEngine") -> str:
    metadata = built.engine.metadata
    size = built.engine.path.stat().st_size / 1e6
    made = (
        f"built in {metadata.build_s:.0f} s"
        if built.is_new
        else f"was there already, of {metadata.created_at}"
    )
    return (
        f"engine: {built.engine.path} ({size:.1f} MB, {made}; "
        f"largest difference from the bundle's scores {built.parity.max_difference:.1e}, "
        f"within {built.parity.tolerance:.0e})"
    )


class BuildProgress:
    """Why an engine is built, then its phases: bars on a terminal, a line for each outermost one elsewhere."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    @classmethod
    @contextmanager
    def shown(cls, console: Console) -> Iterator["BuildProgress"]:
        """Show progress while the block runs."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        disable = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=disable) as progress:
            yield cls(console, progress)

    def take(self, event: "Event") -> None:
        """Show one event of the builder."""
        match event:
            case {"type": "reason", "message": str(message)}:
                self._console.print(f"building: {message}", markup=False, highlight=False, soft_wrap=True)
            case {"type": "phase", "phase": str(phase), "parent": parent, "steps": int(steps)}:
                self._begin(phase, parent, steps)
            case {"type": "step", "phase": str(phase), "step": int(step)} if phase in self._tasks:
                self._progress.update(self._tasks[phase], completed=step + 1)
            case {"type": "phase_end", "phase": str(phase)} if phase in self._tasks:
                self._progress.remove_task(self._tasks.pop(phase))

    def _begin(self, phase: str, parent: str | None, steps: int) -> None:
        self._tasks[phase] = self._progress.add_task(phase, total=steps)
        if parent is None and not self._console.is_terminal:
            self._console.print(phase, highlight=False)
