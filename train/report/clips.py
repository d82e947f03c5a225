"""Example clips: what was heard, what was there, what was detected, on one time axis."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float32, Int16
from matplotlib.axes import Axes

from edge_app.core.events import FRAME_S, Event
from edge_app.core.logmel import LogMelConfig, log_mel
from train.report.drawing import INK, drawing, line_style, plain, svg_text

_FULL_SCALE = 32_768
_SHOWN_SCORE = 0.3  # a label that is neither there nor detected is drawn if its score comes this far
_RANGE_NEPERS = 12.0  # log-mel values further under the loudest are drawn as silence
_BAR = 0.36  # height of a bar; a label's row is 1 high


@dataclass(frozen=True)
class ClipView:
    """All that is drawn of one clip: `waveform` (sample), `scores` (frame, label), events in seconds."""

    waveform: Int16[np.ndarray, " sample"]
    truth: Sequence[Event]
    detections: Sequence[Event]
    scores: Float32[np.ndarray, "frame label"]
    event_labels: Sequence[str]

    @property
    def duration_s(self) -> float:
        """Seconds of sound."""
        return len(self.waveform) / LogMelConfig().sample_rate

    def labels_shown(self) -> list[str]:
        """Labels that are there, detected, or nearly so, in the order of the labels."""
        named = {event.event_label for event in (*self.truth, *self.detections)}
        peaks = self.scores.max(axis=0, initial=0.0)
        near = {label for label, peak in zip(self.event_labels, peaks, strict=True) if peak >= _SHOWN_SCORE}
        return [label for label in self.event_labels if label in named | near]


def draw_clip(view: ClipView, name: str) -> str:
    """Spectrogram, bars of truth and detections, and scores as SVG on one time axis."""
    labels = view.labels_shown()
    heights = [1.5, 0.35 + 0.3 * max(1, len(labels)), 1.5]
    with drawing(9.2, 0.8 + sum(heights)) as figure:
        spectrogram, bars, curves = figure.subplots(3, 1, sharex=True, height_ratios=heights)
        _draw_spectrogram(spectrogram, view)
        _draw_bars(bars, view, labels)
        _draw_scores(curves, view, labels)
        curves.set(xlabel="seconds", xlim=(0, view.duration_s))
        figure.align_ylabels()
        return svg_text(figure, name)


def sound_uri(waveform: Int16[np.ndarray, " sample"]) -> str:
    """A waveform at 16 kHz as a data URI, losslessly compressed."""
    target = io.BytesIO()
    soundfile.write(target, waveform, LogMelConfig().sample_rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(target.getvalue()).decode("ascii")


def _draw_spectrogram(axes: Axes, view: ClipView) -> None:
    values = log_mel(view.waveform.astype(np.float32) / _FULL_SCALE)
    top = float(values.max(initial=-_RANGE_NEPERS))
    axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        interpolation="none",
        cmap="cividis",
        vmin=max(top - _RANGE_NEPERS, float(values.min(initial=top))),
        vmax=top,
        extent=(0, len(values) * FRAME_S, 0, values.shape[1]),
    )
    axes.set_ylabel("mel band")


def _draw_bars(axes: Axes, view: ClipView, labels: Sequence[str]) -> None:
    """A row for each label: the truth filled above, detections outlined and hatched below."""
    for row, label in enumerate(labels):
        colour = line_style(row)["color"]
        _bars(axes, view.truth, label, row - _BAR - 0.03, {"facecolor": colour, "edgecolor": colour})
        hatched: dict[str, Any] = {
            "facecolor": "none",
            "edgecolor": colour,
            "hatch": "//////",
            "linewidth": 1.2,
        }
        _bars(axes, view.detections, label, row + 0.03, hatched)
    axes.set(ylim=(max(1, len(labels)) - 0.5, -0.5), yticks=range(len(labels)))
    axes.set_yticklabels([plain(label) for label in labels])
    axes.set_title("upper bar, filled: truth; lower bar, hatched: detected", fontsize=8)


def _bars(axes: Axes, events: Sequence[Event], label: str, top: float, style: dict[str, Any]) -> None:
    spans = [(event.onset, event.offset - event.onset) for event in events if event.event_label == label]
    if spans:
        axes.broken_barh(spans, (top, _BAR), **style)


def _draw_scores(axes: Axes, view: ClipView, labels: Sequence[str]) -> None:
    times = FRAME_S * (np.arange(len(view.scores)) + 0.5)
    for row, label in enumerate(labels):
        column = view.event_labels.index(label)
        axes.plot(times, view.scores[:, column], label=" " + plain(label), **line_style(row))
    axes.set(ylim=(-0.02, 1.02), ylabel="score")
    axes.axhline(0.5, color=INK, alpha=0.25, linewidth=0.8)
    if labels:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
