"""Calls of the fused graph that use every input as the app does, with what a reference gives on them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.core.bundle import Bundle, BundleManifest
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.core.runtime import EMPTY_LOGIT, FusedInput, FusedOutput, Runtime
from edge_app.core.tag_memory import HostTagMemory, TagMemory

BATCH = 8
EMPTY_SHARE = 5  # one slot of so many is empty in the batch's memories


@dataclass(frozen=True)
class ParityCall:
    """One call, its name for a person, and the outputs expected."""

    name: str
    call: FusedInput
    expected: FusedOutput


class Recorder:
    """Runtime that notes the calls which another one is given, and its outputs."""

    def __init__(self, runtime: Runtime, n_members: int, n_labels: int) -> None:
        self._runtime = runtime
        self._sizes = (n_members, n_labels)
        self.calls: list[tuple[FusedInput, FusedOutput]] = []

    @property
    def name(self) -> str:
        """What runs, in words."""
        return self._runtime.name

    def run(self, call: FusedInput) -> FusedOutput:
        """Run the other runtime once."""
        output = self._runtime.run(call)
        self.calls.append((call, output))
        return output

    def tag_memory(self, slots: int) -> TagMemory:
        """A memory whose steps are noted as well."""
        return HostTagMemory(self, slots, *self._sizes)


def parity_calls(bundle: Bundle, reference: Runtime, log_mel: NDArray[np.float32]) -> list[ParityCall]:
    """A clip, a padded clip, steps of a live stream and a batch, out of log-mel (frame, mel), looped where short.

    Raises SedgeError where there are no frames.
    """
    if not len(log_mel):
        raise SedgeError("recording to compare outputs on: expected at least one frame, found none")
    window, hop = bundle.manifest.tag_window_frames, bundle.manifest.hop_frames.default
    frames = np.take(log_mel, np.arange(window + 4 * hop), axis=0, mode="wrap")
    clip = whole_clip(bundle.manifest, frames[None, :window])
    clip_output = reference.run(clip)
    padded, batch = _padded(bundle, frames[:window]), _batch(frames[:window], clip_output)
    return [
        ParityCall("clip", clip, clip_output),
        ParityCall("padded clip", padded, reference.run(padded)),
        *_live_steps(bundle, reference, frames),
        ParityCall(f"batch of {BATCH} with memory", batch, reference.run(batch)),
    ]


def whole_clip(manifest: BundleManifest, log_mel: NDArray[np.float32]) -> FusedInput:
    """The call for log-mel (batch, frame, mel) of whole clips: all frames real and pooled, no memory."""
    ones = np.ones(log_mel.shape[:2], np.float32)
    none = np.empty((len(log_mel), len(manifest.members), 0, len(manifest.event_labels)), np.float32)
    return FusedInput(log_mel, ones, ones, none, none)


def _padded(bundle: Bundle, log_mel: NDArray[np.float32]) -> FusedInput:
    """A clip of three fifths of the frames, with padding before it (a context's worth) and after."""
    n_frames, before = len(log_mel), bundle.manifest.receptive_field_frames.tag_cnn
    valid = np.zeros(n_frames, np.float32)
    valid[before : before + 3 * n_frames // 5] = 1
    call = whole_clip(bundle.manifest, (log_mel * valid[:, None])[None])
    return FusedInput(call.log_mel, valid[None], valid[None], call.memory_logit, call.memory_evidence)


def _live_steps(bundle: Bundle, reference: Runtime, frames: NDArray[np.float32]) -> list[ParityCall]:
    """The first two steps of a stream, one with a full memory, and the last."""
    manifest = bundle.manifest
    recorder = Recorder(reference, len(manifest.members), len(manifest.event_labels))
    scorer = Detector(bundle, recorder, "live").scorer()
    scorer.push(frames)
    scorer.finish()
    last = len(recorder.calls)
    named = {f"live step {number}": number - 1 for number in (1, 2, last - 1)} | {"live flush": last - 1}
    return [ParityCall(name, *recorder.calls[index]) for name, index in named.items()]


def _batch(log_mel: NDArray[np.float32], clip_output: FusedOutput) -> FusedInput:
    """Pieces of a clip, each with padding of its own after it and the frames before it as its memory."""
    length = len(log_mel) // (BATCH + 1)
    pieces = log_mel[length : (BATCH + 1) * length].reshape(BATCH, length, -1).copy()
    valid = np.ones((BATCH, length), np.float32)
    for number in range(1, BATCH):
        valid[number, length - number :] = 0
    pooled = valid.copy()
    pooled[:, : length // 4] = 0
    memories = [
        np.concatenate([numbers[:, :, i * length : (i + 1) * length] for i in range(BATCH)])
        for numbers in (clip_output.logit, clip_output.evidence)
    ]
    for memory, empty in zip(memories, (EMPTY_LOGIT, 0), strict=True):
        memory[:, :, : length // EMPTY_SHARE] = empty
    return FusedInput(pieces * valid[:, :, None], valid, pooled, *memories)
