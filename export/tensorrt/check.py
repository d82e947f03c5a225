"""Whether an engine gives the bundle's own scores: it must, before it is kept."""

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import read_blocks
from edge_app.core.bundle import Bundle
from edge_app.core.cuda_memory import Stream
from edge_app.core.engine_cache import EngineFile
from edge_app.core.errors import SedgeError
from edge_app.core.gpu import find_gpu
from edge_app.core.logmel import log_mel
from edge_app.core.parity import EXPECTED, ParityResult, allowed_difference, check_parity
from edge_app.core.runtime import EMPTY_LOGIT, FusedInput
from edge_app.core.runtime_onnx import OnnxRuntime
from edge_app.core.runtime_tensorrt import ArrayRunner, TensorRTRuntime
from edge_app.core.tensorrt_engine import Engine, EngineSession, load_tensorrt
from export.tensorrt.profiles import call_ranges
from export.waveform import INPUT_NAME, samples_for

WAVEFORM_TOLERANCE = 1e-3
"""The features are computed another way: their last digits differ."""

Arrays = dict[str, NDArray[np.float32]]


def check_engine(bundle: Bundle, engine: EngineFile) -> ParityResult:
    """Run a clip on the engine and compare scores and tags: with the recorded ones, or for samples with the CPU's.

    Raises SedgeError where the engine cannot be run, or they are further apart than its precision explains.
    """
    try:
        found = _difference(bundle, engine)
    except SedgeError:
        raise
    except Exception as error:  # drivers and their libraries fail in ways of their own
        reason = " ".join(str(error).split())
        raise SedgeError(f"engine: expected it to run, found {type(error).__name__}: {reason}") from error
    result = ParityResult(found, tolerance_of(bundle, engine))
    if not result.passed:
        raise SedgeError(
            f"engine: expected the bundle's own scores within {result.tolerance:.0e}, "
            f"found a difference of {result.max_difference:.1e}"
        )
    return result


def tolerance_of(bundle: Bundle, engine: EngineFile) -> float:
    """How far an engine's scores and tags may be from the bundle's."""
    key = engine.metadata.key
    tolerance = allowed_difference(bundle, key.precision)
    return max(tolerance, WAVEFORM_TOLERANCE) if key.input == "waveform" else tolerance


def _difference(bundle: Bundle, engine: EngineFile) -> float:
    if engine.metadata.key.input == "waveform":
        return _waveform_difference(bundle, engine)
    return check_parity(bundle, TensorRTRuntime(bundle, engine)).max_difference


def _waveform_difference(bundle: Bundle, engine: EngineFile) -> float:
    samples, call = _recorded_call(bundle, engine)
    expected = OnnxRuntime(bundle).run(call)
    rest = ("frame_valid", "frame_pooled", "memory_logit", "memory_evidence")
    found = run_engine(engine, {INPUT_NAME: samples, **{name: getattr(call, name) for name in rest}})
    return float(np.max([np.abs(found[name] - getattr(expected, name)).max() for name in EXPECTED]))


def _recorded_call(bundle: Bundle, engine: EngineFile) -> tuple[NDArray[np.float32], FusedInput]:
    """A piece of the recording that comes with the program as samples and as features, with an empty memory."""
    from edge_app.commands.demo import RECORDING

    manifest, key = bundle.manifest, engine.metadata.key
    calls = call_ranges(bundle, key.profiles, key.max_batch)[0]
    frames, past = calls.frame.usual, calls.past.usual
    waveform = np.concatenate(list(read_blocks(RECORDING, manifest.log_mel.sample_rate)))
    whole = np.resize(waveform, frames * manifest.log_mel.hop_length).astype(np.float32)
    samples = np.pad(whole, manifest.log_mel.margin)[None]
    assert samples.shape[1] == samples_for(frames, manifest.log_mel)
    ones = np.ones((1, frames), np.float32)
    shape = (1, len(manifest.members), past, len(manifest.event_labels))
    memory = np.full(shape, EMPTY_LOGIT, np.float32), np.zeros(shape, np.float32)
    return samples, FusedInput(log_mel(whole, manifest.log_mel)[None], ones, ones, *memory)


def run_engine(file: EngineFile, inputs: Arrays) -> Arrays:
    """Run an engine once, whatever its inputs are; RuntimeUnavailable where it does not load or take them."""
    engine = Engine(load_tensorrt(find_gpu()), file)
    profile = engine.fitting_profile({name: array.shape for name, array in inputs.items()})
    return ArrayRunner(EngineSession(engine, Stream()), profile).run(inputs)
