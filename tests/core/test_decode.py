"""The decoder: cut anywhere it says the same, and what it says is what a slow, literal one says."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_app.core.decode import (
    Decoder,
    EventIds,
    LabelDecoding,
    Message,
    closed_events,
    decode,
    median_filter,
)
from edge_app.core.events import Event, rasterise, vectorise

LABELS = ("Cat", "Dog", "Speech")
FRAME_S = 0.02

thresholds = st.sampled_from([0.1, 0.3, 0.5, 0.8])
durations = st.one_of(
    st.just(0.0), st.integers(0, 12).map(lambda frames: frames * FRAME_S), st.floats(0, 0.3)
)


@st.composite
def label_settings(draw) -> LabelDecoding:
    threshold_on = draw(thresholds)
    return LabelDecoding(
        threshold_on=threshold_on,
        threshold_off=draw(st.one_of(st.none(), st.floats(0.02, threshold_on))),
        median_frames=draw(st.sampled_from([1, 3, 5, 9, 21])),
        min_on_s=draw(durations),
        min_off_s=draw(durations),
    )


@st.composite
def score_rows(draw) -> np.ndarray:
    """Piecewise smooth scores, shape (frame, label): slopes, steps, plateaus and noise."""
    n_frames = draw(st.integers(0, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    knots = np.sort(rng.integers(0, n_frames + 1, 14))
    columns = []
    for _ in LABELS:
        values = rng.choice([0, 0.05, 0.2, 0.3, 0.5, 0.6, 0.9, 1], 14)
        smooth = np.interp(np.arange(n_frames), knots, values) if n_frames else np.zeros(0)
        columns.append(np.clip(smooth + rng.choice([0, 0.1]) * rng.normal(size=n_frames), 0, 1))
    return np.stack(columns, axis=1).astype(np.float32)


decodings = st.tuples(*[label_settings() for _ in LABELS]).map(
    lambda all_: dict(zip(LABELS, all_, strict=True))
)
block_lengths = st.lists(st.integers(0, 30), max_size=12)


def streamed(scores, decoding, lengths, **options) -> tuple[list[Message], np.ndarray]:
    """Messages and smoothed scores of a stream cut into blocks of the given lengths, the rest last."""
    decoder = Decoder(LABELS, decoding, keep_smoothed=True, **options)
    messages, smoothed = [], []
    for block in np.split(scores, np.minimum(np.cumsum(lengths, dtype=int), len(scores))):
        messages += decoder.push(block)
        smoothed.append(decoder.smoothed())
    messages += decoder.flush()
    return messages, np.concatenate([*smoothed, decoder.smoothed()])


def slow_events(column: np.ndarray, label: str, chosen: LabelDecoding) -> list[Event]:
    """The definition, frame by frame."""
    smoothed = scipy.ndimage.median_filter(column, chosen.median_frames, mode="constant", cval=0)
    default_off = min(chosen.threshold_on, max(chosen.threshold_on - 0.15, 0.05))
    off = default_off if chosen.threshold_off is None else chosen.threshold_off
    stretches: list[list[int]] = []
    is_on = False
    for frame, score in enumerate(smoothed):
        was_on = is_on
        is_on = score >= chosen.threshold_on or (was_on and score >= off)
        if is_on and was_on:
            stretches[-1][1] = frame + 1
        elif is_on:
            stretches.append([frame, frame + 1])
    merged: list[list[int]] = []
    for first, end in stretches:
        if merged and (first - merged[-1][1]) * FRAME_S < chosen.min_off_s - 1e-6:
            merged[-1][1] = end
        else:
            merged.append([first, end])
    return [
        Event(round(a * FRAME_S, 6), round(b * FRAME_S, 6), label, float(max(smoothed[a:b])))
        for a, b in merged
        if (b - a) * FRAME_S >= chosen.min_on_s - 1e-6
    ]


@given(score_rows(), decodings)
@settings(max_examples=100)
def test_events_are_those_of_the_slow_decoder(scores, decoding) -> None:
    slow = [
        event
        for column, label in enumerate(LABELS)
        for event in slow_events(scores[:, column], label, decoding[label])
    ]
    assert decode(scores, LABELS, decoding) == sorted(
        slow, key=lambda event: (event.onset, event.event_label)
    )


@given(score_rows(), decodings, block_lengths)
@settings(max_examples=100)
def test_a_stream_cut_anywhere_decodes_as_the_whole(scores, decoding, lengths) -> None:
    messages, smoothed = streamed(scores, decoding, lengths)
    assert closed_events(messages) == decode(scores, LABELS, decoding)
    slow = [
        scipy.ndimage.median_filter(scores[:, column], decoding[label].median_frames, mode="constant", cval=0)
        for column, label in enumerate(LABELS)
    ]
    assert np.array_equal(smoothed, np.stack(slow, axis=1))


def check_history(history: list[Message]) -> None:
    """One event's messages, oldest first."""
    kinds = [message.type for message in history]
    assert kinds[0] == "provisional"
    if kinds[-1] == "withdrawn":
        assert kinds[1:-1] == []
    else:
        assert kinds[1] == "confirmed"
        assert kinds[-1] == "closed"
        assert set(kinds[2:-1]) <= {"update"}
    assert len({(message.event_label, message.onset_frame) for message in history}) == 1
    for earlier, later in pairwise(history):
        assert later.offset_frame >= earlier.offset_frame
        assert later.score >= earlier.score
    assert all(message.offset_frame > message.onset_frame for message in history)


