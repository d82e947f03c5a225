"""Batches: which clips they draw, what their labels are, and that a step alone makes them again."""

import numpy as np
import pytest
import torch

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event
from train.data.clips import ClipSet
from train.fitting.augment import AugmentSettings
from train.fitting.batches import Batch, BatchMaker, feature_batches
from train.fitting.features import LogMel
from train.fitting.loop_settings import BatchSettings, LoopSettings

NONE = AugmentSettings(
    gain_log_std=0, superpose=0, warp_log_std=0, mel_mask_bands=0, noise_std=0, filter_db=0
)
LABELS = ("Cat", "Dog")
CPU = torch.device("cpu")


def clip_set() -> ClipSet:
    """Five synthetic clips of 40 frames (the last one of 25), four weak and three unlabelled ones."""
    sets = ("synthetic",) * 5 + ("weak",) * 4 + ("unlabelled",) * 3
    waveforms = np.random.default_rng(0).integers(-3000, 3000, (12, 12_800)).astype(np.int16)
    events: list[tuple[Event, ...]] = [()] * 12
    events[0] = (Event(0.1, 0.3, "Dog"),)
    events[4] = (Event(0.4, 0.8, "Cat"),)
    tags: list[tuple[str, ...] | None] = [None] * 5 + [("Cat",), ("Cat", "Dog"), ("Dog",), ()] + [None] * 3
    n_samples = np.array([12_800] * 4 + [8_000] + [12_800] * 7)
    names = tuple(f"{number}.flac" for number in range(12))
    return ClipSet(waveforms, names, sets, tuple(events), tuple(tags), LABELS, n_samples, "made here")


def loop(seed: int = 3, shards: int = 1, **batch: int) -> LoopSettings:
    settings = BatchSettings(**{"synthetic": 0, **batch})
    return LoopSettings(batch=settings, seed=seed, shards=shards, device="cpu")


def drawn(maker: BatchMaker, step: int, shard: int = 0) -> list[int]:
    return [clip for _, rows in maker.clips_of(step, shard) for clip in rows.tolist()]


def test_every_clip_of_a_set_comes_once_a_pass_in_a_new_order() -> None:
    maker = BatchMaker(clip_set(), NONE, loop(synthetic=2))
    stream = [clip for step in range(50) for clip in drawn(maker, step)]
    passes = [stream[start : start + 5] for start in range(0, 100, 5)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in passes)
    assert len({tuple(one) for one in passes}) > 10


def test_sets_are_drawn_as_asked_for_and_stand_together() -> None:
    batch = BatchMaker(clip_set(), NONE, loop(synthetic=2, weak=3, unlabelled=1)).batch(0)
    assert batch.sets == ("synthetic",) * 2 + ("weak",) * 3 + ("unlabelled",)
    assert (batch.rows("weak"), batch.rows("synthetic", "weak")) == (slice(2, 5), slice(0, 5))
    assert batch.rows("public") == slice(0, 0)
    assert batch.log_mel.shape == (6, 40, 128)


def test_weak_clips_have_the_tags_they_were_given_and_others_those_of_their_events() -> None:
    clips = clip_set()
    maker = BatchMaker(clips, NONE, loop(synthetic=5, weak=4, unlabelled=3))
    batch = maker.batch(0)
    for row, clip in enumerate(drawn(maker, 0)):
        given = clips.given_tags[clip]
        expected = given if given is not None else {event.event_label for event in clips.events[clip]}
        assert {label for label, tag in zip(LABELS, batch.tags[row], strict=True) if tag} == set(expected)
        assert batch.active[row].any() == bool(clips.events[clip])


def test_a_batch_is_made_again_from_its_step_alone() -> None:
    settings = AugmentSettings(superpose_frames=60)
    first, again = (BatchMaker(clip_set(), settings, loop(synthetic=3)) for _ in range(2))
    first.batch(0)
    assert torch.equal(first.batch(5).log_mel, again.batch(5).log_mel)
    assert not torch.equal(first.batch(5).log_mel, first.batch(6).log_mel)
    other = BatchMaker(clip_set(), settings, loop(seed=4, synthetic=3))
    assert not torch.equal(first.batch(5).log_mel, other.batch(5).log_mel)


