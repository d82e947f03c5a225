"""Signals to frame scores to events: the ladder that every command climbs.

Two contexts. `live`: hop by hop, tags pooled over the trailing window, exactly as a microphone is heard.
`clip`: as clips are scored in training. A signal of up to the tags' window (10 s) is scored at once. A longer one is
scored in windows of that length, each with its own tags and the convolutions' real context: one starts every half a
window, and the last ends where the signal ends. A frame's score is the mean over the windows that it lies in, two as
a rule, and one to three within a window of either end.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import read_blocks
from edge_app.core.bundle import Bundle
from edge_app.core.decode import Decoder, Message, closed_events
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.core.hops import HopGrid, HopScorer, ScoredHop
from edge_app.core.logmel import StreamingLogMel
from edge_app.core.runtime import Runtime
from edge_app.core.runtimes import PassedOver, runtime_text
from edge_app.core.windows import WindowGrid, WindowScorer

Context = Literal["clip", "live"]


@dataclass(frozen=True)
class FileDetection:
    """What was heard in one recording."""

    events: list[Event]
    """Sorted by onset, then label."""
    duration_s: float


class Scorer(Protocol):
    """What scores one gapless stretch of log-mel frames that arrives in blocks of any size."""

    @property
    def frames_scored(self) -> int:
        """Frames whose final scores have been given."""

    def push(self, log_mel: NDArray[np.float32]) -> list[ScoredHop]:
        """Take frames, shape (frame, mel); give what is now final, in order and without gaps."""

    def finish(self) -> list[ScoredHop]:
        """End the stretch: give the remaining scores."""


class Detector:
    """A bundle, what runs it, and how a signal is cut.

    `hop_frames` is for the `live` context; by default the bundle's own. `batch` is for `clip`: windows of a signal
    that go through the graph in one call. Raises SedgeError where the bundle does not allow the hop or the batch is
    not 1 or more. `passed_over` are the faster runtimes that do not run.
    """

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        context: Context = "clip",
        hop_frames: int | None = None,
        passed_over: tuple[PassedOver, ...] = (),
        batch: int = 1,
    ) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.runtime = runtime
        self.passed_over = passed_over
        self.context = context
        self.hop_frames = manifest.hop_frames.default if hop_frames is None else hop_frames
        if self.hop_frames not in manifest.hop_frames.allowed:
            raise SedgeError(
                f"hop: expected one of {list(manifest.hop_frames.allowed)} frames, found {self.hop_frames}"
            )
        if batch < 1:
            raise SedgeError(f"batch: expected 1 window or more, found {batch}")
        self.batch = batch

    @property
    def event_labels(self) -> tuple[str, ...]:
        """Labels, in the order of the columns of scores."""
        return self.bundle.manifest.event_labels

    @property
    def runtime_text(self) -> str:
        """What runs and why nothing faster, in words."""
        return runtime_text(self.runtime.name, self.passed_over)

    def scorer(self) -> Scorer:
        """A scorer for one gapless stretch of log-mel frames."""
        return self._window_scorer() if self.context == "clip" else self._hop_scorer()

    def _window_scorer(self) -> WindowScorer:
        manifest, window = self.bundle.manifest, self.bundle.manifest.tag_window_frames
        grid = WindowGrid(
            window=window,
            stride=max(1, window // 2),
            context=manifest.receptive_field_frames.tag_cnn,
            members=len(manifest.members),
            labels=len(self.event_labels),
        )
        return WindowScorer(self.runtime, grid, self.batch)

    def _hop_scorer(self) -> HopScorer:
        window, fields = self.bundle.manifest.tag_window_frames, self.bundle.manifest.receptive_field_frames
        grid = HopGrid(self.hop_frames, window, fields.tag_cnn, pool_ahead=fields.tag_cnn - fields.mlfl)
        return HopScorer(self.runtime, grid)

    def features(self) -> StreamingLogMel:
        """The features of one gapless stretch of samples."""
        return StreamingLogMel(self.bundle.manifest.log_mel)

    def scores(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Frame scores of a signal that comes in blocks (sample,), in pieces of shape (frame, label)."""
        features, scorer = self.features(), self.scorer()
        for block in blocks:
            for hop in scorer.push(features.push(block)):
                yield hop.scores
        for hop in scorer.push(features.flush()) + scorer.finish():
            yield hop.scores

    def detect_file(
        self, path: Path, on_scores: Callable[[NDArray[np.float32], NDArray[np.float32]], None] | None = None
    ) -> FileDetection:
        """Events of one recording, in bounded memory.

        `on_scores` is given (raw, smoothed) frame scores as they become final, each (frame, label); the smoothed
        ones are late by half a median. Raises AudioError where the file cannot be read as audio.
        """
        counted = _CountedBlocks(read_blocks(path, self.bundle.manifest.log_mel.sample_rate))
        decoder = Decoder(
            self.event_labels, self.bundle.manifest.decoding, keep_smoothed=on_scores is not None
        )
        messages: list[Message] = []
        for scores in self.scores(counted):
            messages += [message for message in decoder.push(scores) if message.type == "closed"]
            if on_scores:
                on_scores(scores, decoder.smoothed())
        messages += decoder.flush()
        if on_scores:
            on_scores(np.empty((0, len(self.event_labels)), np.float32), decoder.smoothed())
        return FileDetection(
            closed_events(messages), counted.samples / self.bundle.manifest.log_mel.sample_rate
        )


class _CountedBlocks:
    """Passes blocks of samples on and counts them."""

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._blocks = blocks
        self.samples = 0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for block in self._blocks:
            self.samples += len(block)
            yield block
