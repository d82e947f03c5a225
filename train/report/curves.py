"""Curves of a run: losses, speed and quality over training steps; PSD-ROC of frame scores."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter, StrMethodFormatter
from sed_scores_eval import intersection_based
from sed_scores_eval.base_modules.scores import create_score_dataframe

from edge_app.core.events import FRAME_S, Event
from train.measuring.evaluate import MAX_EFPR, SCENARIO_1, SCENARIO_2, Scenario, merged
from train.report.drawing import INK, add_legend, drawing, grid_lines, line_style, plain, svg_text
from train.report.folder import Log

SCENARIOS = {"psds1": SCENARIO_1, "psds2": SCENARIO_2}
SPEED = "clips per second"
_QUALITY = "quality: "
_POINTS = 300  # what a curve is thinned to: finer than a screen shows it
_FEW = 12  # values that are marked one by one
_COLUMNS = 3
_PANEL_IN = (3.0, 1.9)
_WIDE = 30.0  # a loss that falls by more is drawn on a logarithmic axis

EventsByFile = Mapping[str, Sequence[Event]]
FrameScores = Mapping[str, Float32[np.ndarray, "frame label"]]
Series = Mapping[int, float]


@dataclass(frozen=True)
class Roc:
    """A staircase: true-positive rate reached at effective false positives an hour, and the area under it."""

    rate: np.ndarray
    false_per_h: np.ndarray

    @property
    def area(self) -> float:
        """Share of the area up to MAX_EFPR that lies under the curve: the PSDS, for the effective curve."""
        return float((self.rate[:-1] * np.diff(self.false_per_h)).sum() / MAX_EFPR)

    def thinned(self) -> "Roc":
        """The same staircase at evenly spaced places, if it has more steps than a screen shows."""
        if len(self.rate) <= _POINTS:
            return self
        places = np.linspace(0, MAX_EFPR, _POINTS)
        step = np.searchsorted(self.false_per_h, places, side="right") - 1
        return Roc(self.rate[np.clip(step, 0, None)], places)


@dataclass(frozen=True)
class PsdRoc:
    """The curves of one scenario: effective over all labels, and each label's own."""

    effective: Roc
    per_label: dict[str, Roc]


def psd_roc(
    scores: FrameScores,
    reference: EventsByFile,
    durations: Mapping[str, float],
    event_labels: Sequence[str],
    scenario: Scenario,
) -> PsdRoc:
    """PSD-ROC of frame scores on the 20 ms grid (Bilen et al. 2020; exact, Ebbers et al. 2022).

    All three tables cover the same files. Labels without reference events have no curve.
    """
    present = {event.event_label for events in reference.values() for event in events}
    columns = [place for place, label in enumerate(event_labels) if label in present]
    heard = [event_labels[place] for place in columns]
    effective, per_label = intersection_based.psd_roc(
        scores={filename: _score_table(clip[:, columns], heard) for filename, clip in scores.items()},
        ground_truth={
            filename: [
                (event.onset, event.offset, event.event_label) for event in merged(events, touching=True)
            ]
            for filename, events in reference.items()
        },
        audio_durations=dict(durations),
        dtc_threshold=scenario.dtc,
        gtc_threshold=scenario.gtc,
        cttc_threshold=scenario.cttc,
        alpha_ct=scenario.alpha_ct,
        alpha_st=scenario.alpha_st,
        max_efpr=MAX_EFPR,
    )
    return PsdRoc(_roc(*effective), {label: _roc(*per_label[label][:2]) for label in heard})


def draw_psd_roc(found: Mapping[str, PsdRoc], titles: Mapping[str, str]) -> str:
    """Both scenarios side by side as SVG: labels thin, the effective curve thick."""
    labels = list(dict.fromkeys(label for curves in found.values() for label in curves.per_label))
    styles = [line_style(place) | {"linewidth": 1.1} for place in range(len(labels))]
    thick: dict[str, Any] = {"color": INK, "linewidth": 3.0}
    with drawing(9.4, 4.4) as figure:
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for axes, (name, curves) in zip(panels, found.items(), strict=True):
            for label, style in zip(labels, styles, strict=True):
                if label in curves.per_label:
                    _stairs(axes, curves.per_label[label], style)
            _stairs(axes, curves.effective, thick)
            axes.set(
                title=plain(titles[name]), xlabel="effective false positives per hour", xlim=(0, MAX_EFPR)
            )
            axes.set_ylim(0, 1.02)
            grid_lines(axes)
        panels[0].set_ylabel("true-positive rate")
        names = ["all labels", *map(plain, labels)]
        add_legend(figure, names, [thick, *styles], columns=4)
        return svg_text(figure, "roc")


