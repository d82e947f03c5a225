"""From the onset of a sound to the news of its event: which news belongs to which sound, and where the time went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.live.listening import Heard, Told
from edge_app.core.events import Event

ONSET_WITHIN_S = 1.0
"""An event that begins further from a sound's onset than this is not of this onset: it was already there."""
PARTS = (
    "onset found",
    "algorithmic",
    "block and resampler",
    "wait and resample",
    "features",
    "inference and pooling",
    "decode and tell",
)
"""What the latency consists of, in order of time.

`onset found`: how much later (or, below zero, sooner) the event begins than the sound was annotated to. `algorithmic`:
from there until the last sample that its news needs has been heard. `block and resampler`: until the block with that
sample is full and captured, and those after it that the resampler needs. `wait and resample`: in the ring, and the
resampler's work. The other three are the work of the inference thread and handing the news on.
"""
COMPUTING = PARTS[3:]


@dataclass(frozen=True, slots=True)
class OnsetLatency:
    """From one sound's annotated onset to one piece of news; all in seconds."""

    event_label: str
    state: str
    """provisional or confirmed."""
    onset_s: float
    """Annotated, within the recording."""
    seconds: float
    parts_s: dict[str, float]
    """By PARTS; they sum to `seconds`."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What became of the annotated sounds."""

    annotated: int
    matched: int
    others: int
    """Events that belong to no annotated onset."""
    latencies: tuple[OnsetLatency, ...]


def match(
    annotated: Sequence[Event], heard: Heard, sample_rate: int, first_sample: int = 0
) -> dict[Event, int]:
    """Annotated events with the id of the found event that is theirs: the earliest of the label that overlaps.

    Its onset is near the annotated one, and each is used once. The recording begins at `first_sample` of the source.
    """
    pairs: dict[Event, int] = {}
    taken: set[int] = set()
    found = sorted(heard.closed.items(), key=lambda item: (item[1][1], item[0]))
    for event in sorted(annotated, key=lambda event: event.onset):
        for event_id, (label, onset_sample, offset_sample) in found:
            onset, offset = (
                (sample - first_sample) / sample_rate for sample in (onset_sample, offset_sample)
            )
            overlaps = label == event.event_label and onset < event.offset and offset > event.onset
            if overlaps and event_id not in taken and abs(onset - event.onset) <= ONSET_WITHIN_S:
                pairs[event] = event_id
                taken.add(event_id)
                break
    return pairs


def latencies(annotated: Sequence[Event], heard: Heard, sample_rate: int, first_sample: int = 0) -> Matches:
    """The latency of every piece of news of an annotated sound, with its parts."""
    pairs = match(annotated, heard, sample_rate, first_sample)
    told = {(one.id, one.state): one for one in heard.told}
    found: list[OnsetLatency] = []
    for event, event_id in pairs.items():
        for state in ("provisional", "confirmed"):
            one = told.get((event_id, state))
            if one is not None and one.onset_s is not None:
                late_s = (one.onset_sample - first_sample) / sample_rate - event.onset
                parts_s = _parts_s(one, one.onset_s, late_s, sample_rate)
                found.append(
                    OnsetLatency(event.event_label, state, event.onset, sum(parts_s.values()), parts_s)
                )
    return Matches(len(annotated), len(pairs), len(heard.closed) - len(pairs), tuple(found))


def _parts_s(told: Told, onset_s: float, late_s: float, sample_rate: int) -> dict[str, float]:
    """`onset_s` is when the event's onset was heard, `late_s` how much later that is than the annotated one."""
    hop = told.hop
    needed_s = onset_s + (hop.needed_sample - told.onset_sample) / sample_rate
    moments = (
        *(onset_s - late_s, onset_s, needed_s, hop.arrived_s),
        *(hop.resampled_s, hop.featured_s, hop.scored_s, told.told_s),
    )
    lasts_s = (later - earlier for earlier, later in pairwise(moments))
    return dict(zip(PARTS, lasts_s, strict=True))


def computing_s(parts_s: Mapping[str, float]) -> float:
    """What of a latency this machine makes."""
    return sum(parts_s[part] for part in COMPUTING)


def histogram(seconds: Sequence[float], bin_s: float) -> dict[str, int]:
    """How many lie in each bin, by the bin's beginning in seconds, empty bins between them too."""
    if not seconds:
        return {}
    bins = [int(each // bin_s) for each in seconds]
    return {f"{number * bin_s:.1f}": bins.count(number) for number in range(min(bins), max(bins) + 1)}
