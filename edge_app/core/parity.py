"""Whether a runtime gives, on a bundle's own clip, the scores that the graph was exported with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.core.bundle import Bundle
from edge_app.core.errors import BundleError
from edge_app.core.runtime import INPUT_NAMES, FusedInput, Runtime

EXPECTED = ("scores", "tags")
TOLERANCES = {"float32": 1e-4, "float16": 1e-2}
"""How far an output may be from torch's in float32, by the precision of weights and activations."""


def allowed_difference(bundle: Bundle, precision: str) -> float:
    """How far outputs may be from the bundle's own, in this precision, which may round more than its graph."""
    return max(bundle.manifest.parity.tolerance, TOLERANCES.get(precision, 0.0))


@dataclass(frozen=True, slots=True)
class ParityResult:
    """How far a runtime is from the exported scores."""

    max_difference: float
    """Largest absolute difference of a score or a tag; not a number where the runtime gave one."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.max_difference <= self.tolerance


def check_parity(bundle: Bundle, runtime: Runtime, tolerance: float | None = None) -> ParityResult:
    """Run the bundle's clip and compare scores and tags with the recorded ones, within the bundle's own tolerance.

    A runtime that rounds more than the bundle's graph has another `tolerance`.
    Raises BundleError where the recorded arrays are not all there or not of the shapes it gives.
    """
    arrays = _read(bundle)
    output = runtime.run(FusedInput(*(arrays[name] for name in INPUT_NAMES)))
    differences = []
    for name in EXPECTED:
        found: NDArray[np.float32] = getattr(output, name)
        if found.shape != arrays[name].shape:
            raise BundleError(
                f"{bundle.parity_path}: {name}: expected shape {found.shape}, found {arrays[name].shape}"
            )
        differences.append(np.abs(found - arrays[name]).max(initial=0))
    if tolerance is None:
        tolerance = bundle.manifest.parity.tolerance
    return ParityResult(float(np.max(differences)), tolerance)


def _read(bundle: Bundle) -> dict[str, NDArray[np.float32]]:
    path = bundle.parity_path
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (*INPUT_NAMES, *EXPECTED) if name in archive}
    except Exception as error:  # a damaged archive fails in zipfile, zlib or NumPy, each in its own way
        raise BundleError(f"{path}: expected an archive of arrays, found: {error}") from error
    for name in (*INPUT_NAMES, *EXPECTED):
        if name not in arrays:
            raise BundleError(f"{path}: expected the array {name}, found {sorted(arrays)}")
        if arrays[name].dtype != np.float32:
            raise BundleError(f"{path}: {name}: expected float32, found {arrays[name].dtype}")
    return arrays
