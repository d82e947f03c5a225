"""The newest sound by absolute sample: against a dictionary of every sample, and for every phase of the ring."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.store.clips import ClipKeeper, ClipWishes, save_clip
from edge_app.store.history import History
from tests.store.told import RATE, event

CAPACITY = 32


def ring(start: int = 0, capacity: int = CAPACITY) -> History:
    return History(capacity, 1.0, start)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, count).astype(np.float32)


@given(
    st.sampled_from([0, 5, 2**31 - 20, 2**32 - 20]),
    st.lists(st.tuples(st.sampled_from(["write", "hole", "lose"]), st.integers(0, 50)), max_size=12),
    st.integers(-40, 120),
    st.integers(0, 100),
)
def test_reads_equal_a_record_of_every_sample(start, steps, first, length):
    history, heard, end = ring(start), {}, start
    for seed, (kind, count) in enumerate(steps):
        samples = noise(count, seed)
        if kind == "lose":
            history.lose(end, end + count)
            end += count
            continue
        end += 3 if kind == "hole" and count else 0
        history.write(end, samples)
        heard.update(enumerate(samples.tolist(), start=end))
        end += count
    assert history.end == end
    oldest = max(start, end - CAPACITY)
    assert history.start == oldest
    samples, gaps = history.read(start + first, start + first + length)
    missing = {sample for a, b in gaps for sample in range(a, b)}
    for place, sample in enumerate(range(start + first, start + first + length)):
        known = sample in heard and sample >= oldest
        assert (sample not in missing) == known
        assert samples[place] == pytest.approx(heard[sample] if known else 0)
    assert all(a < b for a, b in gaps)
    assert all(one[1] < other[0] for one, other in pairwise(gaps))


def test_samples_that_are_there_already_are_left_out():
    history = ring()
    history.write(0, np.full(10, 0.5, np.float32))
    history.write(6, np.arange(10, dtype=np.float32))
    history.lose(0, 12)
    samples, gaps = history.read(0, 16)
    assert samples.tolist() == [0.5] * 10 + [4, 5, 6, 7, 8, 9]
    assert gaps == []


@pytest.mark.parametrize("start", [0, 2**31 - CAPACITY, 2**32 - CAPACITY])
def test_pitfall_click_is_at_its_place_in_the_clip_at_every_phase_of_the_ring(tmp_path, start):
    path = tmp_path / "clip.flac"
    for phase in range(CAPACITY):
        history, click = ring(start), start + CAPACITY + phase
        for first in range(start, click + 12, 7):  # blocks that no multiple of the ring fits
            samples = np.zeros(7, np.float32)
            if first <= click < first + 7:
                samples[click - first] = 1.0
            history.write(first, samples)
        clip = save_clip(history, click - 9, click + 5, path)
        assert (clip.start, clip.end, clip.gaps) == (click - 9, click + 5, ())
        saved, rate = soundfile.read(path, dtype="int16")
        assert (rate, len(saved)) == (CAPACITY, 14)
        assert np.flatnonzero(saved).tolist() == [click - clip.start]


def test_pitfall_clip_begins_where_the_history_does_and_says_so(tmp_path):
    history = ring()
    history.write(0, noise(100))
    clip = save_clip(history, 50, 90, tmp_path / "clip.flac")
    assert (clip.start, clip.end) == (68, 90)
    saved, _ = soundfile.read(clip.path, dtype="float32")
    assert np.abs(saved - noise(100)[68:90]).max() <= 0.5 / 32768 + 1e-7


def test_a_gap_in_a_clip_is_silent_and_told(tmp_path):
    history = ring()
    history.write(0, np.ones(10, np.float32))
    history.write(15, np.ones(5, np.float32))
    clip = save_clip(history, 5, 20, tmp_path / "clip.flac")
    assert clip.gaps == ((10, 15),)
    saved, _ = soundfile.read(clip.path, dtype="int16")
    assert np.flatnonzero(saved == 0).tolist() == [5, 6, 7, 8, 9]


def test_pitfall_full_scale_does_not_turn_over(tmp_path):
    history = ring()
    history.write(0, np.array([1.5, 1.0, -1.0, -1.5], np.float32))
    clip = save_clip(history, 0, 4, tmp_path / "clip.flac")
    assert soundfile.read(clip.path, dtype="int16")[0].tolist() == [32767, 32767, -32768, -32768]


def test_no_clip_of_nothing_and_none_where_no_file_can_be(tmp_path):
    history = ring()
    with pytest.raises(SedgeError, match="expected some of 0 to 0"):
        save_clip(history, 0, 10, tmp_path / "clip.flac")
    history.write(0, noise(10))
    (tmp_path / "file").write_text("")
    with pytest.raises(SedgeError, match="cannot be written"):
        save_clip(history, 0, 10, tmp_path / "file" / "clip.flac")


def test_keeper_waits_for_the_sound_after_the_event_and_keeps_only_what_is_wished(tmp_path):
    history = History(RATE, 10)
    keeper = ClipKeeper(history, ClipWishes(event_labels=frozenset({"Dog"}), pre_roll_s=0.5, post_roll_s=1))
    sound = noise(4 * RATE)
    history.write(0, sound[: 2 * RATE])
    keeper.take(event("confirmed", 1, RATE, 2 * RATE))
    keeper.take(event("closed", 2, RATE, 2 * RATE, "Speech"))
    keeper.take(event("closed", 1, RATE, 2 * RATE))
    assert (keeper.waiting, keeper.cut(tmp_path, 7)) == (1, ([], []))
    history.write(2 * RATE, sound[2 * RATE :])
    ((number, clip),), problems = keeper.cut(tmp_path, 7)
    assert (number, clip.path.name, problems) == (1, "0007-000001-Dog.flac", [])
    assert clip.start == RATE // 2
    saved, _ = soundfile.read(clip.path, dtype="float32")
    assert np.abs(saved - sound[RATE // 2 : 3 * RATE]).max() <= 0.5 / 32768 + 1e-7
