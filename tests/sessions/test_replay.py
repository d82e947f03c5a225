"""A session heard once more is the same as live, whatever was lost or changed; and what is not the same is told."""

import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.decode import LabelDecoding
from edge_app.core.detect import Detector
from edge_app.core.errors import SedgeError
from edge_app.sessions.differences import Found, differences
from edge_app.sessions.replay import ReplayCancelled, replay
from edge_app.sessions.sound import stretches
from edge_app.store.database import Store
from edge_app.stream.messages import EventNews
from edge_app.stream.ring import Block, Missing
from edge_app.stream.sources import FileSource
from tests.sessions.heard import hear
from tests.store.told import facts
from tests.stream.fakes import EVENT_LABELS, ScriptedSource, bursts, cut, fake_detector

RATE = 16_000
label_settings = st.builds(
    LabelDecoding,
    threshold_on=st.sampled_from([0.3, 0.5, 0.75]),
    median_frames=st.sampled_from([1, 31]),
    min_on_s=st.sampled_from([0.0, 0.5]),
    min_off_s=st.sampled_from([0.0, 1.0]),
)
changes = st.dictionaries(
    st.integers(0, 20),
    st.tuples(
        st.dictionaries(st.sampled_from(EVENT_LABELS), label_settings, max_size=2),
        st.one_of(st.none(), st.sets(st.sampled_from(EVENT_LABELS)).map(sorted)),
    ),
    max_size=3,
)
pieces = st.one_of(st.integers(1, RATE), st.integers(1, 6 * RATE).map(lambda n: ("sound", n)))


def script(parts) -> list:
    """Steps of a source: sound of 16 bits, as a microphone gives it, and losses."""
    steps: list = []
    for place, part in enumerate(parts):
        if isinstance(part, int):
            steps.append(part)
        else:
            sound = np.rint(np.clip(bursts(part[1], place), -1, 1 - 1e-4) * 32768) / 32768
            steps += list(cut(sound.astype(np.float32), seed=place, most=20_000))
    return steps


def closed(news) -> set:
    return {
        (n.event_label, n.onset_sample, n.offset_sample)
        for n in news
        if isinstance(n, EventNews) and n.type == "closed"
    }


@settings(max_examples=12, deadline=None)
@given(parts=st.lists(pieces, max_size=5), changed=changes, first=changes)
def test_nothing_differs_whatever_was_lost_and_changed(parts, changed, first):
    decoding, enabled = first.get(0, ({}, None))
    parts = [("sound", RATE), *parts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        own = {"decoding": decoding, "enabled": enabled}
        # The settings at the beginning are those of the first hop; what is stored of the session says so too.
        begun = {0: (decoding, enabled)} | {1 + place: change for place, change in changed.items()}
        _, news = hear(path, ScriptedSource(script(parts)), begun, records_sound=True, **own)
        with Store(path) as store:
            result = replay(store, 1, fake_detector())
    assert result.differences == ()
    assert result.n_events == len(closed(news))
    assert result.largest_score_difference in (0.0, None)
    assert "the same as live" in result.sentence


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kept") / "history.sqlite"
    _, news = hear(path, ScriptedSource(script([("sound", 12 * RATE)])), records_sound=True)
    assert len(closed(news)) > 4
    return path


def test_other_events_are_differences(kept, tmp_path):
    path = tmp_path / "history.sqlite"
    with sqlite3.connect(kept) as former, sqlite3.connect(path) as copy:
        former.backup(copy)
        first, second = copy.execute("SELECT id, event_label FROM event ORDER BY onset_sample LIMIT 2")
        copy.execute("DELETE FROM event WHERE id = ?", [first[0]])
        copy.execute("UPDATE event SET offset_sample = offset_sample + 320 WHERE id = ?", [second[0]])
        copy.execute(
            "INSERT INTO event(session, number, event_label, onset_sample, offset_sample, onset_ns, peak, state, cut) "
            "VALUES (1, 900, 'Cat', 999968000, 999984000, 0, 1, 'closed', 0)"
        )
        [recording] = copy.execute("SELECT recording FROM session").fetchone()
        whole = str(kept.parent / recording)
        copy.execute("UPDATE session SET recording = ?", [whole])
    with Store(path) as store:
        result = replay(store, 1, fake_detector())
    assert sorted(one.kind for one in result.differences) == ["extra", "missing", "moved"]
    assert "3 not as live" in result.sentence
    assert "was not found live" in result.sentence
    assert "is not found again" in result.sentence
    assert " s now" in result.sentence


def test_progress_rises_to_all_of_it_and_it_can_be_ended(kept):
    shares: list[float] = []
    with Store(kept) as store:
        replay(store, 1, fake_detector(), shares.append)
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        with pytest.raises(ReplayCancelled, match="session 1"):
            replay(store, 1, fake_detector(), cancelled=lambda: True)


def test_the_hop_is_the_sessions_own_whatever_the_detector_has(tmp_path):
    path = tmp_path / "history.sqlite"
    source = ScriptedSource(script([("sound", 6 * RATE)]))
    hear(path, source, detector=fake_detector(hop_frames=10), records_sound=True)
    with Store(path) as store:
        result = replay(store, 1, fake_detector(hop_frames=25))
    assert (result.differences, result.largest_score_difference) == ((), 0.0)


def test_another_model_is_refused(kept):
    ours = fake_detector()
    manifest = ours.bundle.manifest
    other = manifest.model_copy(update={"graph": manifest.graph.model_copy(update={"sha256": "1" * 64})})
    with (
        Store(kept) as store,
        pytest.raises(SedgeError, match=r"session 1: expected the model fake \(0{12}\)"),
    ):
        replay(store, 1, Detector(replace(ours.bundle, manifest=other), ours.runtime, "live"))


def test_a_session_without_sound_is_refused(tmp_path):
    path = tmp_path / "history.sqlite"
    hear(path, ScriptedSource(script([("sound", RATE)])))
    with Store(path) as store:
        with pytest.raises(SedgeError, match="session 1: expected its sound, found none"):
            replay(store, 1, fake_detector())
        with pytest.raises(SedgeError, match="session 2: expected one of the store"):
            replay(store, 2, fake_detector())


@pytest.mark.parametrize("rate", [RATE, 44_100, 8_000])
def test_a_file_is_heard_again_as_long_as_it_is_the_same(tmp_path, rate):
    path, recording = tmp_path / "history.sqlite", tmp_path / "room.wav"
    soundfile.write(recording, bursts(8 * rate) / 4, rate)
    hear(path, FileSource(recording))
    with Store(path) as store:
        result = replay(store, 1, fake_detector())
        assert (result.differences, result.largest_score_difference) == ((), 0.0)
        soundfile.write(recording, bursts(9 * rate) / 4, rate)
        with pytest.raises(SedgeError, match=r"room\.wav: expected \d+ bytes as it was heard, found"):
            replay(store, 1, fake_detector())
        recording.unlink()
        with pytest.raises(SedgeError, match=r"room\.wav, found no file"):
            replay(store, 1, fake_detector())


@pytest.mark.parametrize("share", [0.35, 0.6, 0.93])
def test_of_a_session_that_was_cut_off_only_what_was_decided_is_compared(kept, tmp_path, share):
    """As a kill leaves it: a beginning of the events, an open one cut, and a file that ends anywhere."""
    path = tmp_path / "history.sqlite"
    end = round(12 * RATE * share)
    with sqlite3.connect(kept) as former, sqlite3.connect(path) as copy:
        former.backup(copy)
        copy.execute("DELETE FROM event WHERE onset_sample >= ?", [end - RATE])
        copy.execute(
            "UPDATE event SET offset_sample = onset_sample + 320, cut = 1 WHERE offset_sample > ?",
            [end - RATE],
        )
        copy.execute("UPDATE session SET recovered = 1, end_sample = ?", [end])
        whole = kept.parent / copy.execute("SELECT recording FROM session").fetchone()[0]
        part = tmp_path / "part.flac"
        part.write_bytes(whole.read_bytes()[: round(whole.stat().st_size * share)])
        copy.execute("UPDATE session SET recording = ?", [str(part)])
    with Store(path) as store:
        result = replay(store, 1, fake_detector())
    assert result.differences == ()
    assert result.analysed_s < 12 * share + 3
    assert result.largest_score_difference in (0.0, None)


def test_a_session_that_goes_on_is_refused(tmp_path):
    with Store(tmp_path / "history.sqlite") as store:
        session = store.begin_session(facts())
        with pytest.raises(SedgeError, match="expected one that has ended"):
            replay(store, session, fake_detector())


gap_lists = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), max_size=4)


