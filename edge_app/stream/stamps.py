"""From the onset of a sound to its mark on the screen, as measured while the program runs.

The capture stamps each block with the monotonic clock when its last sample arrives. Sample s of a block that ends at
sample e and came at time t was heard at t - (e - s) / rate, or later by what the driver waited; so the earliest
of the estimates of the following blocks is taken.
"""

import math
import threading
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field

import numpy as np

STAMPS = 1024  # a minute of blocks
TOLD = 256  # events that may still wait to be painted; any older one has been, or never will be
NEAR_S = 2.0  # further from a sample, losses that were not found at once would blur the estimate
FIGURES = 512
"""Events over which the figures are taken."""
SAME_S = 0.25  # so soon after an event's onset, a guess of its label is a mark of that event
GUESSES = 64
LATER_STATES = {
    "provisional": ("provisional",),
    "confirmed": ("provisional", "confirmed"),
    "closed": ("provisional", "confirmed"),
}
"""What has been on the screen, at the latest, once a state is: some states are over before they are drawn."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a number of events: the median and the 95th percentile in seconds."""

    count: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class Delay:
    """From the onset of one event to its mark on the screen; a guess that came before it is its provisional mark."""

    event_label: str
    state: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Latency:
    """To the first mark, be it a guess or the event, and to the confirmed event. None where nothing was measured."""

    provisional: Percentiles | None = None
    confirmed: Percentiles | None = None


@dataclass
class _Told:
    event_label: str
    onset_sample: int
    guessed_s: float
    """When a guess of it was painted first."""
    shown: set[str] = field(default_factory=set)


class Stamps:
    """Any thread may call it. Memory is bounded: old events and blocks are forgotten."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._blocks: deque[tuple[int, float]] = deque(maxlen=STAMPS)
        self._told: OrderedDict[int, _Told] = OrderedDict()
        self._guesses: dict[str, deque[tuple[int, int, float]]] = defaultdict(lambda: deque(maxlen=GUESSES))
        self._delays: dict[str, deque[Delay]] = {
            state: deque(maxlen=FIGURES) for state in ("provisional", "confirmed")
        }
        self._latency: Latency | None = Latency()
        self._lock = threading.Lock()

    def heard(self, sample: int, mono_s: float) -> None:
        """Samples up to the absolute index `sample` had arrived at `mono_s`."""
        with self._lock:
            if not self._blocks or sample > self._blocks[-1][0]:
                self._blocks.append((sample, mono_s))

    def guessed(self, event_label: str, onset_sample: int, offset_sample: int, mono_s: float) -> None:
        """A guess of that label was painted; it may be told again at every painting."""
        with self._lock:
            guesses = self._guesses[event_label]
            if all(guess[:2] != (onset_sample, offset_sample) for guess in guesses):
                guesses.append((onset_sample, offset_sample, mono_s))

    def told(self, event_id: int, event_label: str, onset_sample: int) -> None:
        """An event is known, and may be shown from now on."""
        with self._lock:
            if event_id not in self._told:
                self._told[event_id] = _Told(
                    event_label, onset_sample, self._guessed_s(event_label, onset_sample)
                )
            while len(self._told) > TOLD:
                self._told.popitem(last=False)

    def shown(self, event_id: int, state: str, mono_s: float) -> None:
        """The event was painted in that state; only the first time counts."""
        with self._lock:
            told = self._told.get(event_id)
            if told is None:
                return
            for reached in LATER_STATES.get(state, ()):
                if reached not in told.shown:
                    told.shown.add(reached)
                    first_s = min(mono_s, told.guessed_s) if reached == "provisional" else mono_s
                    self._count(reached, told, first_s)

    def forget(self) -> None:
        """Another run begins: samples and events are counted anew. The figures stay."""
        with self._lock:
            self._blocks.clear()
            self._told.clear()
            self._guesses.clear()

    def time_of(self, sample: int) -> float | None:
        """When that sample reached the microphone, by the monotonic clock; None where it is not known."""
        with self._lock:
            return self._time_of(sample)

    @property
    def latency(self) -> Latency:
        """The figures over the newest events."""
        with self._lock:
            if self._latency is None:
                self._latency = Latency(*(_percentiles(delays) for delays in self._delays.values()))
            return self._latency

    @property
    def delays(self) -> tuple[Delay, ...]:
        """What the figures are taken over, one by one."""
        with self._lock:
            return tuple(delay for delays in self._delays.values() for delay in delays)

    def _count(self, state: str, told: _Told, mono_s: float) -> None:
        heard_s = self._time_of(told.onset_sample)
        if heard_s is not None:
            self._delays[state].append(Delay(told.event_label, state, mono_s - heard_s))
            self._latency = None

    def _guessed_s(self, event_label: str, onset_sample: int) -> float:
        """When a guess of that event was painted first; infinity where none was."""
        latest = onset_sample + SAME_S * self._sample_rate
        times = [
            time_s
            for onset, offset, time_s in self._guesses[event_label]
            if onset <= latest and offset > onset_sample
        ]
        return min(times, default=math.inf)

    def _time_of(self, sample: int) -> float | None:
        most = sample + NEAR_S * self._sample_rate
        estimates = [
            time_s - (end - sample) / self._sample_rate
            for end, time_s in self._blocks
            if sample < end <= most
        ]
        return min(estimates, default=None)


def _percentiles(delays: deque[Delay]) -> Percentiles | None:
    if not delays:
        return None
    p50_s, p95_s = np.percentile([delay.seconds for delay in delays], [50, 95])
    return Percentiles(len(delays), float(p50_s), float(p95_s))
