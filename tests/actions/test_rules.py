"""When an event fires: confirmed ones only, and each label on its own cooldown by the clock of the sound."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.actions.rules import Cooldown, occasion
from edge_app.core.errors import SedgeError
from edge_app.stream.messages import EventNews


def news(kind, event_label="Dog", onset=2.0) -> EventNews:
    return EventNews(kind, 7, event_label, onset, 3.0, 32_000, 48_000, 0.875)


def test_pitfall_an_event_fires_when_it_is_confirmed_and_not_when_it_ends():
    stages = ["provisional", "confirmed", "update", "closed"]
    assert [occasion(news(stage), {}) is not None for stage in stages] == [False, True, False, False]
    assert occasion(news("withdrawn"), {}) is None


def test_an_occasion_tells_the_news_and_what_is_around_it():
    one = occasion(news("confirmed", 'Dog "№1"\n$(x)'), {"source": "mic ü", "onset_utc": None})
    assert one is not None
    assert one.as_json().isascii()
    assert json.loads(one.as_json()) == {
        "type": "confirmed",
        "id": 7,
        "event_label": 'Dog "№1"\n$(x)',
        "onset": 2.0,
        "offset": 3.0,
        "onset_sample": 32_000,
        "offset_sample": 48_000,
        "score": 0.875,
        "source": "mic ü",
        "onset_utc": None,
    }


@given(
    st.lists(st.tuples(st.sampled_from(["Dog", "Cat", "Speech"]), st.integers(0, 40))),
    st.integers(0, 90),
)
def test_a_label_never_fires_twice_within_its_cooldown_and_others_do_not_hold_it_back(steps, cooldown_s):
    cooldown, now = Cooldown(cooldown_s), 0
    fired: dict[str, list[int]] = {"Dog": [], "Cat": [], "Speech": []}
    for label, pause in steps:
        now += pause
        before = fired[label]
        assert cooldown.is_over(label, now) == (not before or now - before[-1] >= cooldown_s)
        if cooldown.is_over(label, now):
            cooldown.begin(label, now)
            before.append(now)


def test_a_new_session_starts_without_the_cooldown_of_the_one_before():
    cooldown = Cooldown(60)
    cooldown.begin("Dog", 3600.0)
    assert not cooldown.is_over("Dog", 3650.0)
    assert cooldown.is_over("Dog", 5.0)


@pytest.mark.parametrize("cooldown_s", [-1.0, float("nan"), float("inf")])
def test_a_cooldown_that_is_no_length_is_refused(cooldown_s):
    with pytest.raises(SedgeError, match="cooldown: expected 0 s or more"):
        Cooldown(cooldown_s)
