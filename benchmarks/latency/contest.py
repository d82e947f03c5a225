"""The live step against recomputing the window, by turns on one signal."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.latency.live_path import Pace
from benchmarks.recording import looped
from benchmarks.report import Timing, spread, timing
from edge_app.core.detect import Detector
from edge_app.core.runtime import FusedInput, FusedOutput, Runtime

Result = TypeVar("Result")


def seconds_of(work: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds that some work takes, and its result."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


@dataclass(frozen=True, slots=True)
class Comparison:
    """The live step against recomputing the window, both from ready features."""

    step: Timing
    window: Timing
    ratio_of_medians: float
    """How many times cheaper the step is."""
    ratios: tuple[float, float] | None
    """From where to where the ratios of the pairs went; None for one pair."""


class Contest:
    """The live step and the recomputed window over the same features, shape (frame, mel), looped; steps in order.

    `window_runtime` runs the windows, where what runs the steps does not take them.
    """

    def __init__(
        self, detector: Detector, features: NDArray[np.float32], window_runtime: Runtime | None = None
    ) -> None:
        manifest = detector.bundle.manifest
        self.window_frames = manifest.tag_window_frames
        self._detector, self._features = detector, features
        self._window_runtime = window_runtime or detector.runtime
        self._scorer = detector.scorer()
        self._end = manifest.receptive_field_frames.tag_cnn  # frames that the scorer has been given
        self._scorer.push(looped(features, 0, self._end))
        self._no_memory = np.empty((1, len(manifest.members), 0, len(manifest.event_labels)), np.float32)

    def step_s(self) -> float:
        """Seconds of the next live step."""
        frames = looped(self._features, self._end, self._end + self._detector.hop_frames)
        self._end += len(frames)
        seconds, hops = seconds_of(lambda: self._scorer.push(frames))
        if len(hops) != 1:
            raise AssertionError(f"a hop's frames: expected one step, found {len(hops)}")
        return seconds

    def window_s(self) -> float:
        """Seconds of recomputing the window that ends where the last live step does."""
        return seconds_of(self.window())[0]

    def window(self) -> Callable[[], FusedOutput]:
        """What recomputes that window: all of it real and pooled, without memory."""
        return self.clips(1)

    def clips(self, batch: int) -> Callable[[], FusedOutput]:
        """What scores so many whole windows in one call: the newest, and earlier ones half a window apart."""
        ends = [self._end - each * self.window_frames // 2 for each in range(batch)]
        frames = np.stack([looped(self._features, end - self.window_frames, end) for end in ends])
        every = np.ones(frames.shape[:2], np.float32)
        memory = np.repeat(self._no_memory, batch, axis=0)
        call = FusedInput(frames, every, every, memory, memory)
        return lambda: self._window_runtime.run(call)


def compare(contest: Contest, n_pairs: int, pace: Pace | None = None) -> Comparison:
    """Run step and window by turns; each waits for the pace, if there is one."""
    steps_s: list[float] = []
    windows_s: list[float] = []
    for _ in range(n_pairs):
        for durations_s, run in ((steps_s, contest.step_s), (windows_s, contest.window_s)):
            if pace is not None:
                pace.wait()
            durations_s.append(run())
    step, window = timing(steps_s), timing(windows_s)
    pairs = [window_s / step_s for window_s, step_s in zip(windows_s, steps_s, strict=True)]
    return Comparison(step, window, window.p50_ms / step.p50_ms, spread(pairs) if n_pairs > 1 else None)
