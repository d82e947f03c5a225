"""One journal for every live run: what was told is in the store, and what was heard can be had back."""

import json
import sqlite3

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.decode import LabelDecoding
from edge_app.core.errors import SedgeError
from edge_app.sessions.facts import decoding_fields, read_decoding, session_facts
from edge_app.sessions.journal import Journal
from edge_app.sessions.replay import replay
from edge_app.store.clips import ClipWishes
from edge_app.store.database import Store
from edge_app.store.queries import EventFilter
from edge_app.store.schema import StoreError
from edge_app.stream.analysis import Decoding, shipped_decoding
from edge_app.stream.board import Board
from edge_app.views.live.stored_run import StoredRun
from tests.sessions.heard import hear
from tests.stream.fakes import EVENT_LABELS, ScriptedSource, bursts, cut, fake_detector

RATE = 16_000
PATIENCE_S = 30.0
SOUND = np.clip(bursts(8 * RATE), -1, 1 - 1e-4)


def source(live: bool = False) -> ScriptedSource:
    return ScriptedSource([*cut(SOUND[: 5 * RATE], 1), RATE // 2, *cut(SOUND[5 * RATE :], 2)], live=live)


def test_a_run_of_the_app_is_a_session_with_everything_in_it(tmp_path):
    path, board = tmp_path / "history.sqlite", Board(EVENT_LABELS)
    own = {"Dog": LabelDecoding(threshold_on=0.4)}
    run = StoredRun(
        source(),
        fake_detector(),
        board,
        path,
        decoding=own,
        enabled=["Dog", "Cat"],
        wishes=ClipWishes(event_labels=frozenset({"Dog"}), pre_roll_s=0.25, post_roll_s=0.5),
        records_sound=True,
    )
    run.journal.mark(0, "before it began")
    run.start()
    assert run.wait(PATIENCE_S)
    run.journal.mark(2 * RATE, "the kettle")
    run.close()
    assert run.journal.problem is None
    with Store(path) as store:
        [session] = store.sessions()
        events, marks = store.events(), store.marks(session.id)
        assert [anchor.session for anchor in store.anchors(session.id)]
        assert store.changes(session.id)[0].first_frame == 0
        assert replay(store, session.id, fake_detector()).differences == ()
    in_force = json.loads(session.settings_json)
    assert in_force["decoding"]["Dog"]["threshold_on"] == 0.4
    assert in_force["enabled"] == ["Cat", "Dog"]
    assert [(mark.sample, mark.note) for mark in marks] == [(0, "before it began"), (2 * RATE, "the kettle")]
    assert {event.event_label for event in events} == {"Dog", "Cat"}
    assert all(run.journal.event_id(event.number) == event.id for event in events)
    assert session.recording is not None
    whole, _ = soundfile.read(session.recording, dtype="float32")
    for event in events:
        assert (event.clip_path is not None) == (event.event_label == "Dog")
        if event.clip_path:
            check_clip(event, whole)


def check_clip(event, whole) -> None:
    """P7: the clip is the session's sound from its first sample on, with the event in its place."""
    clip, _ = soundfile.read(event.clip_path, dtype="float32")
    assert event.clip_start_sample == max(0, event.onset_sample - RATE // 4)
    assert len(clip) == min(len(whole), event.offset_sample + RATE // 2) - event.clip_start_sample
    part = whole[event.clip_start_sample :][: len(clip)]
    assert np.abs(clip - part).max() <= 0.5 / 32768 + 2.0**-24


def test_the_last_seconds_are_the_last_samples(tmp_path):
    """P7, for sound that is asked for: gaps are silent and told, nothing is spliced."""
    journal, _ = hear(tmp_path / "history.sqlite", source(), history_s=60.0)
    heard = np.concatenate([SOUND[: 5 * RATE], np.zeros(RATE // 2, np.float32), SOUND[5 * RATE :]])
    saved = journal.save_last(4.0)
    assert saved.path.parent == tmp_path / "history.clips"
    assert (saved.start, saved.end) == (len(heard) - 4 * RATE, len(heard))
    assert saved.gaps == ((5 * RATE, 5 * RATE + RATE // 2),)
    samples, _ = soundfile.read(saved.path, dtype="float32")
    assert np.abs(samples - heard[saved.start :]).max() <= 0.5 / 32768 + 1e-7
    assert journal.save_last(99.0).start == 0
    assert journal.save_last(1.0).path not in (saved.path, journal.save_last(1.0).path)
    named = journal.save_last(1.0, tmp_path / "mine.flac")
    assert named.path == tmp_path / "mine.flac"


def test_scores_and_clips_are_as_wished_from_then_on(tmp_path):
    path = tmp_path / "history.sqlite"
    detector = fake_detector()
    journal = Journal(path, source(), detector, pytest.fail, with_scores=False)
    journal.begin()
    hop = next(iter(detector.scorer().push(detector.features().push(SOUND))))
    on_hop = journal.listeners.on_hop
    assert on_hop is not None
    on_hop(0, hop)
    journal.keep_scores(True)
    on_hop(25, hop)
    journal.keep_scores(False)
    on_hop(50, hop)
    journal.close()
    with Store(path) as store:
        [block] = store.score_blocks(1)
    assert (block.first_frame, block.end_frame) == (25, 50)


def test_a_store_that_cannot_be_opened_is_told_at_once(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened"):
        Journal(tmp_path, source(), fake_detector(), pytest.fail)
    with pytest.raises(StoreError, match="cannot be opened"):
        StoredRun(source(), fake_detector(), Board(EVENT_LABELS), tmp_path)
    with pytest.raises(SedgeError, match="event label 'Horse'"):
        Journal(tmp_path / "a.sqlite", source(), fake_detector(), pytest.fail, enabled=["Horse"])


def test_a_problem_with_the_disk_is_told_once_and_a_run_goes_on(tmp_path):
    path, said = tmp_path / "history.sqlite", []
    journal = Journal(path, source(), fake_detector(), said.append)
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE session")
    journal.begin()
    _, news = hear(tmp_path / "other.sqlite", source())
    for one in news:
        journal.take(one)
    assert "session" in journal.close()
    journal.take(news[0])
    journal.take(news[0])
    assert said[-1] == journal.problem  # with what is lost by it, which shows at the end
    assert len(set(said)) == len(said)


label_settings = st.builds(
    LabelDecoding,
    threshold_on=st.floats(0.5, 0.9),
    threshold_off=st.one_of(st.none(), st.floats(0.1, 0.5)),
    median_frames=st.sampled_from([1, 3, 31]),
    min_on_s=st.floats(0, 2),
    min_off_s=st.floats(0, 2),
)


@settings(max_examples=30)
@given(
    labels=st.fixed_dictionaries(dict.fromkeys(EVENT_LABELS, label_settings)),
    enabled=st.frozensets(st.sampled_from(EVENT_LABELS)),
)
def test_settings_are_read_as_they_were_written(labels, enabled):
    detector = fake_detector()
    decoding = Decoding(labels, enabled)
    assert read_decoding(json.dumps(decoding_fields(decoding)), shipped_decoding(detector)) == decoding
    facts = session_facts(source(), detector, labels, enabled)
    assert read_decoding(facts.settings_json, shipped_decoding(detector)) == decoding


@pytest.mark.parametrize("text", ["", "[]", '{"decoding": 3}', '{"decoding": {"Dog": {"threshold_on": 7}}}'])
def test_damaged_settings_are_a_sentence(text):
    with pytest.raises(SedgeError, match="settings of the decoder: expected those of each label"):
        read_decoding(text, shipped_decoding(fake_detector()))


def test_events_that_were_not_confirmed_have_no_id(tmp_path):
    path = tmp_path / "history.sqlite"
    journal, news = hear(path, source())
    with Store(path) as store:
        kept = {event.number for event in store.events(EventFilter())}
    numbers = {one.id for one in news if hasattr(one, "id")}
    assert {number for number in numbers if journal.event_id(number) is not None} == kept
