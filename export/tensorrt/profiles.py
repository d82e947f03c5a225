"""The shapes that an engine must take: one range for the live step, one for whole clips.

They are those that edge_app.core.hops feeds, with H the hop, W the frames that a tag is pooled over and C the
context. Live: C + H + C frames with W - H slots of memory each step, the first included; C + 1 ... C + (H + C - 1)
frames at the end of a stretch, with the rest of the window in the memory. Clips: a signal is cut into windows of W,
each fed with its context, so up to C + W + C frames, and only a signal shorter than a window has a memory, of empty
slots.
"""

from dataclasses import dataclass

import numpy as np

from edge_app.core.bundle import Bundle, BundleManifest
from edge_app.core.runtime import FusedInput
from export.waveform import INPUT_NAME, samples_for

ShapeRange = list[list[int]]
"""Least, usual and largest shape."""


@dataclass(frozen=True)
class Range:
    """An axis: TensorRT tunes for the usual size and must run all of them."""

    least: int
    usual: int
    largest: int

    def __contains__(self, size: int) -> bool:
        return self.least <= size <= self.largest

    def widened(self, size: int) -> "Range":
        """The range with that size in it."""
        return Range(min(self.least, size), self.usual, max(self.largest, size))


@dataclass(frozen=True)
class CallRange:
    """The calls that one optimisation profile takes."""

    batch: Range
    frame: Range
    past: Range

    def takes(self, call: FusedInput) -> bool:
        """Whether a call is in the range."""
        batch, frame, _ = call.log_mel.shape
        return batch in self.batch and frame in self.frame and call.memory_logit.shape[2] in self.past


def call_ranges(bundle: Bundle, profiles: tuple[str, ...], max_batch: int) -> list[CallRange]:
    """The range of each of the profiles `live` and `clip`, in order; the last one takes the parity clip too."""
    known = {"live": live_range(bundle.manifest), "clip": clip_range(bundle.manifest, max_batch)}
    ranges = [known[profile] for profile in profiles]
    ranges[-1] = _with_parity_clip(bundle, ranges[-1])
    return ranges


def live_range(manifest: BundleManifest) -> CallRange:
    """Steps of every allowed hop, and the end of a stretch; one stream at a time."""
    context, window = manifest.receptive_field_frames.tag_cnn, manifest.tag_window_frames
    usual, longest = manifest.hop_frames.default, max(manifest.hop_frames.allowed)
    return CallRange(
        batch=Range(1, 1, 1),
        frame=Range(context + 1, usual + 2 * context, longest + 2 * context),
        past=Range(max(0, window - longest - context), window - usual, window),
    )


def clip_range(manifest: BundleManifest, max_batch: int) -> CallRange:
    """Up to `max_batch` signals at once, each up to a window of the tag with its context."""
    context, window = manifest.receptive_field_frames.tag_cnn, manifest.tag_window_frames
    return CallRange(
        batch=Range(1, max_batch, max_batch),
        frame=Range(1, window, window + 2 * context),
        past=Range(0, 0, window),
    )


def _with_parity_clip(bundle: Bundle, calls: CallRange) -> CallRange:
    with np.load(bundle.parity_path, allow_pickle=False) as arrays:
        batch, frame, _ = arrays["log_mel"].shape
        past = arrays["memory_logit"].shape[2]
    return CallRange(calls.batch.widened(batch), calls.frame.widened(frame), calls.past.widened(past))


def input_shapes(calls: CallRange, manifest: BundleManifest, waveform: bool) -> dict[str, ShapeRange]:
    """Least, usual and largest shape of every input of the graph; `waveform`: samples instead of log-mel frames."""
    shapes: dict[str, ShapeRange] = {}
    for size in ("least", "usual", "largest"):
        batch, frame, past = (getattr(axis, size) for axis in (calls.batch, calls.frame, calls.past))
        memory = [batch, len(manifest.members), past, len(manifest.event_labels)]
        signal = (
            {INPUT_NAME: [batch, samples_for(frame, manifest.log_mel)]}
            if waveform
            else {"log_mel": [batch, frame, manifest.log_mel.n_mels]}
        )
        rest = {"frame_valid": [batch, frame], "frame_pooled": [batch, frame]}
        memories = {"memory_logit": memory, "memory_evidence": memory}
        for name, shape in {**signal, **rest, **memories}.items():
            shapes.setdefault(name, []).append(shape)
    return shapes
