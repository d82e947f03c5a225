"""How long a device takes: of work one after the other, on the clock, and of the arithmetic in it."""

import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch.profiler import ProfilerActivity, profile

Work = Callable[[], object]


def lap_s(work: Work, count: int, device: torch.device) -> list[float]:
    """Seconds of each of `count` calls, one after the other; the device has done all of it at the end.

    A GPU's laps are between ends of work on the GPU, where the processor may run ahead, as it does in training.
    """
    return _gpu_lap_s(work, count) if device.type == "cuda" else _processor_lap_s(work, count)


def _processor_lap_s(work: Work, count: int) -> list[float]:
    marks = [time.perf_counter()]
    for _ in range(count):
        work()
        marks.append(time.perf_counter())
    return [end - begin for begin, end in pairwise(marks)]


def _gpu_lap_s(work: Work, count: int) -> list[float]:
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    torch.cuda.synchronize()
    marks[0].record()
    for mark in marks[1:]:
        work()
        mark.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) / 1000 for begin, end in pairwise(marks)]


def busy_s(work: Work, count: int) -> float | None:
    """Seconds that a GPU computes and copies for one call, the mean of `count`; what it waits is not in it.

    None where the profiler may not look at the GPU. Profiling slows the processor down, not what the GPU computes.
    """
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as profiler:
        for _ in range(count):
            work()
        torch.cuda.synchronize()
    spent_us = [
        event.device_time_total
        for event in profiler.events() or ()
        if event.device_type.name == "CUDA" and not event.is_user_annotation
    ]
    return sum(spent_us) / 1e6 / count if spent_us else None
