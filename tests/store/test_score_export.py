"""Scores of sessions for an export: read as they are written, the same as are stored, whatever the blocks."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_app.store import score_export
from edge_app.store.database import Store
from edge_app.store.schema import StoreError
from edge_app.store.score_export import session_scores
from tests.store.told import RATE, facts

LABELS = ("Dog", "Cat")
HOP = RATE // 50


def filled(store: Store, blocks: list[tuple[int, int]], end_sample: int) -> dict[int, np.ndarray]:
    """A session of these first frames and lengths; the scores by first frame."""
    session = store.begin_session(facts())
    rng = np.random.default_rng(1)
    written = {first: rng.random((length, 2), np.float32) for first, length in blocks}
    for first, scores in written.items():
        store.scores(session, first, LABELS, scores)
    store.end_session(session, end_sample)
    return written


def read(store: Store):
    sessions = store.sessions()
    names = {one.id: f"s{one.id}" for one in sessions}
    return session_scores(store, sessions, names)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), min_size=1, max_size=8),
    page=st.integers(1, 50),
    tail=st.integers(0, 30),
)
def test_what_is_stored_is_given_once_with_zeros_between(tmp_path_factory, parts, page, tail):
    blocks, end = [], 0
    for gap, length in parts:
        blocks.append((end + gap, length))
        end += gap + length
    expected = np.zeros((end + tail, 2), np.float32)
    with pytest.MonkeyPatch.context() as patched, Store(tmp_path_factory.mktemp("s") / "a.sqlite") as store:
        patched.setattr(score_export, "PAGE_FRAMES", page)
        for first, scores in filled(store, blocks, (end + tail) * HOP + 7).items():
            expected[first : first + len(scores)] = np.rint(scores * 255) / 255
        [found] = read(store).values()
        assert (found.event_labels, found.n_frames) == (LABELS, end + tail)
        assert [first for first, _ in found.stretches()] == [first for first, _ in blocks]
        np.testing.assert_allclose(found.whole(), expected, atol=1e-6)
        np.testing.assert_array_equal(found.whole(), found.whole())


def test_session_without_scores_is_left_out(tmp_path):
    with Store(tmp_path / "a.sqlite") as store:
        filled(store, [], 10 * RATE)
        filled(store, [(3, 5)], 10 * RATE)
        assert list(read(store)) == ["s2"]


def test_running_session_gives_what_was_there_when_it_was_asked(tmp_path):
    with Store(tmp_path / "a.sqlite") as store:
        session = store.begin_session(facts())
        store.scores(session, 0, LABELS, np.full((50, 2), 0.5, np.float32))
        [found] = read(store).values()
        store.scores(session, 50, LABELS, np.full((50, 2), 0.5, np.float32))
        assert found.n_frames == 50
        assert sum(len(scores) for _, scores in found.stretches()) == 50
        store.end_session(session, 100 * HOP)


def test_labels_that_change_within_a_session_are_refused(tmp_path):
    with Store(tmp_path / "a.sqlite") as store:
        session = store.begin_session(facts())
        store.scores(session, 0, LABELS, np.zeros((5, 2), np.float32))
        store.scores(session, 5, ("Dog",), np.zeros((5, 1), np.float32))
        store.end_session(session, 10 * HOP)
        [found] = read(store).values()
        with pytest.raises(StoreError, match="session 1, frame 5: expected scores of"):
            found.whole()
