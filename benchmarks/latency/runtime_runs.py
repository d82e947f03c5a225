"""Everything that is timed on one runtime: load, first runs, live steps of every hop, windows, batches of clips."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.latency.contest import Comparison, Contest, compare, seconds_of
from benchmarks.latency.live_path import WHOLE, LivePath, Pace, time_stages
from benchmarks.machine_watch import MachineUse, MachineWatch, drift, drift_warnings
from benchmarks.recording import soundscape
from edge_app.core.bundle import load_bundle
from edge_app.core.detect import Detector
from edge_app.core.errors import RuntimeUnavailable
from edge_app.core.events import FRAME_S
from edge_app.core.logmel import log_mel
from edge_app.core.runtime import Runtime
from edge_app.core.runtimes import PassedOver, RuntimeName, open_runtime
from edge_app.store.places import engine_folder
from edge_app.stream.driver import BLOCK_S

SOURCE_RATE = 44_100
WARM_UP_RUNS = 10
HOT, PACED = "hot", "paced"
LEAST_HOT_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How much is run."""

    hops: tuple[int, ...]
    """Frames of the live steps; the first is compared with the window."""
    seconds: float
    """Sound of the hot runs of one hop."""
    paced_seconds: float
    most_batch: int
    clip_calls: int
    """Calls of each size of batch."""
    threads: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A runtime and what runs whole windows, which may be another engine of its."""

    name: RuntimeName
    live: Detector
    window_runtime: Runtime | None
    no_windows: str
    """Why there is none; empty where there is one."""
    load_s: float
    """Reading and checking the bundle, and making the graph ready to run."""


@dataclass(frozen=True, slots=True)
class HopRuns:
    """Live steps of one hop, from sound to news."""

    spent_s: dict[str, list[float]]
    """Seconds of every hop by stage, by all of them, and from its last block on."""
    use: MachineUse


@dataclass
class RuntimeRuns:
    """What was measured on one runtime, in seconds."""

    name: RuntimeName
    text: str
    load_s: float
    first_step_s: float
    first_window_s: float | None
    warm_up_steps: int
    """Live steps that were run before the first one that counts: they fill the memory."""
    hops: dict[int, dict[str, HopRuns]] = field(default_factory=dict)
    """By frames of the hop, then hot and paced."""
    comparison: dict[str, Comparison] = field(default_factory=dict)
    """By hot and paced, at the first hop; empty where the runtime does not take windows."""
    clips_s: dict[int, list[float]] = field(default_factory=dict)
    """Of a whole call, by the number of clips in it."""
    no_windows: str = ""

    @property
    def main_hop(self) -> int:
        """Frames of the hop that the budget holds for."""
        return next(iter(self.hops))

    @property
    def drift(self) -> float | None:
        """How the last hot steps compare with the first; None for too few."""
        return drift(self.hops[self.main_hop][HOT].spent_s[WHOLE])

    @property
    def warnings(self) -> list[str]:
        """What may have slowed the measurement down, in words."""
        uses = [runs.use for paces in self.hops.values() for runs in paces.values()]
        words = [word for use in uses for word in use.warnings()]
        return [*drift_warnings(self.drift), *self._competition(), *dict.fromkeys(words)]

    def _competition(self) -> list[str]:
        """In words, that hot steps on the processor, which never wait, did not have a core to themselves."""
        shares = [paces[HOT].use.cpu_share for paces in self.hops.values() if HOT in paces]
        if self.name != "cpu" or min(shares, default=1.0) >= LEAST_HOT_SHARE:
            return []
        return [f"other programs took the processor: hot steps had {min(shares):.0%} of a core"]


def measure_all(
    bundle: Path | None, names: Sequence[RuntimeName], settings: RunSettings
) -> tuple[list[RuntimeRuns], list[PassedOver]]:
    """Measure every runtime that runs here, and give the others with the reason.

    One is opened after the one before is gone: none is measured with the memory and threads of another beside it.
    Raises SedgeError where the bundle is unusable.
    """
    measured, passed_over = [], []
    for name in names:
        try:
            measured.append(measure_runtime(open_one(bundle, name, settings.threads), settings))
        except RuntimeUnavailable as error:
            passed_over.append(PassedOver(name, str(error)))
    return measured, passed_over


def open_one(bundle: Path | None, name: RuntimeName, threads: int) -> Opened:
    """Open a runtime from the bundle's folder on. Raises RuntimeUnavailable where it does not run here."""

    def load() -> Detector:
        loaded = load_bundle(bundle)
        opened = open_runtime(loaded, name, threads, engine_folder())
        return Detector(loaded, opened.runtime, "live")

    load_s, detector = seconds_of(load)
    if name != "tensorrt":
        return Opened(name, detector, detector.runtime, "", load_s)
    try:
        clip = open_runtime(detector.bundle, name, threads, engine_folder(), "clip")
    except RuntimeUnavailable as error:
        return Opened(name, detector, None, str(error), load_s)
    return Opened(name, detector, clip.runtime, "", load_s)


