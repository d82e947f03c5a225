"""Whether every runtime at hand gives what a bundle must give: outputs, events, and the memory it takes for them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import read_blocks
from edge_app.core.bundle import Bundle
from edge_app.core.detect import Context, Detector
from edge_app.core.errors import RuntimeUnavailable, SedgeError
from edge_app.core.logmel import log_mel
from edge_app.core.parity import allowed_difference, check_parity
from edge_app.core.runtime import INPUT_NAMES, OUTPUT_NAMES, FusedInput, Runtime
from edge_app.core.runtime_tensorrt import TensorRTRuntime
from edge_app.core.runtimes import RUNTIME_NAMES, PassedOver, RuntimeName, open_runtime
from edge_app.core.tensorrt_engine import ShapeRefused
from export.checking.agreement import Heard, disagreements, hear, n_same
from export.checking.calls import parity_calls
from export.checking.peak_memory import can_measure, peak_of
from export.checking.report import Agreement, CheckReport, Difference, Memory

AXES = {
    "scores": ("batch", "frame", "label"),
    "tags": ("batch", "member", "label"),
    "logit": ("batch", "member", "frame", "label"),
    "evidence": ("batch", "member", "frame", "label"),
}
STORED_CLIP = "stored clip"
REFERENCE: RuntimeName = "cpu"


@dataclass(frozen=True)
class Reference:
    """What runtimes are compared with."""

    name: str
    runtime: Runtime


def tolerance_of(bundle: Bundle, runtime: Runtime) -> float:
    """How far an output may be from the reference: what the bundle records, more where a runtime rounds more."""
    precision: str = bundle.manifest.graph.precision
    if isinstance(runtime, TensorRTRuntime):
        precision = runtime.engine.file.metadata.key.precision
    return allowed_difference(bundle, precision)


def open_all(
    bundle: Bundle, names: Sequence[RuntimeName], engines: Path
) -> tuple[dict[RuntimeName, Runtime], tuple[PassedOver, ...]]:
    """The runtimes of these names that open here, and the others with their reasons."""
    opened: dict[RuntimeName, Runtime] = {}
    passed_over = []
    for name in names:
        try:
            opened[name] = open_runtime(bundle, name, engines=engines, check=False).runtime
        except RuntimeUnavailable as error:
            passed_over.append(PassedOver(name, str(error)))
    return opened, tuple(passed_over)


def check(
    bundle: Bundle,
    names: Sequence[RuntimeName],
    recordings: Sequence[Path],
    engines: Path,
    torch_runtime: Runtime | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> CheckReport:
    """Check the runtimes of these names, or all where none is named.

    Outputs are compared with the bundle's clip and the torch reference, on calls cut from the first recording; events
    with that reference or, without it, the CPU runtime. SedgeError where the bundle or a recording cannot be used.
    """
    on_step("opening runtimes")
    opened, passed_over = open_all(bundle, names or RUNTIME_NAMES, engines)
    checker = Checker(bundle, _reference(bundle, opened, torch_runtime), recordings, on_step)
    for name, runtime in opened.items():
        checker.check(name, runtime)
    return CheckReport(
        bundle=bundle.manifest.name,
        precision=bundle.manifest.graph.precision,
        opened={name: runtime.name for name, runtime in opened.items()},
        passed_over=passed_over,
        missing=passed_over if names else (),
        failures=checker.failures,
        not_taken=tuple(checker.not_taken),
        differences=tuple(checker.differences),
        agreements=tuple(checker.agreements),
        memory=tuple(_memory(bundle, name, engines, on_step) for name in opened if can_measure()),
    )


def _reference(
    bundle: Bundle, opened: Mapping[RuntimeName, Runtime], torch_runtime: Runtime | None
) -> Reference:
    cpu = opened.get(REFERENCE) or open_runtime(bundle, REFERENCE).runtime
    check_parity(bundle, cpu)  # the stored clip must be readable and of the right shapes
    return Reference("torch", torch_runtime) if torch_runtime else Reference(REFERENCE, cpu)


class Checker:
    """Compares runtimes, one after the other; what the reference gives is computed once."""

    def __init__(
        self, bundle: Bundle, reference: Reference, recordings: Sequence[Path], on_step: Callable[[str], None]
    ) -> None:
        self._bundle, self._reference, self._recordings = bundle, reference, recordings
        self._on_step = on_step
        self._stored = _stored_clip(bundle)
        self._calls = []
        if reference.name != REFERENCE:
            on_step(f"{reference.name}: running the calls to compare")
            self._calls = parity_calls(bundle, reference.runtime, _features(bundle, recordings[0]))
        self._expected: dict[tuple[Context, Path], Heard] = {}
        self.differences: list[Difference] = []
        self.agreements: list[Agreement] = []
        self.not_taken: list[str] = []
        self.failures: dict[str, str] = {}

    def check(self, name: RuntimeName, runtime: Runtime) -> None:
        """Add the rows of one runtime, or what it stopped with."""
        try:
            self._check(name, runtime)
        except RuntimeUnavailable as error:
            self.failures[name] = str(error)
        except SedgeError:
            raise
        except Exception as error:  # each runtime's library fails in ways of its own
            self.failures[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"

    def _check(self, name: RuntimeName, runtime: Runtime) -> None:
        labels, limit = self._bundle.manifest.event_labels, tolerance_of(self._bundle, runtime)
        self._on_step(f"{name}: outputs")
        call, arrays = self._stored
        found = runtime.run(call)
        for output, expected in arrays.items():
            value, place = worst(output, getattr(found, output), expected, labels)
            self.differences.append(Difference(name, STORED_CLIP, output, value, limit, place))
        self.differences += self._call_differences(name, runtime)
        if name == self._reference.name:
            return
        for context in get_args(Context):
            with self._noting(f"{name}: {context} context"):
                self.agreements.append(self._agreement(name, runtime, context))

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """Note what a runtime does not take: an engine may have been compiled for live steps alone."""
        try:
            yield
        except ShapeRefused as error:
            self.not_taken.append(f"{what}: {error}")

    def _call_differences(self, name: str, runtime: Runtime) -> Iterator[Difference]:
        labels, limit = self._bundle.manifest.event_labels, tolerance_of(self._bundle, runtime)
        outputs = {}
        for each in self._calls:
            with self._noting(f"{name}: {each.name}"):
                outputs[each.name] = (runtime.run(each.call), each.expected)
        for output in OUTPUT_NAMES if outputs else ():
            found = [
                (*worst(output, getattr(given, output), getattr(expected, output), labels), call_name)
                for call_name, (given, expected) in outputs.items()
            ]
            value, place, call_name = max(found, key=lambda one: one[0])
            yield Difference(name, self._reference.name, output, value, limit, f"{call_name}: {place}")

    def _agreement(self, name: str, runtime: Runtime, context: Context) -> Agreement:
        manifest, limit = self._bundle.manifest, tolerance_of(self._bundle, runtime)
        detector = Detector(self._bundle, runtime, context)
        same = n_expected = 0
        worst_score, stretches = 0.0, []
        for path in self._recordings:
            self._on_step(f"{name}: {context} context, {path.name}")
            expected, found = self._heard_by_reference(context, path), hear(detector, path)
            worst_score = max(
                worst_score,
                worst("scores", found.scores[None], expected.scores[None], manifest.event_labels)[0],
            )
            n_expected += len(expected.events)
            same += n_same(expected.events, found.events)
            differing = disagreements(expected, found, manifest.event_labels, manifest.decoding, limit)
            stretches += [(one.excused, f"{path.name}: {one.text}") for one in differing]
        excused, unexcused = (
            tuple(text for is_so, text in stretches if is_so == kind) for kind in (True, False)
        )
        counts = (len(self._recordings), worst_score, limit, n_expected, same)
        return Agreement(name, self._reference.name, context, *counts, excused, unexcused)

    def _heard_by_reference(self, context: Context, path: Path) -> Heard:
        if (context, path) not in self._expected:
            detector = Detector(self._bundle, self._reference.runtime, context)
            self._expected[context, path] = hear(detector, path)
        return self._expected[context, path]


def worst(
    output: str, found: NDArray[np.float32], expected: NDArray[np.float32], event_labels: Sequence[str]
) -> tuple[float, str]:
    """The largest difference of an output, as a share of what is expected where that is above 1, and its place."""
    if found.shape != expected.shape:
        return math.inf, f"expected shape {expected.shape}, found {found.shape}"
    if not found.size:
        return 0.0, "nothing to compare"
    differences = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    differences[~np.isfinite(found)] = math.inf
    index = np.unravel_index(int(differences.argmax()), differences.shape)
    names = [f"{axis} {i}" for axis, i in zip(AXES[output][:-1], index[:-1], strict=True)]
    return float(differences[index]), ", ".join([*names, event_labels[int(index[-1])]])


def _stored_clip(bundle: Bundle) -> tuple[FusedInput, dict[str, NDArray[np.float32]]]:
    """The bundle's clip and the outputs that it records."""
    with np.load(bundle.parity_path, allow_pickle=False) as archive:
        call = FusedInput(*(archive[name] for name in INPUT_NAMES))
        return call, {name: archive[name] for name in OUTPUT_NAMES if name in archive}


def _features(bundle: Bundle, recording: Path) -> NDArray[np.float32]:
    settings = bundle.manifest.log_mel
    return log_mel(np.concatenate(list(read_blocks(recording, settings.sample_rate))), settings)


def _memory(bundle: Bundle, name: RuntimeName, engines: Path, on_step: Callable[[str], None]) -> Memory:
    on_step(f"{name}: memory, in a process of its own")
    try:
        return Memory(name, peak_of(bundle.folder, name, engines))
    except SedgeError as error:
        return Memory(name, None, str(error))
