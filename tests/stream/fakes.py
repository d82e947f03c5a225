"""Stand-ins for the live tests: a graph of NumPy whose scores depend on context and memory, and scripted sources."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_app.core.bundle import Bundle, BundleManifest, Graph, HopFrames, Parity, ReceptiveField
from edge_app.core.decode import LabelDecoding
from edge_app.core.detect import Detector
from edge_app.core.logmel import LogMelConfig
from edge_app.core.runtime import FusedInput, FusedOutput
from edge_app.core.tag_memory import HostTagMemory
from edge_app.stream.ring import SampleRing

EVENT_LABELS = ("Cat", "Dog", "Speech")
MLFL_FIELD, TAG_CNN_FIELD = 5, 12
NO_HASH = "0" * 64


def box_mean(frames: NDArray, field: int) -> NDArray:
    """Mean over `field` frames to either side, zeros outside: (frame, label) -> (frame, label)."""
    padded = np.pad(frames, ((field, field), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * field + 1, axis=0)
    return windows.mean(axis=-1)


class FakeRuntime:
    """Scores are box means of three groups of mel bands, raised by a tag that is pooled as in the fused graph."""

    name = "fake"

    def __init__(self, before_run: Callable[[], None] = lambda: None) -> None:
        self.calls = 0
        self._before_run = before_run

    def run(self, call: FusedInput) -> FusedOutput:
        self.calls += 1
        self._before_run()
        valid, pooled = call.frame_valid[0][:, None], call.frame_pooled[0][:, None]
        groups = np.array_split(call.log_mel[0] / 4 + 2, len(EVENT_LABELS), axis=1)
        levels = np.stack([group.mean(axis=1) for group in groups], axis=1) * valid
        evidence = (box_mean(levels, MLFL_FIELD) * valid).astype(np.float32)
        logit = np.where(pooled == 1, evidence / 2, -1e4).astype(np.float32)
        tags = self._tags(call, logit, evidence)
        scores = 1 / (1 + np.exp(-box_mean(levels, TAG_CNN_FIELD) - tags + 0.5))
        return FusedOutput(
            scores[None].astype(np.float32), tags[None, None], logit[None, None], evidence[None, None]
        )

    def tag_memory(self, slots: int) -> HostTagMemory:
        return HostTagMemory(self, slots, 1, len(EVENT_LABELS))

    def _tags(self, call: FusedInput, logit: NDArray, evidence: NDArray) -> NDArray[np.float32]:
        logits = np.concatenate([call.memory_logit[0, 0], logit])
        weights = np.exp(logits - logits.max(axis=0))
        evidences = np.concatenate([call.memory_evidence[0, 0], evidence])
        pooled = (weights * evidences).sum(axis=0) / weights.sum(axis=0)
        return (1 / (1 + np.exp(-pooled))).astype(np.float32)


def fake_bundle() -> Bundle:
    """A manifest without files."""
    settings = LabelDecoding(threshold_on=0.5, median_frames=7, min_on_s=0.1, min_off_s=0.2)
    manifest = BundleManifest(
        name="fake",
        created_at="2026-01-01T00:00:00Z",
        sedge_version="0",
        event_labels=EVENT_LABELS,
        log_mel=LogMelConfig().__dict__,
        hop_frames=HopFrames(default=25, allowed=(5, 10, 25, 50)),
        tag_window_frames=500,
        receptive_field_frames=ReceptiveField(mlfl=MLFL_FIELD, tag_cnn=TAG_CNN_FIELD),
        members=(1.0,),
        gate="none",
        graph=Graph(file="fused.onnx", sha256=NO_HASH, precision="float32", inputs=(), outputs=()),
        decoding=dict.fromkeys(EVENT_LABELS, settings),
        metrics={},
        provenance={},
        parity=Parity(file="parity.npz", sha256=NO_HASH, tolerance=1e-3),
    )
    return Bundle(Path("fake"), manifest)


def fake_detector(runtime: FakeRuntime | None = None, hop_frames: int | None = None) -> Detector:
    """A live detector on the fake graph."""
    return Detector(fake_bundle(), runtime or FakeRuntime(), "live", hop_frames)


def bursts(n_samples: int, seed: int = 1) -> NDArray[np.float32]:
    """Noise that comes and goes about once a second, in all bands, shape (sample,)."""
    rng = np.random.default_rng(seed)
    steps = n_samples // 8000 + 1
    loudness = np.repeat(10 ** rng.uniform(-4, 0, steps), 8000)[:n_samples]
    return (rng.normal(size=n_samples) * loudness * 0.3).astype(np.float32)


def cut(samples: NDArray[np.float32], seed: int, most: int = 5000) -> Iterator[NDArray[np.float32]]:
    """The samples in blocks of random sizes, empty ones among them."""
    rng, done = np.random.default_rng(seed), 0
    while done < len(samples):
        size = int(rng.integers(0, most))
        yield samples[done : done + size]
        done += size


class ScriptedSource:
    """Does what its steps say: a block is written, a number of samples is lost, a function is called."""

    name = "script"
    overflows = 0

    def __init__(self, steps: list, sample_rate: int = 16_000, live: bool = False) -> None:
        self.steps = steps
        self.sample_rate = sample_rate
        self.live = live

    def run(self, ring: SampleRing, stop: threading.Event) -> None:
        for step in self.steps:
            if stop.is_set():
                return
            if callable(step):
                step()
            elif isinstance(step, int):
                ring.lose(step)
            elif self.live:
                ring.write(step)
            elif not ring.write_when_free(step):
                return