def measure_runtime(opened: Opened, settings: RunSettings) -> RuntimeRuns:
    """Run everything on one runtime."""
    detector = _at_hop(opened.live, settings.hops[0])
    config = detector.bundle.manifest.log_mel
    contest = Contest(detector, log_mel(soundscape(config.sample_rate), config), opened.window_runtime)
    runs = _warm_up(contest, opened, detector.hop_frames)
    for hop in settings.hops:
        runs.hops[hop] = _hop_runs(_at_hop(opened.live, hop), settings)
    if opened.window_runtime is not None:
        hop_s = detector.hop_frames * FRAME_S
        n_paced = math.ceil(n_hops(settings.paced_seconds, detector.hop_frames) / 2)
        runs.comparison = {
            HOT: compare(contest, n_hops(settings.seconds, detector.hop_frames)),
            PACED: compare(contest, n_paced, Pace(hop_s)),
        }
        runs.clips_s = _clips(contest, settings)
    return runs


def n_hops(seconds: float, hop_frames: int) -> int:
    """Hops in so much sound, at least one."""
    return max(1, round(seconds / (hop_frames * FRAME_S)))


def _at_hop(detector: Detector, hop_frames: int) -> Detector:
    return Detector(detector.bundle, detector.runtime, "live", hop_frames)


def _warm_up(contest: Contest, opened: Opened, hop_frames: int) -> RuntimeRuns:
    """Fill the memory, and run windows as well."""
    steps_s = [contest.step_s() for _ in range(math.ceil(contest.window_frames / hop_frames))]
    windows_s = [contest.window_s() for _ in range(WARM_UP_RUNS if opened.window_runtime else 0)]
    return RuntimeRuns(
        name=opened.name,
        text=opened.live.runtime.name,
        load_s=opened.load_s,
        first_step_s=steps_s[0],
        first_window_s=windows_s[0] if windows_s else None,
        warm_up_steps=len(steps_s),
        no_windows=opened.no_windows,
    )


def _hop_runs(detector: Detector, settings: RunSettings) -> dict[str, HopRuns]:
    block_s = min(BLOCK_S, detector.hop_frames * FRAME_S)
    n_hot = n_hops(settings.seconds, detector.hop_frames)
    n_paced = n_hops(settings.paced_seconds, detector.hop_frames)
    signal = soundscape(SOURCE_RATE)
    return {
        HOT: _stage_runs(detector, signal, block_s, n_hot, None),
        PACED: _stage_runs(detector, signal, block_s, n_paced, Pace(block_s)),
    }


def _stage_runs(
    detector: Detector, signal: NDArray[np.float32], block_s: float, count: int, pace: Pace | None
) -> HopRuns:
    path, block, watches = LivePath(detector, SOURCE_RATE), round(block_s * SOURCE_RATE), list[MachineWatch]()
    spent_s = time_stages(
        path, signal, block, count, WARM_UP_RUNS, pace, lambda: watches.append(MachineWatch())
    )
    return HopRuns(spent_s, watches[0].use())


def _clips(contest: Contest, settings: RunSettings) -> dict[int, list[float]]:
    """Seconds of calls with 1, 2, 4 ... clips; the first call of each size is a warm-up."""
    clips_s = {}
    for batch in batches(settings.most_batch):
        call = contest.clips(batch)
        call()
        clips_s[batch] = [seconds_of(call)[0] for _ in range(settings.clip_calls)]
    return clips_s


def batches(most: int) -> list[int]:
    """1, 2, 4 ... up to `most`."""
    return [2**power for power in range(most.bit_length()) if 2**power <= most]
