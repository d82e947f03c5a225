"""Times of fused graphs on the processor, by turns with a matrix product and the baseline."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.arithmetic import MatrixProduct, count_flop
from benchmarks.fused.fused_graphs import FusedGraph, clip_call, step_call
from benchmarks.latency.contest import Contest, seconds_of
from benchmarks.report import Timing, timing
from edge_app.core.detect import Detector
from edge_app.core.runtime import INPUT_NAMES, FusedInput
from edge_app.core.runtime_onnx import OnnxRuntime

Work = Callable[[], float]
"""Does something once and gives the seconds that it took."""
Key = TypeVar("Key", bound=Hashable)

HOPS = (10, 25, 50)
CLIP = "clip"
TURN_S = 0.1
"""Of one work before the next one's turn; a longer work is run once."""
MOST_IN_A_TURN = 10
LEAST_ROUNDS = 3
GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Speed:
    """One work."""

    time: Timing
    gflop: float
    gflop_per_s: float
    """At the median."""
    of_product: float
    """Its share of the rate of the machine's matrix product in the same turns."""


@dataclass(frozen=True, slots=True)
class GraphSpeed:
    """One graph."""

    precision: str
    size_bytes: int
    works: dict[str, Speed]
    """By "hop N" and "clip"."""
    window_by_hop: dict[str, float]
    """How many times as long as the hop the whole window takes, at the medians."""
    ceiling_by_hop: dict[str, float]
    """How many times as much arithmetic it is."""
    clip_by_baseline: float
    """How many times as long as the baseline a clip takes, at the medians."""


@dataclass(frozen=True, slots=True)
class GroupSpeed:
    """An ensemble in each of its precisions, and what took turns with it."""

    title: str
    members: int
    product: Speed
    baseline: Speed
    graphs: tuple[GraphSpeed, ...]


def group_speed(
    graphs: Sequence[FusedGraph],
    baseline_path: Path,
    log_mel: NDArray[np.float32],
    seconds: float,
    product: MatrixProduct,
) -> GroupSpeed:
    """Time graphs of one ensemble on log-mel (frame, mel) for about so long, in one thread, all by turns."""
    manifest = graphs[0].bundle.manifest
    clip = _feed(clip_call(manifest, log_mel))
    baseline_feed = {name: clip[name] for name in ("log_mel", "frame_valid")}
    works: dict[tuple[int, str], Work] = {
        (number, name): work
        for number, graph in enumerate(graphs)
        for name, work in _graph_works(graph, log_mel).items()
    }
    works[-1, "product"] = lambda: seconds_of(product.run)[0]
    works[-1, "baseline"] = _session_work(baseline_path, baseline_feed)
    times = by_turns(works, seconds)
    rate = product.flop / median(times[-1, "product"])
    baseline = _speed(times[-1, "baseline"], count_flop(baseline_path, baseline_feed), rate)
    flop = graph_flop(graphs[0], log_mel)
    speeds = []
    for number, graph in enumerate(graphs):
        own = {name: _speed(times[number, name], flop[name], rate) for name in flop}
        speeds.append(_graph_speed(graph, own, baseline))
    product_speed = _speed(times[-1, "product"], product.flop, rate)
    return GroupSpeed(graphs[0].title, len(manifest.members), product_speed, baseline, tuple(speeds))


def by_turns(works: Mapping[Key, Work], seconds: float) -> dict[Key, list[float]]:
    """Seconds of each work's runs: round after round of short turns, at least three, for about so long in all."""
    warm_s = {name: min(work(), work()) for name, work in works.items()}
    repeats = {name: min(MOST_IN_A_TURN, max(1, round(TURN_S / once_s))) for name, once_s in warm_s.items()}
    times: dict[Key, list[float]] = {name: [] for name in works}
    begin, rounds = time.perf_counter(), 0
    while rounds < LEAST_ROUNDS or time.perf_counter() - begin < seconds:
        for name, work in works.items():
            times[name] += [work() for _ in range(repeats[name])]
        rounds += 1
    return times


def graph_flop(graph: FusedGraph, log_mel: NDArray[np.float32]) -> dict[str, int]:
    """Arithmetic of each work of a graph."""
    manifest = graph.bundle.manifest
    calls = {f"hop {hop}": step_call(manifest, log_mel, hop) for hop in _hops(graph)}
    calls[CLIP] = clip_call(manifest, log_mel)
    return {name: count_flop(graph.bundle.graph_path, _feed(call)) for name, call in calls.items()}


def _hops(graph: FusedGraph) -> list[int]:
    return [hop for hop in HOPS if hop in graph.bundle.manifest.hop_frames.allowed]


def _graph_works(graph: FusedGraph, log_mel: NDArray[np.float32]) -> dict[str, Work]:
    runtime = OnnxRuntime(graph.bundle)
    contests = {hop: Contest(Detector(graph.bundle, runtime, "live", hop), log_mel) for hop in _hops(graph)}
    works: dict[str, Work] = {f"hop {hop}": contest.step_s for hop, contest in contests.items()}
    call = clip_call(graph.bundle.manifest, log_mel)
    works[CLIP] = lambda: seconds_of(lambda: runtime.run(call))[0]
    return works


def _session_work(path: Path, feed: dict[str, NDArray[np.float32]]) -> Work:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: seconds_of(lambda: session.run(None, feed))[0]


def _feed(call: FusedInput) -> dict[str, NDArray[np.float32]]:
    return {name: getattr(call, name) for name in INPUT_NAMES}


def _speed(times_s: list[float], flop: int, product_rate: float) -> Speed:
    rate = flop / median(times_s)
    return Speed(timing(times_s), flop / GIGA, rate / GIGA, rate / product_rate)


def _graph_speed(graph: FusedGraph, works: dict[str, Speed], baseline: Speed) -> GraphSpeed:
    clip = works[CLIP]
    hops = {name: speed for name, speed in works.items() if name != CLIP}
    return GraphSpeed(
        precision=graph.precision,
        size_bytes=graph.size_bytes,
        works=works,
        window_by_hop={name: clip.time.p50_ms / speed.time.p50_ms for name, speed in hops.items()},
        ceiling_by_hop={name: clip.gflop / speed.gflop for name, speed in hops.items()},
        clip_by_baseline=clip.time.p50_ms / baseline.time.p50_ms,
    )
