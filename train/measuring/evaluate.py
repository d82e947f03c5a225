"""How good detections are: F1 of events, segments, intersections and clips, and PSDS.

The numbers come from the field's own programs (sed_eval, sed_scores_eval, psds_eval); what is here
makes their inputs alike and refuses what they would silently drop.
"""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import sed_eval
from jaxtyping import Bool, Float32
from psds_eval import PSDSEval
from psds_eval.psds import WORLD
from sed_scores_eval import intersection_based
from sed_scores_eval.base_modules.scores import create_score_dataframe

from edge_app.core.errors import SedgeError
from edge_app.core.events import FRAME_S, Event
from train.data.overlaps import merged

COLLAR_S = 0.2
OFFSET_SHARE = 0.2
"""The offset may be off by this share of the reference event's length, where that is more than the collar."""
SEGMENT_S = 1.0
"""A segment is active where an event touches it."""
INTERSECTION = 0.5
"""Share of a detection inside reference events, and of a reference event inside detections, that makes a hit."""
MAX_EFPR = 100.0
"""Effective false positives an hour up to which the area is taken."""
OPERATING_POINTS = tuple(float(point) for point in np.round(np.arange(0.01, 1, 0.02), 2))
"""The 50 thresholds of the field's threshold-dependent PSDS."""

EventsByFile = Mapping[str, Sequence[Event]]
FrameScores = Mapping[str, Float32[np.ndarray, "frame label"]]


@dataclass(frozen=True)
class F1:
    """An F1 in 0...1. A label without reference events has None and no part in `macro`."""

    macro: float
    micro: float | None
    per_label: dict[str, float | None]


@dataclass(frozen=True)
class F1s:
    """The four F1 of the same detections."""

    event: F1
    segment: F1
    intersection: F1
    clip: F1


@dataclass(frozen=True)
class Psds:
    """PSDS in 0...1 for both scenarios. A label without reference events has None and no part in the means."""

    psds1: float
    psds2: float
    psds1_per_label: dict[str, float | None] = field(default_factory=dict)
    psds2_per_label: dict[str, float | None] = field(default_factory=dict)
    repeated_operating_points: int = 0
    """Thresholds whose detections equal those of another one, which count once."""


@dataclass(frozen=True)
class Scenario:
    """Settings of one PSDS."""

    dtc: float
    gtc: float
    cttc: float | None
    alpha_ct: float
    alpha_st: float


SCENARIO_1 = Scenario(dtc=0.7, gtc=0.7, cttc=None, alpha_ct=0.0, alpha_st=1.0)
"""Rewards exact times."""
SCENARIO_2 = Scenario(dtc=0.1, gtc=0.1, cttc=0.3, alpha_ct=0.5, alpha_st=1.0)
"""Rewards the right label."""


def f1s(
    reference: EventsByFile,
    estimate: EventsByFile,
    durations: Mapping[str, float],
    event_labels: Sequence[str],
) -> F1s:
    """Every F1 of the same detections. Raises SedgeError as `event_f1` does, and where the durations differ."""
    return F1s(
        event_f1(reference, estimate, event_labels),
        segment_f1(reference, estimate, event_labels),
        intersection_f1(reference, estimate, durations, event_labels),
        clip_f1(reference, estimate, event_labels),
    )


def event_f1(reference: EventsByFile, estimate: EventsByFile, event_labels: Sequence[str]) -> F1:
    """Event-based F1 with a collar of 200 ms, for offsets 20 % of the length where that is more.

    Times count in whole milliseconds, as tables hold them. Raises SedgeError where the two cover different
    files, an event has another label or the reference has none.
    """
    metrics = sed_eval.sound_event.EventBasedMetrics(
        event_label_list=list(event_labels),
        t_collar=COLLAR_S,
        percentage_of_length=OFFSET_SHARE,
        empty_system_output_handling="zero_score",
    )
    return _by_sed_eval(metrics, reference, estimate, event_labels)


