"""This program as one of the systems: a bundle live, step by step, and whole clips."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.peer import HOP_LENGTH, Clip, Heard, Watch
from edge_app.core.decode import Decoder, Message, closed_events
from edge_app.core.detect import Detector
from edge_app.core.hops import ScoredHop


class OwnPeer:
    """A detector, asked about one of its labels; it scores all of them all the same."""

    def __init__(self, detector: Detector, label: str) -> None:
        self._detector, self._label = detector, label

    @property
    def key(self) -> str:
        """Sedge and its context."""
        return f"sedge {self._detector.context}"

    @property
    def name(self) -> str:
        """Bundle, context and runtime."""
        detector = self._detector
        return f"sedge, {detector.bundle.manifest.name}, {detector.context}, {detector.runtime.name}"

    @property
    def step_samples(self) -> int | None:
        """A hop, live."""
        return self._detector.hop_frames * HOP_LENGTH if self._detector.context == "live" else None

    def hear(self, clip: Clip, watch: Watch) -> Heard:
        """Features, scores and events, in steps of a hop or at once."""
        stream = _Stream(self._detector)
        if self.step_samples is None:
            with watch.step():
                stream.push(clip.samples)
                stream.finish()
        else:
            for first in range(0, len(clip.samples), self.step_samples):
                block = clip.samples[first : first + self.step_samples]
                with watch.step(whole=len(block) == self.step_samples):
                    stream.push(block)
            with watch.step(whole=False):
                stream.finish()
        of_label = np.concatenate(stream.scores)[:, self._detector.event_labels.index(self._label)]
        events = [event for event in closed_events(stream.messages) if event.event_label == self._label]
        return Heard(events, of_label, float(of_label.max()))


class _Stream:
    """From samples to scores and messages."""

    def __init__(self, detector: Detector) -> None:
        self._features, self._scorer = detector.features(), detector.scorer()
        self._decoder = Decoder(detector.event_labels, detector.bundle.manifest.decoding)
        self.scores: list[NDArray[np.float32]] = []
        self.messages: list[Message] = []

    def push(self, samples: NDArray[np.float32]) -> None:
        self._take(self._scorer.push(self._features.push(samples)))

    def finish(self) -> None:
        self._take(self._scorer.push(self._features.flush()) + self._scorer.finish())
        self.messages += self._decoder.flush()

    def _take(self, hops: Sequence[ScoredHop]) -> None:
        for hop in hops:
            self.scores.append(hop.scores)
            self.messages += self._decoder.push(hop.scores)
