"""Extents of what can be heard: the runs of frames in which a recording is loud enough."""

import numpy as np
from jaxtyping import Float, Int

from edge_app.core.events import FRAME_S, Event, runs
from edge_app.core.logmel import LogMelConfig

HOP_LENGTH = LogMelConfig().hop_length
FLOOR_DB = 40.0
MIN_GAP_S = 0.25
MIN_RUN_S = 0.1
_TOLERANCE_S = 1e-9


def from_db(decibels: float) -> float:
    """Amplitude ratio of a level in dB."""
    return float(10.0 ** (decibels / 20.0))


def rms(waveform: Float[np.ndarray, " sample"]) -> float:
    """Root mean square of a waveform, summed in float64."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def frame_rms(waveform: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " frame"]:
    """Root mean square of each whole 20 ms frame."""
    n_frames = len(waveform) // HOP_LENGTH
    cells = waveform[: n_frames * HOP_LENGTH].reshape(n_frames, HOP_LENGTH)
    return np.sqrt(np.mean(np.square(cells, dtype=np.float64), axis=1))


def audible_runs(
    waveform: Float[np.ndarray, " sample"],
    floor_db: float = FLOOR_DB,
    peak_rms: float | None = None,
    floor_rms: float = 0.0,
) -> Int[np.ndarray, "run 2"]:
    """First frame and end (exclusive) of each run of frames within `floor_db` of the loudest.

    Frames at or under `floor_rms` do not count. Gaps under 0.25 s are bridged, then runs under 0.1 s are
    dropped. `peak_rms` replaces the waveform's own loudest frame where it is a part of a recording.
    """
    levels = frame_rms(waveform)
    peak = peak_rms if peak_rms is not None else float(levels.max(initial=0.0))
    floor = max(peak * from_db(-floor_db), floor_rms)
    return drop_short(bridge_gaps(runs(levels > floor)))


def bridge_gaps(spans: Int[np.ndarray, "run 2"], min_gap_s: float = MIN_GAP_S) -> Int[np.ndarray, "run 2"]:
    """Runs in frames, sorted, with those less than `min_gap_s` apart made one."""
    if not len(spans):
        return spans
    apart = (spans[1:, 0] - spans[:-1, 1]) * FRAME_S >= min_gap_s - _TOLERANCE_S
    first = spans[np.concatenate([[True], apart]), 0]
    end = spans[np.concatenate([apart, [True]]), 1]
    return np.stack([first, end], axis=1)


def drop_short(spans: Int[np.ndarray, "run 2"], min_run_s: float = MIN_RUN_S) -> Int[np.ndarray, "run 2"]:
    """Runs in frames that last `min_run_s` or more."""
    return spans[(spans[:, 1] - spans[:, 0]) * FRAME_S >= min_run_s - _TOLERANCE_S]


def merge_labels(spans: dict[str, list[Int[np.ndarray, "run 2"]]]) -> list[Event]:
    """Events of each label's runs; those that overlap or lie less than 0.25 s apart become one."""
    events: list[Event] = []
    for label, of_label in spans.items():
        merged: list[list[int]] = []
        for first, end in sorted(np.concatenate(of_label).tolist()):
            if merged and (first - merged[-1][1]) * FRAME_S < MIN_GAP_S - _TOLERANCE_S:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([first, end])
        events += [Event(round(first * FRAME_S, 3), round(end * FRAME_S, 3), label) for first, end in merged]
    return sorted(events, key=lambda event: (event.onset, event.event_label))
