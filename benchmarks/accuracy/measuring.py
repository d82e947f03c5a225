"""What detections on annotated clips are worth: as shipped, cross-tuned, and by groups of clips."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy.event_counts import EventCounts, count_events
from benchmarks.accuracy.levels import ClipLevel, EventLevel
from edge_app.core.bundle import Bundle
from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from train.measuring.evaluate import FrameScores, event_f1, psds
from train.measuring.figures import cross_figures
from train.measuring.tune import cross_tuned, decode_all, halves_of, smooth_all
from train.measuring.validation_set import ValidationSet

SNR_EDGES_DB = (10.0, 20.0)
MOST_POLYPHONY = 3
UNMEASURED = "SNR not measurable"
NO_EVENTS = "no events"


@dataclass(frozen=True)
class GroupFigures:
    """Figures of some of the clips, and of the events of that kind wherever they are.

    F1 and PSDS count the false detections of these clips only, and are None where they have no events.
    """

    clips: int
    event_f1_macro: float | None
    event_f1_micro: float | None
    psds1: float | None
    psds2: float | None
    false_detections_per_hour: float
    events: int
    """Reference events that are themselves of this kind, in any clip."""
    found: float | None
    """Share of those that were found, as event-F1 counts hits."""


def shipped_figures(scores: FrameScores, clips: ValidationSet, bundle: Bundle) -> dict[str, Any]:
    """Figures with the shipped decoding. PSDS is taken of the scores after the decoding's median filter."""
    labels, decoding = bundle.manifest.event_labels, bundle.manifest.decoding
    detections = decode_all(scores, labels, decoding)
    f1 = event_f1(clips.reference, detections, labels)
    area = psds(smooth_all(scores, labels, decoding), clips.reference, clips.durations, labels)
    return {
        "event_f1_macro": f1.macro,
        "event_f1_macro_spread": count_events(clips.reference, detections, labels).macro_spread(),
        "event_f1_micro": f1.micro,
        "psds1": area.psds1,
        "psds2": area.psds2,
        "event_f1_per_class": f1.per_label,
    }


def measure(scores: FrameScores, clips: ValidationSet, bundle: Bundle) -> dict[str, Any]:
    """Figures of one context: with the shipped decoding and, where the clips come in halves, cross-tuned."""
    shipped = shipped_figures(scores, clips, bundle)
    if not _has_halves(clips):
        return {"shipped": shipped, "cross_tuned": None}
    tuned = cross_tuned(scores, clips.reference, clips.durations, bundle.manifest.event_labels)
    return {"shipped": shipped, "cross_tuned": cross_figures(tuned)}


def _has_halves(clips: ValidationSet) -> bool:
    try:
        halves_of(clips.reference)
    except SedgeError:
        return False
    return True


def snr_group(snr_db: float | None) -> str:
    """The name of the range that an SNR lies in."""
    low, high = SNR_EDGES_DB
    if snr_db is None:
        return UNMEASURED
    if snr_db < low:
        return f"SNR under {low:.0f} dB"
    return f"SNR {low:.0f} to {high:.0f} dB" if snr_db < high else f"SNR from {high:.0f} dB"


def polyphony_group(polyphony: int) -> str:
    """The name of a number of events at once."""
    if not polyphony:
        return NO_EVENTS
    return f"{polyphony} at once" if polyphony < MOST_POLYPHONY else f"{MOST_POLYPHONY} or more at once"


SNR_GROUPS = (*map(snr_group, (SNR_EDGES_DB[0] - 1, *SNR_EDGES_DB, None)),)
POLYPHONY_GROUPS = tuple(polyphony_group(polyphony) for polyphony in range(MOST_POLYPHONY + 1))


def by_snr(
    scores: FrameScores, clips: ValidationSet, bundle: Bundle, levels: Mapping[str, ClipLevel]
) -> dict[str, GroupFigures]:
    """Figures by the SNR of clips (the median of their events) and of events; clips without events are left out."""
    of_clip = {filename: snr_group(level.snr_db) for filename, level in levels.items() if level.events}
    of_event = _of_events(levels, lambda event: snr_group(event.snr_db))
    return _grouped(scores, clips, bundle, SNR_GROUPS, of_clip, of_event)


def by_polyphony(
    scores: FrameScores, clips: ValidationSet, bundle: Bundle, levels: Mapping[str, ClipLevel]
) -> dict[str, GroupFigures]:
    """Figures by the most events at once: in a clip, and while an event sounds."""
    of_clip = {filename: polyphony_group(level.polyphony) for filename, level in levels.items()}
    of_event = _of_events(levels, lambda event: polyphony_group(event.polyphony))
    return _grouped(scores, clips, bundle, POLYPHONY_GROUPS, of_clip, of_event)


def _of_events(levels: Mapping[str, ClipLevel], group_of: Callable[[EventLevel], str]) -> list[str]:
    return [group_of(event) for level in levels.values() for event in level.events]


def _grouped(
    scores: FrameScores,
    clips: ValidationSet,
    bundle: Bundle,
    names: Sequence[str],
    of_clip: Mapping[str, str],
    of_event: Sequence[str],
) -> dict[str, GroupFigures]:
    labels, decoding = bundle.manifest.event_labels, bundle.manifest.decoding
    counts = count_events(clips.reference, decode_all(scores, labels, decoding), labels)
    smoothed = smooth_all(scores, labels, decoding)
    found = [is_hit for clip in counts.found for is_hit in clip]
    groups = {}
    for name in names:
        inside = [filename for filename in clips.reference if of_clip.get(filename) == name]
        hits = [is_hit for is_hit, group in zip(found, of_event, strict=True) if group == name]
        if inside or hits:
            groups[name] = _figures_of(inside, hits, counts, smoothed, clips, labels)
    return groups


def _figures_of(
    inside: Sequence[str],
    hits: Sequence[bool],
    counts: EventCounts,
    smoothed: FrameScores,
    clips: ValidationSet,
    labels: Sequence[str],
) -> GroupFigures:
    places = {filename: place for place, filename in enumerate(clips.reference)}
    of_group = counts.of_clips([places[filename] for filename in inside])
    hours = sum(clips.durations[filename] for filename in inside) / 3600
    psds1, psds2 = _psds_of(inside, smoothed, clips, labels)
    return GroupFigures(
        clips=len(inside),
        event_f1_macro=of_group.macro,
        event_f1_micro=of_group.micro,
        psds1=psds1,
        psds2=psds2,
        false_detections_per_hour=of_group.false_detections / hours if hours else 0.0,
        events=len(hits),
        found=sum(hits) / len(hits) if hits else None,
    )


def _psds_of(
    inside: Sequence[str], smoothed: FrameScores, clips: ValidationSet, labels: Sequence[str]
) -> tuple[float | None, float | None]:
    reference: dict[str, list[Event]] = {filename: clips.reference[filename] for filename in inside}
    if not any(reference.values()):
        return None, None
    durations = {filename: clips.durations[filename] for filename in inside}
    area = psds({filename: smoothed[filename] for filename in inside}, reference, durations, labels)
    return _finite(area.psds1), _finite(area.psds2)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