@given(
    length=st.integers(0, 150),
    distances=gap_lists,
    end=st.one_of(st.none(), st.integers(0, 160)),
    seed=st.integers(),
)
def test_stretches_are_the_samples_outside_the_gaps(length, distances, end, seed):
    gaps, position = [], 0
    for distance, width in distances:
        gaps.append(Missing(position + distance, position + distance + width, "lost"))
        position += distance + width
    samples = np.arange(length, dtype=np.float32)
    given_back = list(stretches(cut(samples, abs(seed) % 2**32, 20), gaps, end))
    assert [item for item in given_back if isinstance(item, Missing)] == gaps
    heard = [item for item in given_back if isinstance(item, Block)]
    inside = {n for gap in gaps for n in range(gap.start, gap.end)}
    wanted = [n for n in range(length if end is None else min(length, end)) if n not in inside]
    assert [n for item in heard for n in item.samples.astype(int)] == wanted
    assert all(item.start == item.samples[0] for item in heard if len(item.samples))
    order = [item.end if isinstance(item, Missing) else item.start for item in given_back]
    assert order == sorted(order)


def found(draw_label, onset, length):
    return Found(draw_label, onset, onset + length)


event_lists = st.lists(
    st.builds(found, st.sampled_from("ab"), st.integers(0, 50), st.integers(1, 9)), max_size=6
)


@given(live=event_lists, again=event_lists)
def test_every_event_that_is_not_the_same_is_told_once(live, again):
    told = differences(live, again, 1)
    kinds = [one.kind for one in told]
    assert differences(live, live, 1) == ()
    assert kinds.count("missing") + kinds.count("moved") == len(_without(live, again))
    assert kinds.count("extra") + kinds.count("moved") == len(_without(again, live))


def _without(events, others):
    """What `others` lacks, each as often as it is lacking."""
    rest, lacking = list(others), []
    for event in events:
        if event in rest:
            rest.remove(event)
        else:
            lacking.append(event)
    return lacking


def test_the_store_keeps_what_was_changed_and_when(tmp_path):
    path = tmp_path / "history.sqlite"
    other = LabelDecoding(threshold_on=0.75)
    hear(path, ScriptedSource(script([("sound", 4 * RATE)])), {3: ({"Dog": other}, ["Dog"])})
    with Store(path) as store:
        [change] = store.changes(1)
    assert change.first_frame == 3 * 25
    assert '"enabled": ["Dog"]' in change.settings_json
    assert '"threshold_on": 0.75' in change.settings_json
