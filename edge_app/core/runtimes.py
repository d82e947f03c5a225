"""Which runtime runs a bundle on this machine, and why none that is faster."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from edge_app.core.bundle import Bundle
from edge_app.core.errors import RuntimeUnavailable, SedgeError
from edge_app.core.parity import TOLERANCES, ParityResult, check_parity
from edge_app.core.runtime import Runtime
from edge_app.core.runtime_onnx import OnnxRuntime

RuntimeName = Literal["cpu", "cuda", "onnx-tensorrt", "tensorrt"]
RuntimeChoice = Literal["auto", RuntimeName]
RUNTIME_NAMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
FASTER_THAN_CPU: tuple[RuntimeName, ...] = ("tensorrt", "cuda")
"""What `auto` tries first, in this order. Not onnx-tensorrt, which compiles for minutes at every start."""


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
    """What it passed; the CPU is taken without a check."""

    @property
    def text(self) -> str:
        """What runs and why nothing faster, in words."""
        return runtime_text(self.runtime.name, self.passed_over)


def runtime_text(name: str, passed_over: tuple[PassedOver, ...]) -> str:
    """The name of what runs, followed by each faster runtime with the reason why it does not."""
    return "; ".join([name, *(f"not {other.name}: {other.reason}" for other in passed_over)])


def open_runtime(
    bundle: Bundle, choice: RuntimeChoice = "auto", threads: int = 1, engines: Path | None = None
) -> OpenedRuntime:
    """Open the runtime of that name, or with `auto` the fastest that runs here and passes the parity check.

    `engines` is the folder of engines compiled for this machine; without it there is no TensorRT. Raises
    RuntimeUnavailable where the one asked for cannot run: another is never taken in its place.
    """
    if choice != "auto":
        return _open(bundle, choice, threads, engines)
    passed_over: list[PassedOver] = []
    for name in FASTER_THAN_CPU:
        try:
            return replace(_open(bundle, name, threads, engines), passed_over=tuple(passed_over))
        except RuntimeUnavailable as error:
            passed_over.append(PassedOver(name, str(error)))
    return replace(_open(bundle, "cpu", threads, engines), passed_over=tuple(passed_over))


def _open(bundle: Bundle, name: RuntimeName, threads: int, engines: Path | None) -> OpenedRuntime:
    if name == "cpu":
        return OpenedRuntime(OnnxRuntime(bundle, threads))
    try:
        runtime, tolerance = _open_unchecked(bundle, name, threads, engines)
        parity = check_parity(bundle, runtime, tolerance)
    except SedgeError:
        raise
    except Exception as error:
        # Drivers and their libraries fail in ways of their own, at the first call as well.
        reason = " ".join(str(error).split())
        raise RuntimeUnavailable(f"expected {name} to run, found {type(error).__name__}: {reason}") from error
    if not parity.passed:
        raise RuntimeUnavailable(
            f"{runtime.name}: expected the bundle's own scores within {parity.tolerance:.1e}, "
            f"found a difference of {parity.max_difference:.1e}"
        )
    return OpenedRuntime(runtime, parity=parity)


def _open_unchecked(
    bundle: Bundle, name: Literal["cuda", "onnx-tensorrt", "tensorrt"], threads: int, engines: Path | None
) -> tuple[Runtime, float]:
    """The runtime, and how far it may be from the bundle's own scores."""
    tolerance = bundle.manifest.parity.tolerance
    if name != "tensorrt":
        return OnnxRuntime(bundle, threads, name), tolerance
    from edge_app.core.runtime_tensorrt import open_tensorrt

    runtime = open_tensorrt(bundle, engines)
    # An engine may round more than the graph that it was made of.
    return runtime, max(tolerance, TOLERANCES.get(runtime.engine.file.metadata.key.precision, 0.0))
