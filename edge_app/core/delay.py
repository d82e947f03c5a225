"""The delay that the settings alone make: exact, whatever the machine.

The scores of frame f come with the hop [a, b) that holds it, once the context beyond b has been heard, and the
features look ahead by their margin. A median of M frames makes the event of frame f wait for frame f + M // 2, and a
least length of N frames makes its confirmation wait for N - 1 frames more. Sound begins anywhere on the hop grid, so
the wait for the hop is anything up to a hop, half of one in the mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_app.core.bundle import BundleManifest
from edge_app.core.decode import LabelDecoding
from edge_app.core.events import FRAME_S

FRAME_MS = 1000 * FRAME_S


@dataclass(frozen=True, slots=True)
class Span:
    """A delay in milliseconds: more than `least_ms`, at most `most_ms`."""

    least_ms: float
    mean_ms: float
    most_ms: float

    @property
    def text(self) -> str:
        """The mean and the range."""
        return f"{self.mean_ms:.0f} ({self.least_ms:.0f} - {self.most_ms:.0f})"

    def later(self, by_ms: float) -> "Span":
        """The same wait, later by a fixed time."""
        return Span(self.least_ms + by_ms, self.mean_ms + by_ms, self.most_ms + by_ms)


@dataclass(frozen=True, slots=True)
class LabelDelay:
    """From the onset of a sound to the news of its event, for one label."""

    event_label: str
    half_median_ms: float
    min_on_ms: float
    provisional: Span
    confirmed: Span

    @property
    def sentence(self) -> str:
        """The delay in words."""
        return (
            f"{self.event_label.replace('_', ' ')} is marked within {self.provisional.most_ms:.0f} ms "
            f"({self.provisional.mean_ms:.0f} ms in the mean) and confirmed within "
            f"{self.confirmed.most_ms:.0f} ms ({self.confirmed.mean_ms:.0f} ms in the mean)."
        )


@dataclass(frozen=True, slots=True)
class AlgorithmicDelay:
    """The parts of the delay, and their sums by label; block, device and computing come on top."""

    hop_wait: Span
    context_ms: float
    features_ms: float
    labels: tuple[LabelDelay, ...]

    @property
    def previewed(self) -> Span:
        """Until there are scores that later context may still change: the earliest that a guess can be drawn."""
        return self.hop_wait.later(self.features_ms)

    @property
    def scored(self) -> Span:
        """Until the scores are final; guesses are not filtered, so the latest that one is drawn."""
        return self.hop_wait.later(self.context_ms + self.features_ms)

    def sentences(self) -> list[str]:
        """The delay in words."""
        hop_ms = self.hop_wait.most_ms
        return [
            f"A sound waits up to {hop_ms:.0f} ms for the end of its hop ({self.hop_wait.mean_ms:.0f} ms in the mean), "
            f"{self.context_ms:.0f} ms for the context of the convolutions and {self.features_ms:.0f} ms for the "
            f"look-ahead of the features: its scores come after {self.scored.text} ms.",
            f"A guess from scores that are not final may be drawn after {self.previewed.text} ms already.",
            "Half of its label's median comes on top, and for a confirmed event the rest of the least length.",
        ]


def algorithmic_delay(
    manifest: BundleManifest, hop_frames: int, decoding: Mapping[str, LabelDecoding] | None = None
) -> AlgorithmicDelay:
    """The delay at a hop of `hop_frames`, by a bundle's own settings unless `decoding` has others for a label."""
    hop_ms = hop_frames * FRAME_MS
    hop_wait = Span(0.0, hop_ms / 2, hop_ms)
    context_ms = manifest.receptive_field_frames.tag_cnn * FRAME_MS
    features_ms = 1000 * manifest.log_mel.margin / manifest.log_mel.sample_rate
    scored = hop_wait.later(context_ms + features_ms)
    in_force = {**manifest.decoding, **(decoding or {})}
    labels = tuple(_label_delay(label, in_force[label], scored) for label in manifest.event_labels)
    return AlgorithmicDelay(hop_wait, context_ms, features_ms, labels)


def _label_delay(event_label: str, settings: LabelDecoding, scored: Span) -> LabelDelay:
    half_median_ms = settings.median_frames // 2 * FRAME_MS
    provisional = scored.later(half_median_ms)
    confirmed = provisional.later((settings.min_on_frames - 1) * FRAME_MS)
    return LabelDelay(event_label, half_median_ms, settings.min_on_frames * FRAME_MS, provisional, confirmed)