def segment_f1(reference: EventsByFile, estimate: EventsByFile, event_labels: Sequence[str]) -> F1:
    """Segment-based F1 in segments of one second. Raises SedgeError as `event_f1` does."""
    metrics = sed_eval.sound_event.SegmentBasedMetrics(list(event_labels), time_resolution=SEGMENT_S)
    metrics.empty_system_output_handling = "zero_score"  # the constructor does not take it
    return _by_sed_eval(metrics, reference, estimate, event_labels)


def intersection_f1(
    reference: EventsByFile,
    estimate: EventsByFile,
    durations: Mapping[str, float],
    event_labels: Sequence[str],
) -> F1:
    """Macro F1 by psds_eval with detection and ground truth criterion 0.5, as the field's baseline reports it.

    A label without a hit counts as 0; psds_eval's own mean leaves it out. Raises SedgeError as `event_f1` does.
    """
    heard = _check_events(reference, estimate, event_labels)
    check_files("durations", durations, reference)
    criteria = Scenario(dtc=INTERSECTION, gtc=INTERSECTION, cttc=None, alpha_ct=0.0, alpha_st=0.0)
    evaluation = _evaluation(_merged_frame(reference, heard), durations, criteria)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")  # a label without a hit divides 0 by 0
        _, found = evaluation.compute_macro_f_score(_merged_frame(estimate, heard))
    per_label = {label: float(np.nan_to_num(found[label])) for label in heard}
    return F1(float(np.mean(list(per_label.values()))), None, _for_all(per_label, event_labels))


def clip_f1(reference: EventsByFile, estimate: EventsByFile, event_labels: Sequence[str]) -> F1:
    """F1 of clip tags: the labels that have any event in a clip. Raises SedgeError as `event_f1` does."""
    heard = _check_events(reference, estimate, event_labels)
    truth, found = (_tags([by_file[f] for f in reference], event_labels) for by_file in (reference, estimate))
    hits, tags = (truth & found).sum(axis=0), truth.sum(axis=0) + found.sum(axis=0)
    per_label = {
        label: float(2 * hit / n)
        for label, hit, n in zip(event_labels, hits, tags, strict=True)
        if label in heard
    }
    macro, micro = float(np.mean(list(per_label.values()))), float(2 * hits.sum() / tags.sum())
    return F1(macro, micro, _for_all(per_label, event_labels))


def psds(
    scores: FrameScores, reference: EventsByFile, durations: Mapping[str, float], event_labels: Sequence[str]
) -> Psds:
    """Exact, threshold-independent PSDS of frame scores on the 20 ms grid.

    Raises SedgeError where the tables cover different files or the reference has another label.
    """
    _check_tables(scores, reference, durations, event_labels)
    heard = _labels_heard(reference, event_labels)
    columns = [list(event_labels).index(label) for label in heard]
    tables = {filename: _score_table(clip[:, columns], heard) for filename, clip in scores.items()}
    truth = {
        filename: [(event.onset, event.offset, event.event_label) for event in merged(events, touching=True)]
        for filename, events in reference.items()
    }
    (psds1, labels1), (psds2, labels2) = (
        _exact(tables, truth, dict(durations), _for_labels(scenario, heard))
        for scenario in (SCENARIO_1, SCENARIO_2)
    )
    return Psds(psds1, psds2, _for_all(labels1, event_labels), _for_all(labels2, event_labels))


def psds_at_operating_points(
    detections: Sequence[EventsByFile],
    reference: EventsByFile,
    durations: Mapping[str, float],
    event_labels: Sequence[str],
) -> Psds:
    """PSDS of the detections at several thresholds, by psds_eval: a cross-check that depends on the thresholds.

    Detections need not list files without events. Raises SedgeError for a file that the reference lacks.
    """
    check_files("durations", durations, reference)
    check_labels_known("reference", reference, event_labels)
    heard = _labels_heard(reference, event_labels)
    for point in detections:
        check_known_files("detections", point, reference)
        check_labels_known("detections", point, event_labels)
    truth, points = _merged_frame(reference, heard), [_merged_frame(point, heard) for point in detections]
    scenarios = [_for_labels(scenario, heard) for scenario in (SCENARIO_1, SCENARIO_2)]
    (psds1, labels1, repeated), (psds2, labels2, _) = (
        _at_points(points, _evaluation(truth, durations, scenario), scenario) for scenario in scenarios
    )
    return Psds(psds1, psds2, _for_all(labels1, event_labels), _for_all(labels2, event_labels), repeated)


