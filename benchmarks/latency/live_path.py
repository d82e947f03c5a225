"""The live path from a microphone's blocks to news of events, with a stopwatch on every stage."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.recording import looped
from edge_app.core.audio import MonoResampler
from edge_app.core.decode import Decoder
from edge_app.core.detect import Detector
from edge_app.core.hops import ScoredHop
from edge_app.core.runtime import FusedInput, FusedOutput, Runtime
from edge_app.core.tag_memory import HostTagMemory, StepOutput, TagMemory

STAGES = ("resample", "features", "inference", "pooling", "decode")
"""`pooling` is what the tag memory and the cutting of frames do around the graph's own run, `inference`. Where the
memory stays on the device, its part of it is in `inference`."""
WHOLE = "whole hop"
LAST_BLOCK = "last block to news"

Result = TypeVar("Result")
Clock = Callable[[], float]


class Pace:
    """Evenly spaced moments to wait for, as a microphone's blocks come; one that is past is not waited for."""

    def __init__(
        self, interval_s: float, clock: Clock = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._interval_s, self._clock, self._sleep = interval_s, clock, sleep
        self._next: float | None = None

    def wait(self) -> None:
        """Wait for the next moment; the first call begins the count."""
        self._next = (self._clock() if self._next is None else self._next) + self._interval_s
        remaining_s = self._next - self._clock()
        if remaining_s > 0:
            self._sleep(remaining_s)


@dataclass
class Stopwatch:
    """Adds up the seconds that some work takes."""

    clock: Clock
    spent_s: float = 0.0

    def time(self, work: Callable[[], Result]) -> Result:
        """Do the work."""
        begin = self.clock()
        result = work()
        self.spent_s += self.clock() - begin
        return result


class TimedRuntime:
    """A runtime with a stopwatch on the graph's run, or on the device's whole step where its memory is there."""

    def __init__(self, detector: Detector, stopwatch: Stopwatch) -> None:
        manifest = detector.bundle.manifest
        self._runtime: Runtime = detector.runtime
        self._stopwatch = stopwatch
        self._shape = (len(manifest.members), len(manifest.event_labels))
        self.name = detector.runtime.name

    def run(self, call: FusedInput) -> FusedOutput:
        """Run the graph once."""
        return self._stopwatch.time(lambda: self._runtime.run(call))

    def tag_memory(self, slots: int) -> TagMemory:
        """An empty memory of `slots` frames, of the runtime's own kind."""
        memory = self._runtime.tag_memory(slots)
        if isinstance(memory, HostTagMemory):
            return HostTagMemory(self, slots, *self._shape)
        return _TimedMemory(memory, self._stopwatch)


@dataclass(frozen=True)
class _TimedMemory:
    """A memory on the device, whose step cannot be taken apart from here."""

    memory: TagMemory
    stopwatch: Stopwatch

    def step(
        self, log_mel: NDArray[np.float32], frame_valid: NDArray[np.float32], past: int, pooled: slice
    ) -> StepOutput:
        return self.stopwatch.time(lambda: self.memory.step(log_mel, frame_valid, past, pooled))


class LivePath:
    """One gapless stretch, as the engine's inference thread takes it, from samples at `source_rate` Hz on."""

    def __init__(self, detector: Detector, source_rate: int, clock: Clock = time.perf_counter) -> None:
        manifest = detector.bundle.manifest
        self.spent: list[dict[str, float]] = []
        """Seconds by stage of each hop: all work since the hop before."""
        self._inference = Stopwatch(clock)
        timed = TimedRuntime(detector, self._inference)
        self._resampler = MonoResampler(source_rate, manifest.log_mel.sample_rate)
        self._features = detector.features()
        self._scorer = Detector(detector.bundle, timed, "live", detector.hop_frames).scorer()
        self._decoder = Decoder(detector.event_labels, manifest.decoding)
        self._clock = clock
        self._current = dict.fromkeys(STAGES, 0.0)

    def push(self, samples: NDArray[np.float32]) -> list[ScoredHop]:
        """Take samples, shape (sample,); give the hops that are now complete."""
        before_s = sum(self._current.values())
        resampled = self._timed("resample", self._resampler.push, samples)
        frames = self._timed("features", self._features.push, resampled)
        hops = self._score(frames)
        for hop in hops:
            self._timed("decode", self._decoder.push, hop.scores)
        if hops:
            whole_s = sum(self._current.values())
            self.spent.append({**self._current, WHOLE: whole_s, LAST_BLOCK: whole_s - before_s})
            self._current = dict.fromkeys(STAGES, 0.0)
        return hops

    def _score(self, frames: NDArray[np.float32]) -> list[ScoredHop]:
        """Score what is complete: the graph's time is inference, the rest of it pooling."""
        before_s = self._inference.spent_s
        hops = self._timed("pooling", self._scorer.push, frames)
        inference_s = self._inference.spent_s - before_s
        self._current["inference"] += inference_s
        self._current["pooling"] -= inference_s
        return hops

    def _timed(
        self, stage: str, work: Callable[[NDArray[np.float32]], Result], argument: NDArray[np.float32]
    ) -> Result:
        begin = self._clock()
        result = work(argument)
        self._current[stage] += self._clock() - begin
        return result


def time_stages(
    path: LivePath,
    signal: NDArray[np.float32],
    block: int,
    n_hops: int,
    warm_up: int,
    pace: Pace | None = None,
    on_warm: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Feed a looped signal in blocks of `block` samples; seconds by stage of `n_hops` hops after `warm_up` more.

    The warm-up runs back to back, then `on_warm` is called; after it each block waits for the pace, if there is one.
    """
    done, is_warm = 0, False
    while len(path.spent) < warm_up + n_hops:
        if not is_warm and len(path.spent) >= warm_up:
            is_warm = True
            on_warm()
        if pace is not None and is_warm:
            pace.wait()
        path.push(looped(signal, done, done + block))
        done += block
    return {name: [hop[name] for hop in path.spent[warm_up:]] for name in (*STAGES, WHOLE, LAST_BLOCK)}
