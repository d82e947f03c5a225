"""Signals to frame scores to events: the ladder that every command climbs.

Two contexts. `live`: hop by hop, tags pooled over the trailing window, exactly as a microphone is heard.
`clip`: whole windows of the tag's length, each with its own tags; the last window of a longer signal is
pooled over the trailing window, so that a short rest has tags as good as the others.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import read_blocks
from edge_app.core.bundle import Bundle
from edge_app.core.decode import Decoder, Message, closed_events
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from edge_app.core.hops import HopGrid, HopScorer
from edge_app.core.logmel import StreamingLogMel
from edge_app.core.runtime import Runtime
from edge_app.core.runtimes import PassedOver, runtime_text

Context = Literal["clip", "live"]


@dataclass(frozen=True)
class FileDetection:
    """What was heard in one recording."""

    events: list[Event]
    """Sorted by onset, then label."""
    duration_s: float


class Detector:
    """A bundle, what runs it, and how a signal is cut.

    `hop_frames` is for the `live` context; by default the bundle's own. Raises SedgeError where the bundle
    does not allow it. `passed_over` are the faster runtimes that do not run.
    """

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        context: Context = "clip",
        hop_frames: int | None = None,
        passed_over: tuple[PassedOver, ...] = (),
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
        fields = manifest.receptive_field_frames
        window = manifest.tag_window_frames
        whole = HopGrid(window, window, fields.tag_cnn, pool_ahead=0)
        live = HopGrid(self.hop_frames, window, fields.tag_cnn, pool_ahead=fields.tag_cnn - fields.mlfl)
        self._grid = whole if context == "clip" else live

    @property
    def event_labels(self) -> tuple[str, ...]:
        """Labels, in the order of the columns of scores."""
        return self.bundle.manifest.event_labels

    @property
    def runtime_text(self) -> str:
        """What runs and why nothing faster, in words."""
        return runtime_text(self.runtime.name, self.passed_over)

    def scorer(self) -> HopScorer:
        """A scorer for one gapless stretch of log-mel frames."""
        return HopScorer(self.runtime, self._grid)

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
