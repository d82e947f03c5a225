"""The books balance exactly, whatever is written, lost, overwritten or skipped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.stream.analysis import Analysis
from edge_app.stream.messages import EventNews, GapNews, News
from edge_app.stream.ring import SampleRing
from tests.stream.fakes import bursts, fake_detector

NOISE = bursts(40_000)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 40_000)),
        st.tuples(st.just("lose"), st.integers(1, 30_000)),
        st.tuples(st.just("read"), st.integers(1, 20_000)),
        st.tuples(st.just("give up"), st.just(0)),
    ),
    max_size=25,
)


def take_next(analysis: Analysis, ring: SampleRing, limit: int) -> list[News]:
    item = ring.read(limit)
    assert item is not None
    return analysis.take(item)


def live_through(steps, rate: int, start: int, capacity: int):
    """News, analysed frames, samples written and lost, and the analysis, of one scripted run without threads."""
    ring, heard = SampleRing(capacity, start), []
    analysis = Analysis(
        fake_detector(), rate, start, lambda first, hop: heard.extend(first + np.arange(len(hop.scores)))
    )
    news, written, lost = [], 0, 0
    for step, count in steps:
        if step == "write":
            ring.write(NOISE[:count])
            written += count
        elif step == "lose":
            ring.lose(count)
            lost += count
        elif step == "give up":
            ring.give_up_backlog()
        elif start + written + lost > ring.position:
            news += take_next(analysis, ring, count)
    ring.close()
    while (item := ring.read(20_000)) is not None:
        news += analysis.take(item)
    return news + analysis.finish(), heard, written, lost, analysis


@settings(max_examples=60)
@given(steps, st.integers(0, 2**33), st.sampled_from([5_000, 20_000, 100_000]))
def test_books_balance_at_the_models_rate(steps, start, capacity):
    news, heard, written, lost, analysis = live_through(steps, 16_000, start, capacity)
    books = analysis.books
    assert books.received == written
    assert books.gap == lost
    assert books.analysed == 320 * len(heard)
    gaps = [one for one in news if isinstance(one, GapNews)]
    assert sum(one.offset_sample - one.onset_sample for one in gaps if one.kind == "lost") == lost
    skipped = sum(one.offset_sample - one.onset_sample for one in gaps if one.kind == "skipped")
    assert skipped <= books.not_analysed <= skipped + 2 * 319 * (len(gaps) + 1)
    check_places(news, heard, start, start + written + lost)


@settings(max_examples=40)
@given(steps, st.integers(0, 2**33), st.sampled_from([8_000, 22_050, 44_100, 48_000]))
def test_books_balance_where_the_source_has_another_rate(steps, start, rate):
    news, heard, written, lost, analysis = live_through(steps, rate, start, 20_000)
    books = analysis.books
    begin, end = start * 16_000 // rate, (start + written + lost) * 16_000 // rate
    gaps = [one for one in news if isinstance(one, GapNews)]
    # A resampler rounds the length of each stretch.
    assert abs(books.received + books.gap - (end - begin)) <= len(gaps) + 1
    assert abs(books.gap - lost * 16_000 / rate) <= 2 * len(gaps) + 1
    assert books.analysed == 320 * len(heard)
    assert sum(one.offset_sample - one.onset_sample for one in gaps if one.kind == "lost") == books.gap
    check_places(news, heard, begin, end + len(gaps) + 1)


def check_places(news, heard, begin: int, end: int) -> None:
    """Frames go forward inside the signal, and neither frames nor events reach into a gap."""
    frames = np.array(heard, dtype=np.int64)
    assert (np.diff(frames) > 0).all()
    if len(frames):
        assert begin <= 320 * frames[0]
        assert 320 * (frames[-1] + 1) <= end
    gaps = [one for one in news if isinstance(one, GapNews)]
    assert [gap.onset_sample for gap in gaps] == sorted(gap.onset_sample for gap in gaps)
    for gap in gaps:
        inside = (320 * frames < gap.offset_sample) & (320 * (frames + 1) > gap.onset_sample)
        assert not inside.any()
        for one in news:
            if isinstance(one, EventNews):
                assert one.offset_sample <= gap.onset_sample or one.onset_sample >= gap.offset_sample
    known = set(heard)
    for one in news:
        if isinstance(one, EventNews) and one.type == "closed":
            assert {one.onset_sample // 320, one.offset_sample // 320 - 1} <= known
            assert one.onset == pytest.approx(one.onset_sample / 16_000, abs=1e-6)


def test_books_can_be_read_at_any_time():
    analysis = Analysis(fake_detector(), 16_000)
    ring = SampleRing(100_000)
    ring.write(NOISE)
    take_next(analysis, ring, 40_000)
    assert analysis.books.received == 40_000
    assert 0 < analysis.books.analysed < 40_000
    analysis.finish()
    assert analysis.books.analysed == 40_000
