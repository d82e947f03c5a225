"""What systems beside this one are asked, and what their answers cost."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.recording import SAMPLE_RATE
from benchmarks.report import Timing, timing
from edge_app.core.audio import read_blocks
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.core.logmel import LogMelConfig

HOP_LENGTH = LogMelConfig().hop_length


class PeerMissingError(Exception):
    """A peer cannot be measured here; the text says why, and what to do."""


@dataclass(frozen=True)
class Clip:
    """A clip as it lies on the disk and as 16 kHz mono samples, shape (sample,)."""

    path: Path
    samples: NDArray[np.float32]

    @classmethod
    def read(cls, path: Path) -> "Clip":
        """Raises AudioError where the file cannot be read as audio."""
        return cls(path, np.concatenate(list(read_blocks(path, SAMPLE_RATE))))

    @property
    def n_frames(self) -> int:
        """Whole frames of 20 ms."""
        return len(self.samples) // HOP_LENGTH


@dataclass(frozen=True)
class Heard:
    """What a system says of one label in one clip; None is what it does not tell."""

    events: list[Event] | None = None
    scores: NDArray[np.float32] | None = None
    """Of each frame of 20 ms, shape (frame,)."""
    tag: float | None = None
    """One score of the whole clip."""


@dataclass
class Watch:
    """What the steps of one system took, the reading of files left out."""

    steps_s: list[float] = field(default_factory=list)
    """Of each whole step."""
    wall_s: float = 0.0
    """Of all of the work, ends of clips included."""
    cpu_s: float = 0.0
    """Of all threads of this process meanwhile."""

    @contextmanager
    def step(self, whole: bool = True) -> Iterator[None]:
        """Count what is done inside; `whole` is False for the rest at the end of a clip."""
        begin, cpu_begin = time.perf_counter(), time.process_time()
        yield
        wall_s = time.perf_counter() - begin
        self.cpu_s += time.process_time() - cpu_begin
        self.wall_s += wall_s
        if whole:
            self.steps_s.append(wall_s)


class Peer(Protocol):
    """A system that hears clips, one after the other, each as if it were the first."""

    @property
    def key(self) -> str:
        """Short, for the names of figures: the same from version to version."""

    @property
    def name(self) -> str:
        """What runs, in words."""

    @property
    def step_samples(self) -> int | None:
        """Samples of sound that one step takes; None where it takes a clip at once."""

    def hear(self, clip: Clip, watch: Watch) -> Heard:
        """Answer, with every step of the work under the watch."""


@dataclass(frozen=True)
class Cost:
    """What hearing cost."""

    step_s: float | None
    """Seconds of sound that a step takes; None where it takes a clip at once."""
    step: Timing
    """Of whole steps."""
    real_time_factor: float
    cpu_share: float
    """Seconds of processor for a second of sound: the share of a core that listening in real time takes."""


def cost_of(peer: Peer, watch: Watch, audio_s: float) -> Cost:
    """What `audio_s` seconds of sound cost a system. Raises SedgeError where no clip was as long as a step."""
    if not watch.steps_s:
        raise SedgeError(f"{peer.key}: expected a clip of {peer.step_samples} samples or more, found none")
    step_s = None if peer.step_samples is None else peer.step_samples / SAMPLE_RATE
    return Cost(step_s, timing(watch.steps_s), watch.wall_s / audio_s, watch.cpu_s / audio_s)


def whole_steps(clip: Clip, step_samples: int) -> Iterator[NDArray[np.float32]]:
    """A clip in steps of that many samples, the last one filled up with zeros."""
    for first in range(0, len(clip.samples), step_samples):
        step = clip.samples[first : first + step_samples]
        yield np.pad(step, (0, step_samples - len(step)))


def on_frames(scores: Sequence[float], step_samples: int, n_frames: int) -> NDArray[np.float32]:
    """Scores of steps as scores of 20 ms frames: of the step that a frame's middle lies in."""
    middles = HOP_LENGTH * np.arange(n_frames) + HOP_LENGTH // 2
    return np.asarray(scores, np.float32)[middles // step_samples]
