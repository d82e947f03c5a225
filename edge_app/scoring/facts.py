"""What recordings were scored with, apart from the detector itself: plain values for tables and reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import edge_app
from edge_app.core.decode import LabelDecoding
from edge_app.core.detect import Context, Detector
from edge_app.core.runtimes import PassedOver


@dataclass(frozen=True)
class DetectorFacts:
    """The model, what ran it and how; it outlives the detector that it was taken from."""

    bundle_name: str
    graph_sha256: str
    event_labels: tuple[str, ...]
    decoding: Mapping[str, LabelDecoding]
    """How events are found, by label."""
    sample_rate: int
    runtime: str
    passed_over: tuple[PassedOver, ...]
    """Faster runtimes that do not run here."""
    context: Context
    hop_frames: int | None
    """Frames of a live step; None in the clip context."""

    @classmethod
    def of(cls, detector: Detector) -> "DetectorFacts":
        """The facts of a detector."""
        manifest = detector.bundle.manifest
        return cls(
            bundle_name=manifest.name,
            graph_sha256=manifest.graph.sha256,
            event_labels=detector.event_labels,
            decoding=dict(manifest.decoding),
            sample_rate=manifest.log_mel.sample_rate,
            runtime=detector.runtime.name,
            passed_over=detector.passed_over,
            context=detector.context,
            hop_frames=detector.hop_frames if detector.context == "live" else None,
        )

    def about(self) -> dict[str, Any]:
        """The facts as an export tells them: what JSON can hold."""
        return {
            "app": f"sedge {edge_app.__version__}",
            "model": {"name": self.bundle_name, "graph_sha256": self.graph_sha256},
            "settings": {
                "runtime": self.runtime,
                "context": self.context,
                "hop_frames": self.hop_frames,
                "decoding": {label: rules.model_dump() for label, rules in self.decoding.items()},
            },
            "source": "files",
            "sample_rate": self.sample_rate,
        }
