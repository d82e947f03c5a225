"""Which runtime runs a bundle on this machine, and why none that is faster."""

from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from edge_app.core.bundle import Bundle
from edge_app.core.engine_cache import ProfileName
from edge_app.core.errors import RuntimeUnavailable, SedgeError
from edge_app.core.parity import ParityResult, allowed_difference, check_parity
from edge_app.core.runtime import Runtime
from edge_app.core.runtime_onnx import OnnxRuntime

if TYPE_CHECKING:
    from edge_app.core.runtime_tensorrt import TensorRTRuntime

RuntimeName = Literal["cpu", "cuda", "onnx-tensorrt", "tensorrt"]
RuntimeChoice = Literal["auto", RuntimeName]
RUNTIME_NAMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
FASTER_THAN_CPU: tuple[RuntimeName, ...] = ("tensorrt", "cuda")
"""What `auto` tries first, in this order. Not onnx-tensorrt, which compiles for minutes at every start."""


class ParityError(RuntimeUnavailable):
    """A runtime that runs, and gives other scores than the bundle records."""


@dataclass(frozen=True)
class PassedOver:
    """A faster runtime that does not run."""

    name: RuntimeName
    reason: str
    """Why not, and what to do about it."""


@dataclass(frozen=True)
class OpenedRuntime:
    """What runs a bundle."""

    runtime: Runtime
    passed_over: tuple[PassedOver, ...] = ()
    """The fastest first; empty where a runtime was asked for by name."""
    parity: ParityResult | None = None
    """What it passed; None for the CPU and where no check was asked for."""

    @property
    def text(self) -> str:
        """What runs and why nothing faster, in words."""
        return runtime_text(self.runtime.name, self.passed_over)


def runtime_text(name: str, passed_over: tuple[PassedOver, ...]) -> str:
    """The name of what runs, followed by the faster runtimes with the reason why they do not."""
    reasons = [
        f"not {' or '.join(other.name for other in others)}: {reason}"
        for reason, others in groupby(passed_over, lambda other: other.reason)
    ]
    return "; ".join([name, *reasons])


def open_runtime(
    bundle: Bundle,
    choice: RuntimeChoice = "auto",
    threads: int = 1,
    engines: Path | None = None,
    profile: ProfileName = "live",
    check: bool = True,
) -> OpenedRuntime:
    """Open the runtime of that name, or with `auto` the fastest that runs here and passes the parity check.

    `engines` is the folder of engines compiled for this machine; without it there is no TensorRT. `profile` is what
    the runtime will be asked for: not every engine takes whole clips. Raises RuntimeUnavailable where the one asked
    for cannot run, and ParityError where it computes something else: another is never taken in its place. Without
    `check` it is opened whatever it computes.
    """
    open_named = partial(_open, bundle, threads=threads, engines=engines, profile=profile, check=check)
    if choice != "auto":
        return open_named(choice)
    passed_over: list[PassedOver] = []
    for name in FASTER_THAN_CPU:
        try:
            return replace(open_named(name), passed_over=tuple(passed_over))
        except RuntimeUnavailable as error:
            passed_over.append(PassedOver(name, str(error)))
    return replace(open_named("cpu"), passed_over=tuple(passed_over))


def _open(
    bundle: Bundle, name: RuntimeName, threads: int, engines: Path | None, profile: ProfileName, check: bool
) -> OpenedRuntime:
    if name == "cpu":
        return OpenedRuntime(OnnxRuntime(bundle, threads))
    tolerance = bundle.manifest.parity.tolerance
    try:
        runtime: Runtime
        if name == "tensorrt":
            runtime, tolerance = _open_tensorrt(bundle, engines, profile)
        else:
            runtime = OnnxRuntime(bundle, threads, name)
        parity = check_parity(bundle, runtime, tolerance) if check else None
    except SedgeError:
        raise
    except Exception as error:
        # Drivers and their libraries fail in ways of their own, at the first call as well.
        reason = " ".join(str(error).split())
        raise RuntimeUnavailable(f"expected {name} to run, found {type(error).__name__}: {reason}") from error
    if parity and not parity.passed:
        raise ParityError(
            f"{runtime.name}: expected the bundle's own scores within {parity.tolerance:.1e}, "
            f"found a difference of {parity.max_difference:.1e}"
        )
    return OpenedRuntime(runtime, parity=parity)


def _open_tensorrt(
    bundle: Bundle, engines: Path | None, profile: ProfileName
) -> tuple["TensorRTRuntime", float]:
    """The runtime, and how far it may be from the bundle's own scores."""
    from edge_app.core.runtime_tensorrt import open_tensorrt

    runtime = open_tensorrt(bundle, engines, profile)
    return runtime, allowed_difference(bundle, runtime.engine.file.metadata.key.precision)