@given(score_rows(), decodings, block_lengths)
@settings(max_examples=50)
def test_histories_are_valid(scores, decoding, lengths) -> None:
    histories: dict[int, list[Message]] = defaultdict(list)
    for message in streamed(scores, decoding, lengths)[0]:
        histories[message.id].append(message)
    assert sorted(histories) == list(range(1, len(histories) + 1))
    for history in histories.values():
        check_history(history)


@given(score_rows(), decodings, block_lengths)
@settings(max_examples=50)
def test_withdrawn_events_are_too_short_and_closed_ones_are_not(scores, decoding, lengths) -> None:
    for message in streamed(scores, decoding, lengths)[0]:
        length = (message.offset_frame - message.onset_frame) * FRAME_S
        if message.type == "withdrawn":
            assert length < decoding[message.event_label].min_on_s
        if message.type in {"confirmed", "update", "closed"}:
            assert length >= decoding[message.event_label].min_on_s - 1e-6


@given(score_rows(), decodings, block_lengths, st.integers(1, 10**7))
@settings(max_examples=30)
def test_a_stretch_that_starts_later_is_moved(scores, decoding, lengths, start) -> None:
    at_zero, _ = streamed(scores, decoding, lengths)
    moved, _ = streamed(scores, decoding, lengths, start_frame=start)
    assert [(m.type, m.id, m.onset_frame - start, m.offset_frame - start) for m in moved] == [
        (m.type, m.id, m.onset_frame, m.offset_frame) for m in at_zero
    ]


def test_stretches_that_share_ids_repeat_none() -> None:
    decoding, ids = dict.fromkeys(LABELS, LabelDecoding()), EventIds()
    scores = np.ones((4, len(LABELS)), np.float32)
    seen = []
    for start in (0, 100):
        decoder = Decoder(LABELS, decoding, start_frame=start, ids=ids)
        seen += [m.id for m in decoder.push(scores) + decoder.flush() if m.type == "closed"]
    assert sorted(seen) == list(range(1, 7))


@given(
    st.lists(st.lists(st.booleans(), min_size=3, max_size=3), max_size=60).map(
        lambda rows: np.array(rows, bool).reshape(-1, 3)
    )
)
def test_events_to_frames_to_events_is_the_identity(active) -> None:
    events = vectorise(active, LABELS)
    scores = rasterise(events, LABELS, len(active)).astype(np.float32)
    assert decode(scores, LABELS, dict.fromkeys(LABELS, LabelDecoding())) == events


