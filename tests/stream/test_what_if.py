"""Other settings on the scores that are there: the decoder's own events, and the reasons of what it drops."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_app
from edge_app.commands.detector import open_detector
from edge_app.core.decode import Decoder, LabelDecoding, closed_events
from edge_app.stream.board import Board
from edge_app.stream.sources import FileSource
from edge_app.stream.what_if import what_if
from tests.stream.fakes import EVENT_LABELS, ScriptedSource, bursts, fake_bundle
from tests.stream.live import run_to_end
from tests.stream.runs import RATE, closed

label_settings = st.builds(
    LabelDecoding,
    threshold_on=st.sampled_from([0.3, 0.5, 0.7]),
    median_frames=st.sampled_from([1, 5, 21]),
    min_on_s=st.sampled_from([0.0, 0.1, 0.4]),
    min_off_s=st.sampled_from([0.0, 0.2]),
)
PLAIN = LabelDecoding(threshold_on=0.5, min_on_s=0.1)


def wandering(n_frames: int, seed: int):
    """Scores that go up and down, shape (frame, label)."""
    steps = np.random.default_rng(seed).normal(0, 0.5, (n_frames, len(EVENT_LABELS)))
    return (0.5 + 0.5 * np.sin(np.cumsum(steps, axis=0))).astype(np.float32)


@settings(max_examples=40)
@given(
    decoding=st.fixed_dictionaries(dict.fromkeys(EVENT_LABELS, label_settings)),
    enabled=st.sets(st.sampled_from(EVENT_LABELS)),
    seed=st.integers(0, 999),
    hole=st.tuples(st.integers(0, 200), st.integers(0, 60)),
)
def test_events_are_those_of_the_decoder(decoding, enabled, seed, hole):
    scores, first = wandering(200, seed), 7_000
    begin, length = hole
    parts = [(first, scores[:begin].copy()), (first + begin + length, scores[begin + length :].copy())]
    scores[begin : begin + length] = np.nan
    if not length:
        parts = [(first, scores)]
    expected, dropped = [], []
    for start, part in parts:
        decoder = Decoder(EVENT_LABELS, decoding, start)
        messages = decoder.push(part) + decoder.flush()
        expected += closed_events([one for one in messages if one.event_label in enabled])
        dropped += [one for one in messages if one.type == "withdrawn" and one.event_label in enabled]
    found = what_if(scores, first, EVENT_LABELS, decoding, enabled)
    assert [
        (e.event_label, round(e.onset_frame * 0.02, 6), round(e.offset_frame * 0.02, 6), e.score)
        for e in found.events
    ] == [
        (e.event_label, e.onset, e.offset, e.score)
        for e in sorted(expected, key=lambda e: (e.onset, e.event_label))
    ]
    short = [miss for miss in found.near_misses if miss.reason == "too short"]
    assert sorted((m.event_label, m.onset_frame) for m in short) == sorted(
        (m.event_label, m.onset_frame) for m in dropped
    )
    for miss in found.near_misses:
        assert (miss.reason == "label off") == (miss.event_label not in enabled)


def one_bump(height: float, length: int):
    scores = np.full((100, 3), 0.1, np.float32)
    scores[40 : 40 + length, 1] = height
    return scores


def test_near_misses_come_with_their_reason():
    decoding = dict.fromkeys(EVENT_LABELS, PLAIN)
    low = what_if(one_bump(0.45, 10), 1_000, EVENT_LABELS, decoding)
    assert low.events == ()
    (miss,) = low.near_misses
    assert (miss.event_label, miss.onset_frame, miss.offset_frame) == ("Dog", 1_040, 1_050)
    assert (miss.reason, miss.text) == ("below threshold", "0.05 below the threshold")
    assert miss.missing == pytest.approx(0.05)

    (miss,) = what_if(one_bump(0.9, 3), 0, EVENT_LABELS, decoding).near_misses
    assert (miss.reason, miss.missing, miss.text) == ("too short", 0.04, "0.04 s too short")

    off = what_if(one_bump(0.9, 10), 0, EVENT_LABELS, decoding, {"Cat"})
    assert off.events == ()
    assert [(one.reason, one.text) for one in off.near_misses] == [("label off", "the label is off")]

    for quiet in (one_bump(0.3, 10), one_bump(0.1, 10)):
        assert what_if(quiet, 0, EVENT_LABELS, decoding).near_misses == ()
    assert [e.event_label for e in what_if(one_bump(0.9, 10), 0, EVENT_LABELS, decoding).events] == ["Dog"]


def test_the_flanks_of_an_event_are_no_near_misses():
    scores = one_bump(0.9, 10)
    scores[36:40, 1] = scores[50:54, 1] = 0.45
    decoding = {
        **dict.fromkeys(EVENT_LABELS, PLAIN),
        "Dog": LabelDecoding(threshold_on=0.5, threshold_off=0.5),
    }
    found = what_if(scores, 0, EVENT_LABELS, decoding)
    assert len(found.events) == 1
    assert found.near_misses == ()


def test_nothing_comes_of_nothing():
    decoding = dict.fromkeys(EVENT_LABELS, PLAIN)
    for scores in (np.empty((0, 3), np.float32), np.full((50, 3), np.nan, np.float32)):
        assert what_if(scores, 5, EVENT_LABELS, decoding).events == ()


def test_on_a_boards_scores_the_own_settings_give_what_was_heard():
    snapshot, news = run_to_end(ScriptedSource([bursts(8 * RATE), RATE, bursts(5 * RATE, seed=3)]))
    found = what_if(snapshot.scores, snapshot.scores_first, EVENT_LABELS, fake_bundle().manifest.decoding)
    assert [(e.event_label, e.onset_frame, e.offset_frame) for e in found.events] == [
        (e.event_label, round(e.onset / 0.02), round(e.offset / 0.02)) for e in closed(news)
    ]


def test_a_real_recording_decoded_again_gives_the_same_events_and_says_what_it_missed():
    detector = open_detector(None, "cpu", "live")
    recording = Path(edge_app.__file__).parent / "demo" / "soundscape.flac"
    snapshot, _ = run_to_end(FileSource(recording), Board(detector.event_labels), detector=detector)
    again = what_if(
        snapshot.scores, snapshot.scores_first, detector.event_labels, detector.bundle.manifest.decoding
    )
    shown = {
        (item.event_label, item.onset_sample // 320, item.offset_sample // 320, item.state)
        for item in snapshot.items
    }
    assert {(e.event_label, e.onset_frame, e.offset_frame, "closed") for e in again.events} == {
        item for item in shown if item[3] == "closed"
    }
    assert len(again.events) > 5
    assert {miss.reason for miss in again.near_misses} == {"below threshold", "too short"}
    assert snapshot.latency.confirmed is None  # nothing was painted
