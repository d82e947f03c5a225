"""What is done to recordings, measured on what comes out."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import correlate, welch

from benchmarks.accuracy.perturbations import NAMES, mp3_bytes, perturbations
from benchmarks.recording import SAMPLE_RATE, soundscape


@pytest.fixture(scope="module")
def clip():
    return soundscape()[20 * SAMPLE_RATE : 26 * SAMPLE_RATE + 123]


def changes(*names, noise_snr_db=(20.0,)):
    return {change.name: change for change in perturbations(names, noise_snr_db)}


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def test_every_perturbation_is_there_and_noise_once_for_each_snr():
    assert list(changes(noise_snr_db=(20.0, 5.5))) == [
        *("gain-up", "gain-down", "white-20", "white-5.5", "pink-20", "pink-5.5"),
        *("reverb", "mp3", "clipping", "8khz"),
    ]
    assert list(changes("mp3", "pink")) == ["mp3", "pink-20"]
    assert len({change.title for change in changes().values()}) == len(NAMES)


@pytest.mark.parametrize("name", changes())
def test_a_clip_keeps_its_length_and_changes_alike_each_time(clip, name):
    change = changes()[name]
    before = clip.copy()
    changed = change.apply(clip, "a.wav")
    assert changed.dtype == np.float32
    assert len(changed) == len(clip)
    assert np.isfinite(changed).all()
    np.testing.assert_array_equal(clip, before)
    np.testing.assert_array_equal(changed, change.apply(clip, "a.wav"))
    assert np.abs(changed - clip).max() > 1e-3
    is_drawn = name in ("white-20", "pink-20", "reverb")
    assert np.array_equal(changed, change.apply(clip, "b.wav")) is not is_drawn


@pytest.mark.parametrize("name", changes())
@pytest.mark.parametrize("n_samples", [0, 100, 16_000])
def test_silence_stays_silent_and_short_clips_as_long_as_they_are(name, n_samples):
    changed = changes()[name].apply(np.zeros(n_samples, np.float32), "a.wav")
    assert changed.shape == (n_samples,)
    assert np.abs(changed).max(initial=0) < 1e-4


def test_gain_is_a_factor_of_ten(clip):
    found = changes("gain-up", "gain-down")
    np.testing.assert_allclose(found["gain-up"].apply(clip, "a"), 10 * clip, rtol=1e-6)
    np.testing.assert_allclose(found["gain-down"].apply(clip, "a"), clip / 10, rtol=1e-6)


@pytest.mark.parametrize("color", ["white", "pink"])
@pytest.mark.parametrize("snr_db", [20.0, 0.0, -5.0])
def test_noise_is_as_far_under_the_clip_as_asked(clip, color, snr_db):
    (change,) = perturbations([color], [snr_db])
    noise = change.apply(clip, "a.wav") - clip
    assert level_db(clip) - level_db(noise) == pytest.approx(snr_db, abs=0.1)


@pytest.mark.parametrize(("color", "slope"), [("white", 0.0), ("pink", -1.0)])
def test_power_of_noise_over_frequency(clip, color, slope):
    (change,) = perturbations([color], [0.0])
    hz, power = welch(change.apply(clip, "a.wav") - clip, SAMPLE_RATE, nperseg=1024)
    middle = (hz > 100) & (hz < 6000)
    found, _ = np.polyfit(np.log10(hz[middle]), np.log10(power[middle]), 1)
    assert found == pytest.approx(slope, abs=0.1)


def test_mp3_is_of_64_kbit_and_in_time(clip):
    bits_per_s = 8 * len(mp3_bytes(clip)) / (len(clip) / SAMPLE_RATE)
    assert bits_per_s == pytest.approx(64_000, rel=0.05)
    decoded = changes("mp3")["mp3"].apply(clip, "a.wav")
    lag = int(correlate(decoded, clip, method="fft").argmax()) - (len(clip) - 1)
    assert lag == 0
    assert -40 < level_db(decoded - clip) - level_db(clip) < -10


def test_clipping_cuts_what_is_over_a_quarter_of_the_peak(clip):
    changed, peak = changes("clipping")["clipping"].apply(clip, "a.wav"), np.abs(clip).max()
    limit = peak * 10 ** (-12 / 20)
    assert np.abs(changed).max() == pytest.approx(limit)
    soft = np.abs(clip) < limit
    np.testing.assert_array_equal(changed[soft], clip[soft])
    assert 0 < np.mean(~soft) < 0.5


def test_nothing_is_left_over_4_khz_and_everything_under_it(clip):
    hz, before = welch(clip, SAMPLE_RATE, nperseg=1024)
    _, after = welch(changes("8khz")["8khz"].apply(clip, "a.wav"), SAMPLE_RATE, nperseg=1024)
    assert after[hz > 4200].sum() < 1e-3 * before[hz > 4200].sum()
    assert after[hz < 3400].sum() == pytest.approx(before[hz < 3400].sum(), rel=0.01)


def test_a_room_rings_after_a_sound_and_moves_nothing():
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[3200] = 0.5
    wet = changes("reverb")["reverb"].apply(click, "a.wav")
    assert int(np.abs(wet).argmax()) == 3200
    assert level_db(wet) == pytest.approx(level_db(click), abs=0.1)
    tail = [level_db(wet[3200 + first : 3200 + first + 1600]) for first in (400, 2000, 3600, 5200)]
    # sixty decibels in 0.6 s are ten in 0.1 s; low frequencies last longer
    assert all(6 < louder - softer < 20 for louder, softer in pairwise(tail))
    assert np.abs(wet[:3200]).max() < 1e-6