def test_news_comes_as_the_frames_do() -> None:
    decoder = Decoder(("Dog",), {"Dog": LabelDecoding(min_on_s=0.06, min_off_s=0.04)})
    scores = [0.1, 0.9, 0.8, 0.7, 0.2, 0.95, 0.2, 0.2, 0.6, 0.1]
    said = [[m.type for m in decoder.push(np.array([[score]], np.float32))] for score in scores]
    assert said == [
        [], ["provisional"], [], ["confirmed"], [], ["update"], [], ["closed"], ["provisional"], [],
    ]  # fmt: skip
    (last,) = decoder.flush()
    assert (last.type, last.onset_frame, last.offset_frame) == ("withdrawn", 8, 9)


def test_filter_acts_on_scores_not_on_decisions() -> None:
    scores = np.array([[0.0], [0.9], [0.4], [0.9], [0.0]], np.float32)
    decoding = {"Dog": LabelDecoding(threshold_on=0.4, threshold_off=0.4, median_frames=5)}
    assert decode(scores, ("Dog",), decoding) == [Event(0.02, 0.08, "Dog", float(np.float32(0.4)))]


def test_input_is_left_as_it_was() -> None:
    scores = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    kept = scores.copy()
    decode(scores, LABELS, dict.fromkeys(LABELS, LabelDecoding(median_frames=5)))
    assert np.array_equal(scores, kept)


def test_no_frames_are_no_events() -> None:
    decoding = dict.fromkeys(LABELS, LabelDecoding(median_frames=7))
    messages, smoothed = streamed(np.zeros((0, 3), np.float32), decoding, [])
    assert messages == []
    assert smoothed.shape == (0, 3)


def test_median_has_its_windows_inside() -> None:
    scores = np.array([0.1, 0.9, 0.3, 0.2], np.float32)
    assert median_filter(scores, 3).tolist() == pytest.approx([0.3, 0.3])
    assert median_filter(scores, 1) is scores


@pytest.mark.parametrize(
    ("threshold_on", "off"), [(0.5, 0.35), (0.2, 0.05), (0.15, 0.05), (0.05, 0.05), (0.03, 0.03), (0.95, 0.8)]
)
def test_end_threshold_follows_from_the_start_threshold(threshold_on, off) -> None:
    assert LabelDecoding(threshold_on=threshold_on).off == pytest.approx(off)
    assert LabelDecoding(threshold_on=threshold_on, threshold_off=0.01).off == 0.01


@pytest.mark.parametrize(
    ("seconds", "frames"), [(0.0, 1), (0.001, 1), (0.02, 1), (0.021, 2), (0.06, 3), (0.58, 29), (0.3, 15)]
)
def test_seconds_are_whole_frames_rounded_up(seconds, frames) -> None:
    assert LabelDecoding(min_on_s=seconds).min_on_frames == frames
    assert LabelDecoding(min_off_s=seconds).min_off_frames == frames


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"median_frames": 4}, "median_frames: expected an odd number, found 4"),
        ({"median_frames": 0}, "median_frames"),
        ({"threshold_on": 0.5, "threshold_off": 0.6}, "threshold_off: expected at most threshold_on"),
        ({"threshold_on": 0.0}, "threshold_on"),
        ({"threshold_on": 1.0}, "threshold_on"),
        ({"threshold_on": float("nan")}, "threshold_on"),
        ({"min_on_s": -0.1}, "min_on_s"),
        ({"min_off_s": -0.1}, "min_off_s"),
        ({"min_on_s": float("inf")}, "min_on_s"),
        ({"min_gap_s": 0.1}, "min_gap_s"),
    ],
)
def test_settings_that_make_no_sense_are_refused(chosen, words) -> None:
    with pytest.raises(ValidationError, match=words):
        LabelDecoding(**chosen)
