"""Events and frames: what goes to the grid comes back, and nothing vanishes on the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_app.core.errors import EXIT_USAGE, SedgeError
from edge_app.core.events import FRAME_S, Event, frame_span, rasterise, runs, vectorise

LABELS = ("Blender", "Cat", "Dog")
N_FRAMES = 60

activities = hnp.arrays(bool, st.tuples(st.integers(0, N_FRAMES), st.just(len(LABELS))))


@st.composite
def events_on_the_grid(draw) -> list[Event]:
    """Separate events of each label, on whole frames up to an hour in."""
    start = draw(st.sampled_from([0, 500, 179_900]))
    events = []
    for label in LABELS:
        cuts = sorted(draw(st.sets(st.integers(0, N_FRAMES), max_size=8)))
        pairs = zip(cuts[::2], cuts[1::2], strict=False)
        events += [Event(round((start + a) * 0.02, 6), round((start + b) * 0.02, 6), label) for a, b in pairs]
    return sorted(events, key=lambda event: (event.onset, event.event_label))


@given(events_on_the_grid())
def test_events_on_the_grid_come_back_from_frames(events) -> None:
    assert vectorise(rasterise(events, LABELS, 180_000), LABELS) == events


@given(activities)
def test_frames_come_back_from_events(active) -> None:
    assert np.array_equal(rasterise(vectorise(active, LABELS), LABELS, len(active)), active)


@given(st.floats(0, 100), st.floats(1e-9, 20))
def test_no_event_vanishes(onset: float, length: float) -> None:
    offset = max(onset + length, np.nextafter(onset, np.inf))
    active = rasterise([Event(onset, offset, "Dog")], LABELS, 6002)
    assert active[:, 2].any()
    assert not active[:, :2].any()
    ((first, end),) = runs(active[:, 2])
    assert first * FRAME_S <= onset + 1e-6
    assert end * FRAME_S >= offset - 1e-6
    assert (end - first) * FRAME_S < length + 2 * FRAME_S + 1e-6


@given(st.integers(0, 200_000), st.integers(1, 500), st.integers(2, 6))
def test_rounded_times_land_on_their_frames(first: int, length: int, digits: int) -> None:
    onset, offset = round(first * 0.02, digits), round((first + length) * 0.02, digits)
    assert frame_span(onset, offset) == (first, first + length)


def test_an_event_of_one_frame_is_legal() -> None:
    event = Event(0.58, 0.6, "Cat")
    active = rasterise([event], LABELS, 40)
    assert np.flatnonzero(active[:, 1]).tolist() == [29]
    assert vectorise(active, LABELS) == [event]


def test_an_event_without_length_takes_one_frame() -> None:
    # centre-time tables say so of events of one frame
    assert frame_span(0.03, 0.03) == (1, 2)
    assert frame_span(0.04, 0.04) == (2, 3)


def test_an_event_covers_every_frame_it_touches() -> None:
    assert frame_span(0.019, 0.041) == (0, 3)


def test_what_lies_outside_the_clip_is_cut_off() -> None:
    events = [Event(-0.1, 0.04, "Cat"), Event(0.18, 0.5, "Dog"), Event(1.0, 2.0, "Cat")]
    active = rasterise(events, LABELS, 10)
    assert np.flatnonzero(active[:, 1]).tolist() == [0, 1]
    assert np.flatnonzero(active[:, 2]).tolist() == [9]


def test_events_of_one_label_that_overlap_unite() -> None:
    active = rasterise([Event(0.0, 0.1, "Cat"), Event(0.06, 0.2, "Cat")], LABELS, 20)
    assert vectorise(active, LABELS) == [Event(0.0, 0.2, "Cat")]


def test_unknown_label_is_refused() -> None:
    with pytest.raises(SedgeError, match=r"'Kettle': expected one of \['Blender', 'Cat', 'Dog'\]") as caught:
        rasterise([Event(0, 1, "Kettle")], LABELS, 10)
    assert caught.value.exit_code == EXIT_USAGE


def test_runs_of_a_row() -> None:
    row = np.array([1, 1, 0, 1, 0, 0, 1], bool)
    assert runs(row).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert runs(np.zeros(0, bool)).shape == (0, 2)
    assert runs(np.zeros(5, bool)).shape == (0, 2)
