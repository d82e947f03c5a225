"""How loud events are over the rest, how many sound at once, and the counts behind event-F1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.event_counts import EventCounts, count_events
from benchmarks.accuracy.levels import LOWEST_SNR_DB, clip_level, most_at_once
from benchmarks.accuracy.measuring import SNR_GROUPS, UNMEASURED, polyphony_group, snr_group
from edge_app.core.events import Event
from train.measuring.evaluate import event_f1

LABELS = ("Cat", "Dog", "Speech")
SAMPLE_RATE = 16_000


def noise(seconds, rms, seed=0):
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32)


def with_sounds(*sounds):
    """Ten seconds of noise of RMS 0.01, and louder noises (onset, offset, SNR in dB) added."""
    samples = noise(10, 0.01)
    for number, (onset, offset, snr_db) in enumerate(sounds):
        first = round(onset * SAMPLE_RATE)
        sound = noise(offset - onset, 0.01 * 10 ** (snr_db / 20), seed=number + 1)
        samples[first : first + len(sound)] += sound
    return samples


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 25.0])
def test_snr_is_that_of_the_mix(snr_db):
    (level,) = clip_level(with_sounds((2, 4, snr_db)), [Event(2, 4, "Dog")]).events
    assert level.snr_db == pytest.approx(snr_db, abs=0.5)


def test_snr_of_overlapping_events_is_taken_where_each_sounds_alone():
    events = [Event(2, 5, "Dog"), Event(4, 7, "Cat"), Event(8, 9, "Speech")]
    clip = clip_level(with_sounds((2, 5, 10), (4, 7, 25), (8, 9, 15)), events)
    assert [level.snr_db for level in clip.events] == pytest.approx([10, 25, 15], abs=0.5)
    assert [level.polyphony for level in clip.events] == [2, 2, 1]
    assert clip.snr_db == pytest.approx(15, abs=0.5)
    assert clip.polyphony == 2


def test_what_cannot_be_measured_has_no_snr():
    covered = clip_level(with_sounds((2, 4, 10)), [Event(2, 4, "Dog"), Event(1, 5, "Cat")])
    assert [level.event.event_label for level in covered.events] == ["Cat", "Dog"]
    assert covered.events[1].snr_db is None
    assert covered.events[0].snr_db == LOWEST_SNR_DB  # nothing is louder where the cat is alone
    assert clip_level(with_sounds((0, 10, 10)), [Event(0, 10, "Dog")]).snr_db is None
    silent = np.zeros(10 * SAMPLE_RATE, np.float32)
    silent[:SAMPLE_RATE] = 0.1
    assert clip_level(silent, [Event(0, 1, "Dog")]).snr_db is None
    empty = clip_level(noise(10, 0.01), [])
    assert (empty.snr_db, empty.polyphony, empty.events) == (None, 0, ())


def test_overlapping_events_of_one_label_are_one():
    clip = clip_level(with_sounds((2, 4, 10)), [Event(2, 3.5, "Dog"), Event(3, 4, "Dog")])
    assert [level.event for level in clip.events] == [Event(2, 4, "Dog")]
    assert clip.polyphony == 1


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), min_size=1, max_size=6)


@given(spans)
def test_most_at_once_is_that_of_a_count_over_every_moment(drawn):
    events = [Event(onset, onset + length, str(number)) for number, (onset, length) in enumerate(drawn)]
    for event in events:
        moments = np.arange(event.onset, event.offset) + 0.5
        slow = max(sum(other.onset < moment < other.offset for other in events) for moment in moments)
        assert most_at_once(event, events) == slow


def test_groups_cover_every_value_once():
    names = [snr_group(snr_db) for snr_db in (-20, 9.99, 10, 19.99, 20, 60, None)]
    assert [SNR_GROUPS.index(name) for name in names] == [0, 0, 1, 1, 2, 2, 3]
    assert SNR_GROUPS[-1] == UNMEASURED
    assert [polyphony_group(n) for n in (0, 1, 3, 9)] == [
        *("no events", "1 at once"),
        *("3 or more at once", "3 or more at once"),
    ]


def tables(seed, n_clips=12):
    """A reference, and detections that are sometimes near it."""
    rng = np.random.default_rng(seed)
    reference, estimate = {}, {}
    for clip in range(n_clips):
        events = [
            Event(onset, onset + rng.uniform(0.2, 3), str(rng.choice(LABELS)))
            for onset in rng.uniform(0, 7, rng.integers(0, 5))
        ]
        near = [
            Event(max(0.0, event.onset + rng.normal(0, 0.15)), event.offset + 0.1, event.event_label)
            for event in events
        ]
        reference[f"{clip}.wav"] = events
        estimate[f"{clip}.wav"] = [event for event in near if rng.random() < 0.8] + [Event(8, 9, "Cat")]
    return reference, estimate


@pytest.mark.parametrize("seed", range(4))
def test_counts_give_the_f1_of_sed_eval(seed):
    reference, estimate = tables(seed)
    counts, f1 = count_events(reference, estimate, LABELS), event_f1(reference, estimate, LABELS)
    assert counts.macro == pytest.approx(f1.macro)
    assert counts.micro == pytest.approx(f1.micro)
    assert sum(map(sum, counts.found)) == counts.hits.sum() > 0
    assert counts.false_detections == counts.detections.sum() - counts.hits.sum()
    some = [1, 2, 5, 7]
    part = {filename: reference[filename] for filename in (f"{clip}.wav" for clip in some)}
    f1 = event_f1(part, {filename: estimate[filename] for filename in part}, LABELS)
    assert counts.of_clips(some).macro == pytest.approx(f1.macro)
    assert counts.of_clips(some).micro == pytest.approx(f1.micro)


def test_found_events_are_in_the_order_of_levels():
    events = [Event(1, 2, "Speech"), Event(3, 4, "Cat"), Event(3, 5, "Dog")]
    counts = count_events({"a.wav": events}, {"a.wav": [Event(3, 5, "Dog")]}, LABELS)
    assert counts.found == ((False, False, True),)


def test_the_spread_holds_the_value_and_narrows_with_more_clips():
    reference, estimate = tables(1)
    counts = count_events(reference, estimate, LABELS)
    low, high = spread_of(counts)
    assert (low, high) == counts.macro_spread()
    assert low < (counts.macro or 0) < high
    many = counts.of_clips(16 * list(range(len(reference))))
    low_of_many, high_of_many = spread_of(many)
    assert high_of_many - low_of_many < 0.5 * (high - low)


def spread_of(counts: EventCounts) -> tuple[float, float]:
    spread = counts.macro_spread()
    assert spread is not None
    return spread


def test_without_events_there_is_no_f1():
    counts = count_events({"a.wav": []}, {"a.wav": [Event(1, 2, "Dog")]}, LABELS)
    assert (counts.macro, counts.micro, counts.macro_spread()) == (None, None, None)
    assert counts.false_detections == 1