def labels_in(by_file: EventsByFile) -> set[str]:
    """The labels that occur."""
    return {event.event_label for events in by_file.values() for event in events}


def check_files(name: str, files: Collection[str], reference: Collection[str]) -> None:
    """Raise SedgeError unless both name the same files: a missing one would pass as silence."""
    check_known_files(name, files, reference)
    missing = sorted(set(reference) - set(files))
    if missing:
        raise SedgeError(
            f"{name}: expected the {len(reference)} files of the reference, {_found('missing', missing)}"
        )


def check_known_files(name: str, files: Collection[str], reference: Collection[str]) -> None:
    """Raise SedgeError for a file that the reference lacks."""
    unknown = sorted(set(files) - set(reference))
    if unknown:
        raise SedgeError(f"{name}: expected only files of the reference, {_found('unknown', unknown)}")


def check_labels_known(name: str, by_file: EventsByFile, event_labels: Sequence[str]) -> None:
    """Raise SedgeError for an event whose label is not among `event_labels`."""
    unknown = sorted(labels_in(by_file) - set(event_labels))
    if unknown:
        raise SedgeError(f"{name}: expected labels {list(event_labels)}, found {unknown}")


def _found(what: str, names: Sequence[str]) -> str:
    return f"found {len(names)} {what}: {', '.join(map(repr, names[:3]))}{', ...' if len(names) > 3 else ''}"


def _check_tables(
    scores: FrameScores, reference: EventsByFile, durations: Mapping[str, float], event_labels: Sequence[str]
) -> None:
    check_files("frame scores", scores, reference)
    check_files("durations", durations, reference)
    check_labels_known("reference", reference, event_labels)
    for filename, clip in scores.items():
        if clip.ndim != 2 or clip.shape[1] != len(event_labels) or not len(clip):
            raise SedgeError(
                f"frame scores of {filename!r}: expected (frame, {len(event_labels)}), found {clip.shape}"
            )


def _labels_heard(reference: EventsByFile, event_labels: Sequence[str]) -> list[str]:
    heard = labels_in(reference)
    if not heard:
        raise SedgeError("reference: expected at least one event, found none")
    return [label for label in event_labels if label in heard]


def _for_all(values: Mapping[str, float], event_labels: Sequence[str]) -> dict[str, float | None]:
    return {label: values.get(label) for label in event_labels}


def _rows(filename: str, events: Iterable[Event]) -> list[dict[str, str | float]]:
    return [
        {
            "filename": filename,
            "event_onset": round(event.onset, 3),
            "event_offset": round(event.offset, 3),
            "event_label": event.event_label,
        }
        for event in events
    ]


def _tags(clips: Iterable[Sequence[Event]], event_labels: Sequence[str]) -> Bool[np.ndarray, "clip label"]:
    heard = [{event.event_label for event in events} for events in clips]
    return np.array([[label in of_clip for label in event_labels] for of_clip in heard], bool)


def _check_events(reference: EventsByFile, estimate: EventsByFile, event_labels: Sequence[str]) -> list[str]:
    """The labels heard, once both tables fit each other."""
    check_files("estimate", estimate, reference)
    check_labels_known("reference", reference, event_labels)
    check_labels_known("estimate", estimate, event_labels)
    return _labels_heard(reference, event_labels)