def test_shards_are_the_batch_in_parts() -> None:
    whole = BatchMaker(clip_set(), NONE, loop(synthetic=4, weak=2))
    parts = BatchMaker(clip_set(), NONE, loop(synthetic=4, weak=2, shards=2))
    for step in range(5):
        assert sorted(drawn(parts, step, 0) + drawn(parts, step, 1)) == sorted(drawn(whole, step))
        assert parts.batch(step, 1).sets == ("synthetic", "synthetic", "weak")


def test_a_batch_knows_what_is_padding() -> None:
    batch = BatchMaker(clip_set(), NONE, loop(synthetic=5)).batch(0)
    assert sorted(batch.frame_valid.sum(1).tolist()) == [25, 40, 40, 40, 40]
    short = int(batch.frame_valid.sum(1).argmin())
    assert batch.active[short, :25].any()
    assert not batch.active[short, 25:].any(), "an event reaches the end of its clip, not the padding"


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"synthetic": 3, "shards": 2}, "batch: synthetic: expected a multiple of the 2 shards, found 3"),
        ({}, "batch: expected clips of at least one set, found none"),
    ],
)
def test_what_cannot_be_drawn_is_refused(batch, message) -> None:
    with pytest.raises(SedgeError, match=message):
        BatchMaker(clip_set(), NONE, loop(**batch))


def test_an_empty_set_is_refused_by_name() -> None:
    clips = clip_set()
    alone = ClipSet(
        clips.waveforms[:5], clips.filenames[:5], clips.sets[:5], clips.events[:5], clips.given_tags[:5],
        LABELS, clips.n_samples[:5], "",
    )  # fmt: skip
    with pytest.raises(SedgeError, match="batch: weak: expected 0 as the set has no clips, found 8"):
        BatchMaker(alone, NONE, loop(synthetic=2, weak=8))


def test_pitfall_feature_statistics_ignore_padding() -> None:
    clips = clip_set()
    mean, variance = BatchMaker(clips, NONE, loop(synthetic=2)).mel_statistics()
    waveforms = torch.from_numpy(clips.waveforms[:5]).float() / 32_768
    rows = LogMel()(waveforms)
    frames = torch.cat([rows[clip, : 25 if clip == 4 else 40] for clip in range(5)])
    torch.testing.assert_close(mean, frames.mean(0), rtol=0, atol=1e-4)
    torch.testing.assert_close(variance, frames.var(0, correction=0), rtol=1e-3, atol=1e-4)


def test_features_come_as_they_are_in_order() -> None:
    clips = clip_set()
    found = list(feature_batches(clips, np.array([7, 0, 4]), 2, CPU))
    assert [batch.indices.tolist() for batch in found] == [[7, 0], [4]]
    waveforms = torch.from_numpy(clips.waveforms[[7, 0]]).float() / 32_768
    assert torch.equal(found[0].log_mel, LogMel()(waveforms))
    assert found[1].frame_valid.sum().item() == 25


def test_features_are_exact_where_the_network_computes_in_bfloat16() -> None:
    maker = BatchMaker(clip_set(), AugmentSettings(superpose_frames=60, blur=0.5), loop(synthetic=4))
    with torch.autocast("cpu", torch.bfloat16):
        inside = maker.batch(3)
    assert inside.log_mel.dtype == torch.float32
    assert torch.equal(inside.log_mel, maker.batch(3).log_mel)


def test_heard_tags_are_of_what_sounds_inside_the_clip_but_for_weak_clips() -> None:
    batch = BatchMaker(clip_set(), NONE, loop(synthetic=5, weak=4)).batch(0)
    said = Batch(batch.log_mel, batch.active, torch.ones(9, 2), batch.frame_valid, batch.sets)
    heard = said.with_heard_tags()
    assert torch.equal(heard.tags[:5], batch.active[:5].amax(1))
    assert torch.equal(heard.tags[5:], torch.ones(4, 2))
