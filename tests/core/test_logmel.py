"""Log-mel: the window and the filters against independent computations, and streams against whole signals."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.logmel import (
    ROWS_PER_BLOCK,
    LogMelConfig,
    StreamingLogMel,
    blackman_window,
    log_mel,
    mel_edges,
    mel_filters,
)

REPOSITORY = Path(__file__).resolve().parents[2]
BANK = REPOSITORY / "tests" / "data" / "bank"
RECORDINGS = (
    BANK / "foreground" / "Dog" / "freesound-118964_00.flac",
    BANK / "foreground" / "Speech" / "librispeech-1447_00.flac",
    BANK / "background" / "freesound-17367_00.flac",
    BANK / "foreground" / "Blender" / "kitchen20-D-Presse-agrumes.m4a_00.flac",
)
SILENCE = np.log(1e-12)


def recording(path: Path, dtype: str = "float64") -> np.ndarray:
    waveform, sample_rate = soundfile.read(path, dtype=dtype)
    assert sample_rate == 16_000
    return waveform


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)


def streamed(waveform: np.ndarray, lengths: list[int]) -> np.ndarray:
    """Features of the waveform cut into blocks of the given lengths, the rest last."""
    cuts = np.minimum(np.cumsum(lengths, dtype=int), len(waveform))
    stream = StreamingLogMel(dtype=waveform.dtype.type)
    frames = [stream.push(block) for block in np.split(waveform, cuts)]
    return np.concatenate([*frames, stream.flush()])


def slow_filters(config: LogMelConfig) -> np.ndarray:
    """The triangles as the definition says them, one value at a time."""

    def mel_of(hz: float) -> float:
        return 2595 * np.log10(1 + hz / 700)

    def bin_of(mel: float) -> float:
        return 700 * (10 ** (mel / 2595) - 1) * config.n_fft / config.sample_rate

    lowest, highest = mel_of(config.f_min), mel_of(config.f_max)
    step = (highest - lowest) / (config.n_mels + 1)
    c = [bin_of(lowest + step * i) for i in range(config.n_mels + 2)]
    filters = np.zeros((config.n_fft // 2 + 1, config.n_mels))
    for m in range(1, config.n_mels + 1):
        left, right = min(c[m - 1], c[m] - 1), max(c[m + 1], c[m] + 1)
        for k in range(config.n_fft // 2 + 1):
            if left < k <= c[m]:
                filters[k, m - 1] = (k - left) / (c[m] - left)
            elif c[m] < k < right:
                filters[k, m - 1] = (right - k) / (right - c[m])
        filters[:, m - 1] /= sum(filters[:, m - 1])
    return filters


def test_filters_are_the_triangles_of_the_definition() -> None:
    config = LogMelConfig()
    np.testing.assert_allclose(mel_filters(config), slow_filters(config), rtol=0, atol=1e-12)


def test_no_filter_is_empty_and_each_sums_to_one() -> None:
    filters = mel_filters(LogMelConfig())
    assert filters.shape == (513, 128)
    assert (filters >= 0).all()
    np.testing.assert_allclose(filters.sum(axis=0), 1, rtol=1e-12)
    assert (np.count_nonzero(filters, axis=0) >= 1).all()


def test_edges_are_equally_spaced_in_mel_from_50_to_8000_hz() -> None:
    hz = mel_edges(LogMelConfig()) * 16_000 / 1024
    assert hz[[0, -1]] == pytest.approx([50, 8000])
    np.testing.assert_allclose(np.diff(np.log1p(hz / 700), n=2), 0, atol=1e-12)


def test_window_is_the_periodic_blackman() -> None:
    np.testing.assert_allclose(
        blackman_window(960), scipy.signal.windows.blackman(960, sym=False), atol=1e-12
    )


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recordings_agree_with_librosa_and_the_slow_filters(path) -> None:
    waveform = recording(path)
    # librosa centres the 960 samples in the transform's 1024: 32 zeros before them, and 320 before the cell
    padded = np.pad(waveform, (320 + 32, 1024))
    spectrum = librosa.stft(
        padded, n_fft=1024, hop_length=320, win_length=960, window="blackman", center=False
    )
    power = np.abs(spectrum[:, : len(waveform) // 320].T) ** 2
    expected = np.log(power @ slow_filters(LogMelConfig()) + 1e-12)
    np.testing.assert_allclose(log_mel(waveform), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sample", [320 * 10 - 320, 320 * 10, 320 * 10 + 639])
def test_window_reaches_from_320_samples_before_the_cell_to_320_after_it(sample) -> None:
    impulse = np.zeros(320 * 20)
    impulse[sample] = 1
    window = blackman_window(960)[sample - (320 * 10 - 320)]
    # an impulse's power is flat, and each filter sums to one
    np.testing.assert_allclose(log_mel(impulse)[10], np.log(window**2 + 1e-12), atol=1e-6)


@pytest.mark.parametrize("sample", [320 * 10 - 321, 320 * 10 + 640])
def test_window_reaches_no_further(sample) -> None:
    impulse = np.zeros(320 * 20)
    impulse[sample] = 1
    assert (log_mel(impulse)[10] == SILENCE).all()


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_float32_is_close_to_float64(path) -> None:
    difference = np.abs(log_mel(recording(path, "float32")) - log_mel(recording(path)))
    assert np.quantile(difference, 0.99) < 1e-4
    assert difference.max() < 1e-2


@pytest.mark.parametrize("n_samples", [0, 1, 319, 320, 321, 639, 640, 959, 960])
def test_each_whole_cell_is_a_frame(n_samples) -> None:
    frames = log_mel(noise(n_samples))
    assert frames.shape == (n_samples // 320, 128)
    assert frames.dtype == np.float32
    assert np.isfinite(frames).all()


@given(st.integers(0, 12_000))
@settings(max_examples=40)
def test_n_samples_give_n_over_320_frames(n_samples: int) -> None:
    assert len(log_mel(noise(n_samples))) == n_samples // 320 == LogMelConfig().frames_in(n_samples)


def test_ten_seconds_are_500_frames_of_20_ms() -> None:
    assert log_mel(noise(160_000)).shape == (500, 128)
    assert LogMelConfig().frame_s == 0.02


@given(
    st.integers(0, 12_000),
    st.lists(st.one_of(st.just(0), st.integers(1, 400), st.integers(1, 9000)), max_size=30),
)
@settings(max_examples=60)
def test_a_stream_gives_the_whole_signal_bit_for_bit(n_samples: int, lengths: list[int]) -> None:
    waveform = noise(n_samples, seed=n_samples)
    assert np.array_equal(streamed(waveform, lengths), log_mel(waveform))


@pytest.mark.parametrize("block", [1, 160, 320, 1024])
def test_a_recording_streams_bit_for_bit(block) -> None:
    waveform = recording(RECORDINGS[1], "float32")[: 320 * 60 + 17]
    assert np.array_equal(streamed(waveform, [block] * (len(waveform) // block)), log_mel(waveform))


@pytest.mark.parametrize("n_frames", [ROWS_PER_BLOCK * k + extra for k in (1, 2) for extra in (-1, 0, 1)])
def test_the_rows_computed_together_do_not_show(n_frames) -> None:
    waveform = noise(320 * n_frames)
    expected = log_mel(waveform)
    assert np.array_equal(streamed(waveform, [320] * n_frames), expected)
    longer = log_mel(noise(320 * (3 * ROWS_PER_BLOCK)))
    assert np.array_equal(longer[: n_frames - 1], expected[: n_frames - 1])  # the last one sees the end


@given(st.integers(0, 4000), st.integers(0, 4000))
@settings(max_examples=40)
def test_a_frame_comes_20_ms_after_its_cell(first: int, second: int) -> None:
    stream = StreamingLogMel()
    given_out = len(stream.push(noise(first))) + len(stream.push(noise(second)))
    assert given_out == max(0, (first + second - 320) // 320)


def test_silence_is_the_floor_and_equals_padding() -> None:
    assert (log_mel(np.zeros(3200)) == SILENCE).all()
    waveform = noise(3200)
    padded = log_mel(np.pad(waveform, (0, 3200)))
    assert (padded[11:] == np.float32(SILENCE)).all()
    assert np.array_equal(padded[:10], log_mel(waveform))


def test_input_is_left_as_it_was() -> None:
    waveform = noise(5000)
    kept = waveform.copy()
    log_mel(waveform)
    assert np.array_equal(waveform, kept)


def test_a_window_that_cannot_be_centred_is_refused() -> None:
    with pytest.raises(ValueError, match="centred"):
        LogMelConfig(window_length=961)
