"""Result 1 on the clips that a run reports on: frame scores, detections and the truth, for curves and examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int16

from edge_app.core.decode import LabelDecoding
from edge_app.core.errors import SedgeError
from edge_app.formats.desed_tsv import read_events
from train.data.clips import ClipSet, load_clips
from train.measuring.evaluate import EventsByFile, FrameScores
from train.measuring.measure import Part, decode_parts
from train.measuring.score_store import read_scores
from train.measuring.tune import Decoding, halves_of, smooth_all
from train.report.folder import METRICS, read_figures

RESULT = Path("ensemble") / "result1"
CLIPS = "data"
REPORTED_SETS = ("validation", "public", "development")
"""Sets that figures can be reported on, the likeliest first."""


@dataclass(frozen=True)
class Evaluated:
    """What was measured on one set of clips. Tables by file name; times in seconds."""

    set_name: str
    event_labels: tuple[str, ...]
    scores: FrameScores
    """As the system gives them."""
    smoothed: FrameScores | None
    """After each label's median filter, which PSDS is measured of; None where the filters are not recorded."""
    reference: EventsByFile
    durations: Mapping[str, float]
    waveforms: Mapping[str, Int16[np.ndarray, " sample"]]
    detections: EventsByFile | None
    """None where they were not written and how to decode is not recorded."""


def read_evaluated(run: Path) -> Evaluated | str:
    """Result 1 of a run, or, where a part is missing, the sentence that says which.

    Raises SedgeError where a file is damaged, or scores and clips do not belong together.
    """
    path = run / RESULT / "scores.npz"
    if not path.is_file():
        return f"There are no frame scores of Result 1 ({_inside(run, path)})."
    try:
        clips = load_clips(run / CLIPS)
    except SedgeError as error:
        return f"The clips that the scores belong to are not there: {error}"
    labels, scores = read_scores(path)
    figures = read_figures(run / RESULT / METRICS) or {}
    set_name = _set_of(clips, scores, figures, path)
    return _evaluated(clips, set_name, labels, scores, figures, run / RESULT / "events.tsv")


def parts_of(figures: Mapping[str, Any], files: Sequence[str]) -> list[Part]:
    """How files are decoded, as figures record it: all alike, or each half as tuned on the other; else no parts."""
    decodings = {name: _decoding(labels) for name, labels in (figures.get("decodings") or {}).items()}
    if len(decodings) == 1:
        return [Part(tuple(files), *next(iter(decodings.items())))]
    if set(decodings) != {"a_", "b_"}:
        return []
    halves = halves_of(files)
    a, b = (tuple(f for f, of in zip(files, halves, strict=True) if of == half) for half in (0, 1))
    return [Part(a, "b_", decodings["b_"]), Part(b, "a_", decodings["a_"])]


def _decoding(labels: Mapping[str, Any]) -> Decoding:
    return {label: LabelDecoding.model_validate(settings) for label, settings in labels.items()}


def _evaluated(
    clips: ClipSet,
    set_name: str,
    labels: tuple[str, ...],
    scores: FrameScores,
    figures: Mapping[str, Any],
    table: Path,
) -> Evaluated:
    places = {clips.filenames[place]: int(place) for place in clips.indices(set_name)}
    own = {name: scores[name] for name in places}
    parts = parts_of(figures, list(own))
    detections: EventsByFile | None = None
    if table.is_file():
        detections = read_events(table, instants=True)
    elif parts:
        detections = decode_parts(own, labels, parts)
    waveforms = {name: clips.waveforms[place, : clips.n_samples[place]] for name, place in places.items()}
    return Evaluated(
        set_name,
        labels,
        own,
        _smoothed(own, labels, parts) if parts else None,
        clips.reference(set_name),
        clips.durations(set_name),
        waveforms,
        detections,
    )


def _smoothed(scores: FrameScores, labels: Sequence[str], parts: Sequence[Part]) -> FrameScores:
    smoothed: dict[str, Float32[np.ndarray, "frame label"]] = {}
    for part in parts:
        smoothed |= smooth_all({name: scores[name] for name in part.files}, labels, part.decoding)
    return {name: smoothed[name] for name in scores}


def _set_of(
    clips: ClipSet,
    scores: FrameScores,
    figures: Mapping[str, Any],
    path: Path,
) -> str:
    """The set that figures name, else the first of REPORTED_SETS whose clips all have scores."""
    named = figures.get("set")
    candidates = (named,) if isinstance(named, str) else REPORTED_SETS
    for name in candidates:
        files = {clips.filenames[place] for place in clips.indices(name)}
        if files and files <= set(scores):
            return name
    raise SedgeError(
        f"{path}: expected scores of every clip of {' or '.join(candidates)}, found scores of {len(scores)} others"
    )


def _inside(run: Path, path: Path) -> str:
    return path.relative_to(run).as_posix()
