"""Rooms: what an impulse response and a reverberant sound must be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, fftconvolve, sosfilt

from train.data.rooms import HIGH_DECAY, LOW_DECAY, Room, draw_room, impulse_response, reverberate

RATE = 16_000
SEEDS = st.integers(0, 2**31)


def response_of(seed: int, rt60_s: float = 0.5, direct_db: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return impulse_response(draw_room((rt60_s, rt60_s), rng), direct_db, RATE, rng)


def decay_s(response: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Reverberation time of a band by Schroeder's backward integration, from 5 to 25 dB of decay."""
    late = response[round(0.05 * RATE) :]  # after the direct path and the reflections
    band = sosfilt(butter(4, (low_hz, high_hz), "bandpass", fs=RATE, output="sos"), late.astype(np.float64))
    left_db = 10 * np.log10(np.cumsum(band[::-1] ** 2)[::-1] / np.sum(band**2))
    first, end = np.argmax(left_db < -5), np.argmax(left_db < -25)
    slope = np.polyfit(np.arange(first, end) / RATE, left_db[first:end], 1)[0]
    return float(-60 / slope)


@given(SEEDS, st.floats(0.2, 1.0))
@settings(max_examples=40)
def test_the_reverberation_time_is_the_one_drawn(seed: int, rt60_s: float):
    rng = np.random.default_rng(seed)
    room = draw_room((rt60_s, rt60_s), rng)
    assert room.rt60_s == rt60_s
    measured = np.mean([decay_s(impulse_response(room, 0.0, RATE, rng), 700, 1_400) for _ in range(4)])
    assert abs(measured / rt60_s - 1) < 0.2


@given(SEEDS)
@settings(max_examples=40)
def test_high_frequencies_decay_faster_than_low_ones(seed: int):
    rng = np.random.default_rng(seed)
    room = draw_room((0.4, 0.8), rng)
    assert LOW_DECAY[0] <= room.low_rt60_s / room.rt60_s <= LOW_DECAY[1]
    assert HIGH_DECAY[0] <= room.high_rt60_s / room.rt60_s <= HIGH_DECAY[1]
    responses = [impulse_response(room, 0.0, RATE, rng) for _ in range(4)]
    high = np.mean([decay_s(response, 4_000, 7_000) for response in responses])
    assert abs(high / room.high_rt60_s - 1) < 0.25
    assert high < np.mean([decay_s(response, 125, 350) for response in responses])


@given(SEEDS, st.floats(0.1, 1.0), st.floats(-5, 15))
def test_the_direct_path_comes_first_and_as_strong_as_asked(seed: int, rt60_s: float, direct_db: float):
    response = response_of(seed, rt60_s, direct_db)
    assert response.dtype == np.float32
    assert response[0] == 1.0
    assert not response[1 : round(0.0019 * RATE)].any()
    reflected = np.sum(response[1:].astype(np.float64) ** 2)
    assert abs(10 * np.log10(1 / reflected) - direct_db) < 0.01
    assert len(response) <= round(max(rt60_s, 0.08) * RATE)


@given(SEEDS)
def test_a_response_decays(seed: int):
    response = response_of(seed)[round(0.05 * RATE) :]
    quarters = [float(np.sum(part.astype(np.float64) ** 2)) for part in np.array_split(response, 4)]
    assert quarters == sorted(quarters, reverse=True)
    assert quarters[3] < quarters[0] * 1e-2


@given(SEEDS, st.integers(1, 6_000))
def test_a_room_adds_a_tail_and_no_energy(seed: int, n_samples: int):
    waveform = np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)
    response = response_of(seed, 0.2)
    wet = reverberate(waveform, response)
    assert wet.shape == (n_samples + len(response) - 1,)
    assert wet.dtype == np.float32
    assert np.sum(wet.astype(np.float64) ** 2) == pytest.approx(np.sum(waveform.astype(np.float64) ** 2))
    literal = fftconvolve(waveform.astype(np.float64), response.astype(np.float64))
    literal *= np.sqrt(np.sum(waveform.astype(np.float64) ** 2) / np.sum(literal**2))
    assert np.abs(wet - literal).max() < 1e-5 * max(1.0, np.abs(literal).max())


def test_a_sound_stays_where_it_was():
    click = np.zeros(8_000, np.float32)
    click[3_000] = 1.0
    wet = reverberate(click, response_of(3))
    assert np.abs(wet).argmax() == 3_000
    assert np.abs(wet[:3_000]).max() < 1e-6


def test_places_of_one_room_differ_and_seeds_repeat():
    room, rng = Room(0.6, 0.5, 0.3), np.random.default_rng(1)
    first, second = (impulse_response(room, 3.0, RATE, rng) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, impulse_response(room, 3.0, RATE, np.random.default_rng(1)))


def test_silence_stays_silent():
    assert not reverberate(np.zeros(100, np.float32), response_of(1)).any()