def _by_sed_eval(
    metrics: sed_eval.sound_event.SoundEventMetrics,
    reference: EventsByFile,
    estimate: EventsByFile,
    event_labels: Sequence[str],
) -> F1:
    heard = _check_events(reference, estimate, event_labels)
    for filename, events in reference.items():
        metrics.evaluate(_rows(filename, merged(events)), _rows(filename, estimate[filename]))
    per_label = {label: float(metrics.class_wise_f_measure(label)["f_measure"]) for label in heard}
    macro, micro = float(np.mean(list(per_label.values()))), float(metrics.overall_f_measure()["f_measure"])
    return F1(macro, micro, _for_all(per_label, event_labels))


def _score_table(scores: Float32[np.ndarray, "frame label"], labels: Sequence[str]) -> pd.DataFrame:
    times = np.round(FRAME_S * np.arange(len(scores) + 1), 3)
    return create_score_dataframe(scores.astype(np.float64), times, list(labels))


def _exact(
    tables: Mapping[str, pd.DataFrame],
    truth: Mapping[str, list[tuple[float, float, str]]],
    durations: dict[str, float],
    scenario: Scenario,
) -> tuple[float, dict[str, float]]:
    value, per_label, _, _ = intersection_based.psds(
        scores=tables,
        ground_truth=truth,
        audio_durations=durations,
        dtc_threshold=scenario.dtc,
        gtc_threshold=scenario.gtc,
        cttc_threshold=scenario.cttc,
        alpha_ct=scenario.alpha_ct,
        alpha_st=scenario.alpha_st,
        max_efpr=MAX_EFPR,
    )
    return float(value), {label: float(of_label) for label, of_label in per_label.items()}


def _merged_frame(by_file: EventsByFile, labels: Collection[str]) -> pd.DataFrame:
    """Events of some labels as psds_eval takes them: it sums overlapping ones unchecked, or refuses them."""
    rows = [
        (filename, event.onset, event.offset, event.event_label)
        for filename, events in by_file.items()
        for event in merged(events)
        if event.event_label in labels
    ]
    table = pd.DataFrame(rows, columns=["filename", "onset", "offset", "event_label"])
    return table.astype({"onset": float, "offset": float})


def _for_labels(scenario: Scenario, heard: Sequence[str]) -> Scenario:
    """The scenario without cross-triggers where there is one label: both programs fail on what cannot occur."""
    return scenario if len(heard) > 1 else replace(scenario, cttc=None, alpha_ct=0.0)


def _evaluation(truth: pd.DataFrame, durations: Mapping[str, float], scenario: Scenario) -> PSDSEval:
    clips = pd.DataFrame({"filename": list(durations), "duration": list(durations.values())})
    return PSDSEval(
        dtc_threshold=scenario.dtc,
        gtc_threshold=scenario.gtc,
        cttc_threshold=0.3 if scenario.cttc is None else scenario.cttc,
        ground_truth=truth,
        metadata=clips,
    )


def _at_points(
    points: Sequence[pd.DataFrame], evaluation: PSDSEval, scenario: Scenario
) -> tuple[float, dict[str, float], int]:
    """PSDS of one scenario, the areas of its labels, and how many points repeat another."""
    labels = [label for label in evaluation.class_names if label != WORLD]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # repeated points are counted, the rest is pandas'
        for point in points:
            evaluation.add_operating_point(point)
        over_fpr, _, over_efpr = evaluation.psd_roc_curves(scenario.alpha_ct)
        value = evaluation.psds(scenario.alpha_ct, scenario.alpha_st, MAX_EFPR).value
    # of one label psds_eval takes the mean of no cross-triggers, which is no number
    curves = over_efpr if len(labels) > 1 else over_fpr
    edges = np.append(curves.xp[curves.xp < MAX_EFPR], MAX_EFPR)
    areas = curves.yp[:, : len(edges) - 1] @ np.diff(edges) / MAX_EFPR
    per_label = {label: float(area) for label, area in zip(labels, areas, strict=True)}
    whole = float(value) if len(labels) > 1 else per_label[labels[0]]
    return whole, per_label, len(points) - evaluation.num_operating_points()