def draw_training(logs: Mapping[str, Log], name: str) -> str:
    """Every loss, quality and the speed of one model as SVG: a panel each, a line for each seed."""
    panels = training_panels(logs)
    rows = math.ceil(len(panels) / _COLUMNS)
    styles = [line_style(place) | {"linewidth": 1.2} for place in range(len(logs))]
    with drawing(_PANEL_IN[0] * _COLUMNS, 0.45 + _PANEL_IN[1] * rows) as figure:
        grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axes, (title, by_seed) in zip(grid, panels.items(), strict=False):
            for seed, style in zip(logs, styles, strict=True):
                _line(axes, by_seed.get(seed, {}), style)
            axes.set_title(plain(title.replace("_", " ")))
            _set_scales(axes, [value for series in by_seed.values() for value in series.values()])
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for axes in grid[max(0, len(panels) - _COLUMNS) : len(panels)]:
            axes.set_xlabel("step")
        add_legend(figure, [plain(f"seed {seed}") for seed in logs], styles, columns=6)
        return svg_text(figure, f"training-{name}")


def training_panels(logs: Mapping[str, Log]) -> dict[str, dict[str, Series]]:
    """What each panel shows: title -> seed -> values by step."""
    panels: dict[str, dict[str, Series]] = {}
    for seed, log in logs.items():
        named = {
            **log.losses,
            **{f"{_QUALITY}{name}": series for name, series in log.quality.items()},
            SPEED: log.clips_per_s,
        }
        for title, series in named.items():
            if series:
                panels.setdefault(title, {})[seed] = series
    order = sorted(panels, key=lambda title: (title == SPEED, is_quality(title)))
    return {title: panels[title] for title in order}


def is_quality(title: str) -> bool:
    """Whether a panel shows what a checkpoint is chosen by, rather than a loss."""
    return title.startswith(_QUALITY)


def _score_table(scores: Float32[np.ndarray, "frame label"], labels: Sequence[str]) -> Any:
    times = np.round(FRAME_S * np.arange(len(scores) + 1), 3)
    return create_score_dataframe(scores.astype(np.float64), times, list(labels))


def _roc(rate: np.ndarray, false_per_h: np.ndarray) -> Roc:
    """The whole staircase from 0 to MAX_EFPR: nothing is found before its first step, no more after its last."""
    inside = false_per_h <= MAX_EFPR
    rate, false_per_h = rate[inside], false_per_h[inside]
    last = rate[-1:] if len(rate) else [0.0]
    return Roc(np.concatenate([[0.0], rate, last]), np.concatenate([[0.0], false_per_h, [MAX_EFPR]]))


def _stairs(axes: Axes, curve: Roc, style: Mapping[str, Any]) -> None:
    thin = curve.thinned()
    axes.plot(thin.false_per_h, thin.rate, drawstyle="steps-post", **style)


def _line(axes: Axes, series: Series, style: Mapping[str, Any]) -> None:
    steps, values = _binned(series)
    axes.plot(steps, values, marker="o" if len(steps) < _FEW else "", markersize=3, **style)


def _binned(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, neighbours averaged where there are more than a screen shows."""
    steps, values = np.array(list(series), np.float64), np.array(list(series.values()), np.float64)
    if len(steps) <= _POINTS:
        return steps, values
    return _means(np.array_split(steps, _POINTS)), _means(np.array_split(values, _POINTS))


def _means(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.array([part.mean() for part in parts])


def _set_scales(axes: Axes, values: Sequence[float]) -> None:
    grid_lines(axes)
    finite = [value for value in values if math.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > _WIDE * min(finite):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # the default writes formulae
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.locator_params(axis="x", nbins=5)
