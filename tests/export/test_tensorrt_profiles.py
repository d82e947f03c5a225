"""The shapes that an engine is built for are those that detection feeds."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.bundle import Bundle, load_bundle
from edge_app.core.detect import Detector
from edge_app.core.parity import check_parity
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.tag_memory import HostTagMemory, TagMemory
from export.tensorrt.profiles import CallRange, Range, call_ranges, clip_range, input_shapes, live_range

HOPS = (5, 10, 25, 50)


@dataclass
class ShapesOnly:
    """Computes nothing, and keeps the calls."""

    bundle: Bundle
    calls: list[FusedInput] = field(default_factory=list)
    name = "shapes"

    def run(self, call: FusedInput) -> FusedOutput:
        self.calls.append(call)
        batch, frames, _ = call.log_mel.shape
        members, labels = len(self.bundle.manifest.members), len(self.bundle.manifest.event_labels)
        numbers = np.zeros((batch, members, frames, labels), np.float32)
        return FusedOutput(numbers[:, 0], numbers[:, :, 0], numbers, numbers)

    def tag_memory(self, slots: int) -> TagMemory:
        manifest = self.bundle.manifest
        return HostTagMemory(self, slots, len(manifest.members), len(manifest.event_labels))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The built-in one: hops of 5 to 50 frames, a window of 500, a context of 12."""
    return load_bundle()


def fed(bundle: Bundle, context: str, hop: int, n_frames: int, block: int) -> list[FusedInput]:
    runtime = ShapesOnly(bundle)
    scorer = Detector(bundle, runtime, context, hop).scorer()  # type: ignore[arg-type]
    frames = np.zeros((n_frames, 128), np.float32)
    for start in range(0, n_frames, block):
        scorer.push(frames[start : start + block])
    scorer.finish()
    return runtime.calls


@given(st.sampled_from(HOPS), st.integers(1, 700), st.integers(1, 120))
@settings(max_examples=60)
def test_every_live_step_is_within_the_live_profile(bundle, hop: int, n_frames: int, block: int) -> None:
    calls = live_range(bundle.manifest)
    assert all(calls.takes(call) for call in fed(bundle, "live", hop, n_frames, block))


@given(st.integers(1, 1700), st.integers(1, 600))
@settings(max_examples=60)
def test_every_window_of_a_file_is_within_the_clip_profile(bundle, n_frames: int, block: int) -> None:
    calls = clip_range(bundle.manifest, max_batch=1)
    assert all(calls.takes(call) for call in fed(bundle, "clip", 25, n_frames, block))


def test_the_profiles_are_no_wider_than_what_is_fed(bundle) -> None:
    live, clip = live_range(bundle.manifest), clip_range(bundle.manifest, max_batch=1)
    steps = [call for hop in (5, 50) for n in range(1, 130) for call in fed(bundle, "live", hop, n, 200)]
    windows = [call for n in (1, 511, 512, 513, 1000, 1013) for call in fed(bundle, "clip", 25, n, 600)]
    for calls, fed_calls in ((live, steps), (clip, windows)):
        frames = {call.log_mel.shape[1] for call in fed_calls}
        assert max(frames) == calls.frame.largest
        assert min(frames) - calls.frame.least in (0, 12)  # a lone frame is fed with its context
        past = {call.memory_logit.shape[2] for call in fed_calls}
        assert min(past) - calls.past.least in (0, 1)
        assert calls.past.largest - max(past) in (0, 1)


def test_kernels_are_timed_on_the_steady_step_and_on_full_batches(bundle) -> None:
    live, clip = call_ranges(bundle, ("live", "clip"), 8)
    assert (live.batch.usual, live.frame.usual, live.past.usual) == (1, 12 + 25 + 12, 475)
    assert (clip.batch.usual, clip.frame.usual, clip.past.usual) == (8, 500, 0)
    steady = fed(bundle, "live", 25, 300, 50)[-2]
    assert (steady.log_mel.shape[1], steady.memory_logit.shape[2]) == (live.frame.usual, live.past.usual)


@pytest.mark.parametrize("profiles", [("live",), ("clip",), ("live", "clip"), ("clip", "live")])
def test_whatever_the_profiles_one_takes_the_parity_clip(bundle, profiles) -> None:
    runtime = ShapesOnly(bundle)
    check_parity(bundle, runtime)
    assert any(calls.takes(runtime.calls[0]) for calls in call_ranges(bundle, profiles, 1))


def test_shapes_are_those_of_the_graphs_inputs(bundle) -> None:
    calls = CallRange(Range(1, 2, 4), Range(3, 5, 7), Range(0, 1, 9))
    members, labels = len(bundle.manifest.members), len(bundle.manifest.event_labels)
    memory = [[1, members, 0, labels], [2, members, 1, labels], [4, members, 9, labels]]
    rest = {
        "frame_valid": [[1, 3], [2, 5], [4, 7]],
        "frame_pooled": [[1, 3], [2, 5], [4, 7]],
        "memory_logit": memory,
        "memory_evidence": memory,
    }
    log_mel = {"log_mel": [[1, 3, 128], [2, 5, 128], [4, 7, 128]]}
    samples = {"waveform": [[1, 320 * 5], [2, 320 * 7], [4, 320 * 9]]}
    assert input_shapes(calls, bundle.manifest, waveform=False) == {**log_mel, **rest}
    assert input_shapes(calls, bundle.manifest, waveform=True) == {**samples, **rest}


def test_a_window_shorter_than_a_step_needs_no_negative_memory(bundle) -> None:
    short = bundle.manifest.model_copy(update={"tag_window_frames": 50})
    assert live_range(short).past.least == 0


def test_the_parity_clip_does_not_widen_the_first_of_two_profiles(bundle) -> None:
    assert call_ranges(bundle, ("live", "clip"), 1)[0] == live_range(bundle.manifest)
