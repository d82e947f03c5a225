"""Soundscapes: extents, levels, reproducibility, and the folder that is written."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.core.events import rasterise
from edge_app.formats.desed_tsv import read_durations, read_events
from train.commands import mix_soundscapes
from train.data.bank import read_bank
from train.data.extents import audible_runs, bridge_gaps, frame_rms, from_db, merge_labels, rms
from train.data.mixes import mix_folder
from train.data.soundscape import (
    REAL_LIKE,
    MixSettings,
    clip_rng,
    domain_settings,
    draw_start,
    fill,
    mix_clip,
    place,
    scale_to_snr,
)
from train.data.variety import change_speed, equalise, limit_band, vary

BANK = Path(__file__).parents[1] / "data" / "bank"
PLAIN = MixSettings(speed_change=0, tone_db=0)


def bursts(*spans: tuple[float, float], length_s: float = 4.0, level: float = 0.1) -> np.ndarray:
    """Noise of one level in the spans, silence between."""
    waveform = np.zeros(round(length_s * 16_000), np.float32)
    for onset, offset in spans:
        first, end = round(onset * 16_000), round(offset * 16_000)
        waveform[first:end] = level * np.where(np.arange(end - first) % 2, 1, -1)
    return waveform


def test_gaps_are_bridged_and_short_runs_dropped():
    waveform = bursts((0.5, 1.0), (1.24, 1.5), (1.76, 2.0), (3.0, 3.08), (3.5, 3.6))
    assert audible_runs(waveform).tolist() == [[25, 75], [88, 100], [175, 180]]


def test_only_what_is_loud_enough_counts():
    waveform = (
        bursts((0.5, 1.0)) + bursts((2.0, 2.5), level=0.1 * from_db(-39)) + bursts((3, 3.5), level=1e-4)
    )
    assert audible_runs(waveform).tolist() == [[25, 50], [100, 125]]
    assert audible_runs(waveform, floor_db=20).tolist() == [[25, 50]]
    assert audible_runs(waveform, floor_rms=0.05).tolist() == [[25, 50]]
    assert audible_runs(waveform, peak_rms=100.0).size == 0


@given(st.lists(st.tuples(st.integers(0, 190), st.integers(1, 40)), max_size=8))
def test_runs_are_apart_and_long_enough(spans: list[tuple[int, int]]):
    waveform = bursts(*((0.02 * first, 0.02 * (first + length)) for first, length in spans), length_s=5.0)
    runs = audible_runs(waveform)
    assert (runs[:, 1] - runs[:, 0] >= 5).all()
    assert (runs[1:, 0] - runs[:-1, 1] >= 13).all()
    assert bridge_gaps(runs).tolist() == runs.tolist()


def test_events_of_one_label_that_touch_become_one():
    spans = {
        "Dog": [np.array([[0, 10], [44, 50]]), np.array([[22, 30], [45, 60]])],
        "Cat": [np.array([[5, 12]])],
    }
    merged = [(e.event_label, e.onset, e.offset) for e in merge_labels(spans)]
    assert merged == [("Dog", 0.0, 0.6), ("Cat", 0.1, 0.24), ("Dog", 0.88, 1.2)]


@given(st.floats(6, 30), st.floats(1e-3, 1.0), st.integers(0, 2**31))
def test_the_snr_asked_for_is_the_snr_got(snr_db: float, background_rms: float, seed: int):
    waveform = np.random.default_rng(seed).normal(0, 0.01, 16_000).astype(np.float32)
    scaled = scale_to_snr(waveform, background_rms, snr_db)
    assert abs(20 * np.log10(rms(scaled) / background_rms) - snr_db) < 0.01


@given(st.integers(100, 400_000), st.integers(0, 1_000), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=50)
def test_a_decent_part_of_an_event_is_kept(n_event: int, seed: int, early: float):
    mix = MixSettings(early_start=early)
    start = draw_start(n_event, mix, np.random.default_rng(seed))
    layer = place(np.ones(n_event, np.float32), start, mix.n_samples)
    assert layer.shape == (mix.n_samples,)
    assert layer.sum() >= min(round(mix.kept_share * n_event), mix.n_samples)


def test_a_short_background_is_repeated_without_a_step():
    tone = np.sin(2 * np.pi * 200 * np.arange(24_000) / 16_000).astype(np.float32)
    long = fill(tone, 160_000, 4_000, np.random.default_rng(1))
    assert long.shape == (160_000,)
    assert np.abs(np.diff(long)).max() < 2 * np.abs(np.diff(tone)).max()
    noise = np.random.default_rng(2).normal(0, 1, 24_000).astype(np.float32)
    levels = frame_rms(fill(noise, 160_000, 4_000, np.random.default_rng(1)))
    assert levels.min() > 0.75


def test_a_clip_is_whole_level_and_labelled_on_the_grid():
    bank = read_bank(BANK, "train")
    for index in range(40):
        clip = mix_clip(bank, MixSettings(), clip_rng(5, index))
        assert clip.waveform.dtype == np.float32
        assert clip.waveform.shape == (160_000,)
        assert np.abs(clip.waveform).max() <= 0.951
        assert rms(clip.waveform) <= from_db(-15) * 1.001
        for event in clip.events:
            assert 0 <= event.onset < event.offset <= 10
            assert event.event_label in bank.event_labels
            assert abs(event.onset / 0.02 - round(event.onset / 0.02)) < 1e-6
        assert rasterise(clip.events, bank.event_labels, 500).sum() == sum(
            round((e.offset - e.onset) / 0.02) for e in clip.events
        )


def test_labels_fit_what_is_heard():
    bank = read_bank(BANK, "train")
    mix = MixSettings(
        event_weights=(0, 1), distractor_weights=(1,), snr_db=(25, 25), kept_share=1.0, early_start=0
    )
    checked = 0
    for index in range(20):
        clip = mix_clip(bank, mix, clip_rng(1, index))
        levels, active = frame_rms(clip.waveform), rasterise(clip.events, bank.event_labels, 500).any(axis=1)
        if active.any() and not active.all():
            checked += 1
            assert levels[active].max() > 5 * np.median(levels[~active])
            assert levels[~active].max() < levels[active].max()
    assert checked > 15


def test_a_clip_depends_on_seed_and_index_only():
    bank = read_bank(BANK, "train")
    first = mix_clip(bank, MixSettings(), clip_rng(1, 7))
    again = mix_clip(read_bank(BANK, "train"), MixSettings(), clip_rng(1, 7))
    assert np.array_equal(first.waveform, again.waveform)
    assert (first.events, first.recordings) == (again.events, again.recordings)
    assert not np.array_equal(first.waveform, mix_clip(bank, MixSettings(), clip_rng(1, 8)).waveform)
    assert not np.array_equal(first.waveform, mix_clip(bank, MixSettings(), clip_rng(2, 7)).waveform)


def test_plain_clips_are_what_they_always_were():
    clip = mix_clip(read_bank(BANK, "train"), MixSettings(), clip_rng(1, 1))
    assert [(event.event_label, event.onset, event.offset) for event in clip.events] == [
        ("Dishes", 6.0, 6.14),
        ("Dishes", 6.4, 8.18),
        ("Speech", 8.3, 10.0),
    ]
    assert clip.recordings == [
        "background/freesound-17808_00.flac",
        "foreground/Dishes/kitchen20-M-assiettes.wav_00.flac",
        "foreground/Speech/librispeech-533_00.flac",
    ]
    samples = [0.002311, -0.001756, 0.004137, 0.002311, -0.001756, 0.003682, 0.002163, -0.080858]
    assert np.abs(clip.waveform[::20_000] - samples).max() < 2e-5


def test_event_counts_follow_their_weights():
    bank = read_bank(BANK, "train")
    empty = MixSettings(event_weights=(1,))
    assert all(not mix_clip(bank, empty, clip_rng(1, index)).events for index in range(5))
    one = MixSettings(event_weights=(0, 1), distractor_weights=(1,))
    counts = Counter(len(mix_clip(bank, one, clip_rng(1, index)).recordings) for index in range(5))
    assert counts == {2: 5}


def test_speed_and_tone():
    tone = np.sin(2 * np.pi * 400 * np.arange(16_000) / 16_000).astype(np.float32)
    faster = change_speed(tone, 1.1)
    assert abs(len(faster) - 16_000 / 1.1) < 3
    assert abs(np.abs(np.fft.rfft(faster)).argmax() * 16_000 / len(faster) - 440) < 2
    assert np.abs(equalise(tone, np.zeros(5), 16_000) - tone).max() < 1e-5
    assert abs(rms(equalise(tone, np.full(5, 6.0), 16_000)) / rms(tone) - from_db(6)) < 0.01
    assert vary(tone, 0.0, 0.0, 16_000, np.random.default_rng(1)) is tone


def one_event(**others: object) -> MixSettings:
    """Clips of one whole event as it was recorded, over one background, at a level that no peak lowers."""
    plain = {"speed_change": 0, "tone_db": 0, "early_start": 0, "kept_share": 1, "level_dbfs": (-60, -60)}
    return MixSettings(event_weights=(0, 1), distractor_weights=(1,), **{**plain, **others})


def test_the_level_over_the_background_is_the_one_drawn_in_a_room_too():
    bank, found = read_bank(BANK, "train"), []
    for index in range(20):
        loud, faint = (
            mix_clip(bank, one_event(snr_db=(snr, snr), rt60_s=(0.2, 0.6)), clip_rng(1, index))
            for snr in (7, -200)
        )
        background = faint.waveform.astype(np.float64) / rms(faint.waveform)
        strong = np.abs(background) > 0.5
        level = np.median(loud.waveform[strong] / background[strong])  # most of the clip is background alone
        event = loud.waveform / level - background
        recording = next(r for r in bank.recordings if r.name == loud.recordings[-1]).waveform()
        found.append(10 * np.log10(np.sum(event**2) / len(recording)))
    assert max(found) < 7.05
    assert abs(np.median(found) - 7) < 0.05  # a tail may be cut by the clip's end


def test_each_domain_is_mixed_in_its_own_way():
    assert domain_settings("real") == REAL_LIKE
    assert domain_settings("synthetic") == MixSettings()


def test_reverberation_that_can_be_heard_belongs_to_the_event():
    bank, lengths = read_bank(BANK, "train"), []
    mix = one_event(snr_db=(60, 60), rt60_s=(0.5, 0.5), direct_db=(0, 0))
    for index in range(20):
        clip = mix_clip(bank, mix, clip_rng(2, index))
        recording = next(r for r in bank.recordings if r.name == clip.recordings[-1])
        dry = audible_runs(recording.waveform())
        dry_s = 0.02 * (dry[-1, 1] - dry[0, 0])
        wet_s = clip.events[-1].offset - clip.events[0].onset
        if clip.events[-1].offset < 9.9:
            lengths.append(wet_s - dry_s)
            assert -0.1 < wet_s - dry_s < 0.5
    assert np.mean(lengths) > 0.1


def spectrum_db(waveform: np.ndarray, hz: float) -> float:
    """Level around a frequency, a third of an octave wide."""
    frequencies = np.fft.rfftfreq(len(waveform), 1 / 16_000)
    inside = (frequencies > hz * 2 ** (-1 / 6)) & (frequencies < hz * 2 ** (1 / 6))
    return float(10 * np.log10(np.mean(np.abs(np.fft.rfft(waveform.astype(np.float64))[inside]) ** 2)))


def test_a_clip_keeps_to_its_band():
    bank = read_bank(BANK, "train")
    narrow = MixSettings(low_cut_hz=(300, 300), high_cut_hz=(3_000, 3_000))
    wide = MixSettings(low_cut_hz=(1, 1), high_cut_hz=(50_000, 50_000))
    for index in range(4):
        limited, whole = (mix_clip(bank, mix, clip_rng(1, index)).waveform for mix in (narrow, wide))
        change = {
            hz: spectrum_db(limited, hz) - spectrum_db(whole, hz) for hz in (100, 300, 1_000, 3_000, 6_000)
        }
        assert -5 < change[300] - change[1_000] < -1.5
        assert -5 < change[3_000] - change[1_000] < -1.5
        assert change[100] - change[1_000] < -25
        assert change[6_000] - change[1_000] < -20


def test_the_band_is_limited_without_delay():
    click = np.zeros(16_001, np.float32)
    click[8_000] = 1.0
    limited = limit_band(click, 100.0, 4_000.0, 16_000)
    assert np.abs(limited).argmax() == 8_000
    assert np.abs(limited - limited[::-1]).max() < 1e-4
    noise = np.random.default_rng(1).normal(0, 1, 5_000).astype(np.float32)
    assert np.abs(limit_band(noise, 0.0, np.inf, 16_000) - noise).max() < 1e-5


def test_what_the_band_takes_away_is_no_event():
    bank = read_bank(BANK, "train")
    for index in range(8):
        heard = mix_clip(bank, one_event(snr_db=(20, 20)), clip_rng(1, index))
        assert heard.events
        deaf = one_event(snr_db=(-30, -30), low_cut_hz=(50, 50), high_cut_hz=(3_000, 3_000))
        assert not mix_clip(bank, deaf, clip_rng(1, index)).events


def test_real_like_clips_are_reproducible_and_labelled_on_the_grid():
    bank = read_bank(BANK, "train")
    for index in range(5):
        clip = mix_clip(bank, REAL_LIKE, clip_rng(5, index))
        again = mix_clip(read_bank(BANK, "train"), REAL_LIKE, clip_rng(5, index))
        assert np.array_equal(clip.waveform, again.waveform)
        assert (clip.events, clip.recordings) == (again.events, again.recordings)
        assert clip.waveform.shape == (160_000,)
        assert clip.waveform.dtype == np.float32
        for event in clip.events:
            assert 0 <= event.onset < event.offset <= 10


def test_settings_are_checked():
    for wrong in (
        {"rt60_s": (0, 1)},
        {"rt60_s": (1, 0.5)},
        {"low_cut_hz": (300, 50)},
        {"direct_db": (3, -3)},
        {"snr_db": (30, 6)},
        {"event_weights": ()},
        {"event_weights": (-1, 2)},
        {"kept_share": 0},
        {"x": 1},
    ):
        with pytest.raises(ValueError, match="MixSettings"):
            MixSettings(**wrong)


def test_the_folder_has_the_desed_layout(tmp_path: Path):
    assert mix_soundscapes.main([str(BANK), "--out", str(tmp_path), "--clips", "6", "--workers", "1"]) == 0
    events = read_events(tmp_path / "metadata" / "train" / "synthetic.tsv")
    names = [f"{index:05d}.flac" for index in range(6)]
    assert list(events) == names
    durations = read_durations(tmp_path / "metadata" / "train" / "synthetic_durations.tsv")
    assert durations == dict.fromkeys(names, 10.0)
    assert sorted(p.name for p in (tmp_path / "audio" / "train" / "synthetic").iterdir()) == names
    for name in names:
        info = soundfile.info(tmp_path / "audio" / "train" / "synthetic" / name)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (16_000, 1, 160_000, "PCM_16")


def contents(folder: Path) -> dict[str, bytes]:
    paths = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".jsonl"]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def test_one_or_two_processes_mix_the_same(tmp_path: Path):
    mix_folder(BANK, tmp_path / "one", 8, "train", MixSettings(), workers=1)
    mix_folder(BANK, tmp_path / "two", 8, "train", MixSettings(), workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_what_is_missing_is_mixed_and_the_rest_kept(tmp_path: Path):
    mixes = mix_folder(BANK, tmp_path / "whole", 6, "validation", MixSettings(seed=4))
    whole = contents(tmp_path / "whole")
    kept = (mixes.audio / "00000.flac").stat().st_mtime_ns
    (mixes.audio / "00003.flac").unlink()
    mixes.strong.unlink()
    journal = mixes.strong.with_name("synthetic_mix.jsonl")
    journal.write_text(journal.read_text()[:-20])
    mix_folder(BANK, tmp_path / "whole", 6, "validation", MixSettings(seed=4))
    assert contents(tmp_path / "whole") == whole
    assert (mixes.audio / "00000.flac").stat().st_mtime_ns == kept
    with pytest.raises(SedgeError, match="change --out"):
        mix_folder(BANK, tmp_path / "whole", 6, "validation", MixSettings(seed=5))


def test_a_journal_from_before_rooms_goes_on(tmp_path: Path):
    mixes = mix_folder(BANK, tmp_path, 2, "train", MixSettings())
    journal = mixes.strong.with_name("synthetic_mix.jsonl")
    first, *lines = journal.read_text().splitlines()
    header = json.loads(first)
    for name in ("rt60_s", "direct_db", "low_cut_hz", "high_cut_hz"):
        del header["settings"][name]
    journal.write_text("\n".join([json.dumps(header), *lines]) + "\n")
    kept = (mixes.audio / "00000.flac").stat().st_mtime_ns
    mix_folder(BANK, tmp_path, 2, "train", MixSettings())
    assert (mixes.audio / "00000.flac").stat().st_mtime_ns == kept
    with pytest.raises(SedgeError, match="change --out"):
        mix_folder(BANK, tmp_path, 2, "train", REAL_LIKE)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SedgeError, match="can be written"):
        mix_folder(BANK, tmp_path / "file" / "out", 2, "train", MixSettings())
    with pytest.raises(SedgeError, match="1 or more"):
        mix_folder(BANK, tmp_path / "out", 0, "train", MixSettings())
