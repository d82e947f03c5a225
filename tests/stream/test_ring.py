"""The ring gives every sample once, in order, or says that it is missing."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.stream.ring import Block, Missing, SampleRing


def ramp(start: int, count: int):
    """Samples that tell their own absolute index, modulo what float32 holds exactly."""
    return (np.arange(start, start + count) % 2**23).astype(np.float32)


def check(items: list, start: int, end: int) -> dict[str, int]:
    """Items follow one another without a hole or an overlap, and blocks hold the right samples; lengths by kind."""
    position, lengths = start, {"block": 0, "lost": 0, "skipped": 0}
    for item in items:
        assert item.start == position
        if isinstance(item, Block):
            np.testing.assert_array_equal(item.samples, ramp(item.start, len(item.samples)))
            assert len(item.samples)
            lengths["block"] += len(item.samples)
            position += len(item.samples)
        else:
            assert item.end > item.start
            lengths[item.kind] += item.end - item.start
            position = item.end
    assert position == end
    return lengths


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 90)),
        st.tuples(st.just("lose"), st.integers(0, 90)),
        st.tuples(st.just("read"), st.integers(1, 50)),
        st.tuples(st.just("give up"), st.just(0)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 64), st.sampled_from([0, 1, 2**31 - 50, 2**32 - 50]))
def test_any_order_of_writing_losing_and_reading_accounts_for_every_sample(steps, capacity, start):
    ring, items = SampleRing(capacity, start), []
    position, written, lost = start, 0, 0
    for step, count in steps:
        if step == "write":
            ring.write(ramp(position, count))
            position, written = position + count, written + count
        elif step == "lose":
            ring.lose(count)
            position, lost = position + count, lost + count
        elif step == "give up":
            ring.give_up_backlog()
        elif ring.backlog or position > ring.position:
            items.append(ring.read(count))
    ring.close()
    while (item := ring.read(1000)) is not None:
        items.append(item)
    lengths = check(items, start, position)
    assert lengths["lost"] == lost
    assert lengths["block"] + lengths["skipped"] == written
    assert (ring.overwrites > 0) <= (lengths["skipped"] > 0)


@given(steps, st.integers(90, 200))
def test_nothing_is_skipped_while_there_is_space(steps, capacity):
    ring, position, items = SampleRing(capacity), 0, []
    for step, count in steps:
        if step == "write" and ring.backlog + count <= capacity:
            ring.write(ramp(position, count))
            position += count
        elif step == "lose":
            # However long a loss is, it pushes nothing out.
            ring.lose(1000 * count)
            position += 1000 * count
        elif step == "read" and position > ring.position:
            items.append(ring.read(count))
    ring.close()
    while (item := ring.read(1000)) is not None:
        items.append(item)
    assert check(items, 0, position)["skipped"] == ring.overwrites == 0


def test_losses_with_nothing_between_are_one():
    ring = SampleRing(10)
    ring.lose(3)
    ring.lose(4)
    ring.close()
    assert ring.read(5) == Missing(0, 7, "lost")
    assert ring.read(5) is None


def test_a_read_takes_what_is_there_without_waiting_for_more():
    ring = SampleRing(10)
    ring.write(ramp(0, 3))
    block = ring.read(100)
    assert isinstance(block, Block)
    assert len(block.samples) == 3


@pytest.mark.parametrize("capacity", [1, 7, 1000])
def test_a_waiting_writer_and_a_reader_in_two_threads_pass_everything_on(capacity):
    ring, total, items = SampleRing(capacity), 5_000, []

    def write() -> None:
        for start in range(0, total, 237):
            assert ring.write_when_free(ramp(start, min(237, total - start)))
        ring.close()

    writer = threading.Thread(target=write)
    writer.start()
    while (item := ring.read(100)) is not None:
        items.append(item)
    writer.join()
    assert check(items, 0, total) == {"block": total, "lost": 0, "skipped": 0}


def test_a_writer_that_never_waits_and_a_reader_in_two_threads_account_for_everything():
    ring, total, items = SampleRing(500), 400_000, []

    def write() -> None:
        for start in range(0, total, 160):
            ring.write(ramp(start, 160))
        ring.close()

    writer = threading.Thread(target=write)
    writer.start()
    while (item := ring.read(10_000)) is not None:
        items.append(item)
    writer.join()
    lengths = check(items, 0, total)
    assert lengths["block"] + lengths["skipped"] == total


def test_a_copy_that_the_writer_overtakes_is_void(monkeypatch):
    ring = SampleRing(100)
    ring.write(ramp(0, 100))
    copy = ring._copy

    def overtaken(first, end):
        samples = copy(first, end)
        monkeypatch.setattr(ring, "_copy", copy)
        ring.write(ramp(100, 30))
        return samples

    monkeypatch.setattr(ring, "_copy", overtaken)
    assert ring.read(50) == Missing(0, 30, "skipped")
    rest = ring.read(1000)
    assert isinstance(rest, Block)
    assert rest.start == 30
    assert ring.overwrites == 1


def test_cancelling_frees_a_waiting_writer_and_a_waiting_reader():
    results: list = []
    ring = SampleRing(5)
    writer = threading.Thread(target=lambda: results.append(ring.write_when_free(ramp(0, 50))))
    writer.start()
    ring.cancel()
    writer.join()
    assert results == [False]
    ring = SampleRing(5)
    reader = threading.Thread(target=lambda: results.append(ring.read(1)))
    reader.start()
    ring.cancel()
    reader.join()
    assert results == [False, None]


def test_a_ring_holds_something():
    with pytest.raises(ValueError, match="capacity"):
        SampleRing(0)
