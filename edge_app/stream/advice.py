"""What to tell the user while all runs: that the computer hardly keeps up, or that only zeros arrive."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_app.core.events import FRAME_S
from edge_app.stream.messages import Summary
from edge_app.stream.microphone import SILENCE_S

OVER_S = 10.0
"""Sound over which the load is taken, in seconds."""
OVERLOAD = 0.8
"""Share of the time spent on analysis from which on there is advice; it goes again below `RELIEF`."""
RELIEF = 0.7
LOOK_S = 0.5  # sound between two looks
SILENCE_WORDS = "Nothing but zeros arrives: is the source muted, or is access to the microphone forbidden?"


class Adviser:
    """Follows one run; `hops_allowed` are the steps that the model can take, in frames. Not for several threads."""

    def __init__(self, sample_rate: int, hops_allowed: Sequence[int] = ()) -> None:
        self._sample_rate = sample_rate
        self._hops_allowed = tuple(sorted(hops_allowed))
        self._silent = 0
        self._looks: deque[tuple[float, float]] = deque()
        self._overload = ""

    @property
    def words(self) -> str:
        """The advice; empty where there is none."""
        silent_s = self._silent / self._sample_rate
        return SILENCE_WORDS if silent_s >= SILENCE_S else self._overload

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Samples as they come, shape (sample,)."""
        heard = np.flatnonzero(samples)
        self._silent = len(samples) - 1 - int(heard[-1]) if len(heard) else self._silent + len(samples)

    def take(self, summary: Summary) -> None:
        """The books as they are now."""
        rate = summary.sample_rate
        heard_s = summary.samples_received / rate
        busy_s = summary.real_time_factor * summary.samples_analysed / rate
        if self._looks and heard_s - self._looks[-1][0] < LOOK_S:
            return
        self._looks.append((heard_s, busy_s))
        while len(self._looks) > 1 and heard_s - self._looks[1][0] >= OVER_S:
            self._looks.popleft()
        since_s, busy_before_s = self._looks[0]
        if heard_s - since_s >= OVER_S:
            self._judge((busy_s - busy_before_s) / (heard_s - since_s), summary.hop_frames)

    def _judge(self, load: float, hop_frames: int) -> None:
        if load <= RELIEF:
            self._overload = ""
        elif load > OVERLOAD and not self._overload:
            self._overload = overload_words(load, hop_frames, self._hops_allowed)


def overload_words(load: float, hop_frames: int, hops_allowed: Sequence[int]) -> str:
    """That analysis takes this share of the time, and what helps."""
    larger = next((hop for hop in hops_allowed if hop > hop_frames), None)
    remedy = (
        "close other programs, or choose a smaller model"
        if larger is None
        else f"a step of {larger * FRAME_S:g} s instead of {hop_frames * FRAME_S:g} s needs less (Settings)"
    )
    return f"This computer hardly keeps up: analysis takes {load:.0%} of the time; {remedy}."
