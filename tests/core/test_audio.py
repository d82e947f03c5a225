"""Recordings as samples: every format, the length and the cut do not matter, and what is not sound is refused."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.audio import MonoResampler, Recording, read_blocks
from edge_app.core.errors import EXIT_SOME_FAILED, AudioError

BANK = Path(__file__).parent.parent / "data" / "bank"
FORMATS = {
    "wav": "PCM_16",
    "flac": "PCM_24",
    "ogg": "VORBIS",
    "mp3": "MPEG_LAYER_III",
    "aiff": "PCM_16",
    "au": "FLOAT",
    "w64": "PCM_16",
    "caf": "PCM_16",
}


def tone(seconds: float, sample_rate: int, channels: int = 1) -> np.ndarray:
    """440 Hz, in each channel at its own level, whose mean is 0.25: shape (sample, channel)."""
    levels = 0.25 * np.linspace(0.5, 1.5, channels) if channels > 1 else np.array([0.25])
    wave = np.sin(2 * np.pi * 440 * np.arange(round(seconds * sample_rate)) / sample_rate)
    return wave[:, None] * levels


def noise(seconds: float, sample_rate: int = 16_000) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(round(seconds * sample_rate))


def write(path: Path, samples: np.ndarray, sample_rate: int = 16_000, **options) -> Path:
    kind = {"oga": "OGG"}.get(path.suffix[1:], path.suffix[1:].upper())
    soundfile.write(path, samples, sample_rate, format=kind, **options)
    return path


def read(path: Path, sample_rate: int = 16_000) -> np.ndarray:
    return np.concatenate(list(read_blocks(path, sample_rate)))


def error_of(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        read(path)
    assert caught.value.exit_code == EXIT_SOME_FAILED
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ")
    assert ", found" in message
    assert "\n" not in message
    return message


def resample(samples: np.ndarray, rate_in: int, rate_out: int, cuts: list[int]) -> np.ndarray:
    resampler = MonoResampler(rate_in, rate_out)
    pieces = [resampler.push(piece) for piece in np.split(samples, cuts)]
    return np.concatenate([*pieces, resampler.flush()])


@settings(max_examples=40)
@given(
    rate_in=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000]),
    n_samples=st.integers(0, 20_000),
    fractions=st.lists(st.floats(0, 1), max_size=30),
)
def test_resampling_does_not_depend_on_the_cut(rate_in, n_samples, fractions) -> None:
    samples = np.random.default_rng(n_samples).standard_normal(n_samples).astype(np.float32)
    whole = resample(samples, rate_in, 16_000, [])
    cut = resample(samples, rate_in, 16_000, sorted(round(part * n_samples) for part in fractions))
    np.testing.assert_array_equal(cut, whole)
    assert whole.dtype == np.float32
    assert abs(len(whole) - round(n_samples * 16_000 / rate_in)) <= 1


def test_equal_rates_change_nothing() -> None:
    samples = noise(0.5).astype(np.float32)
    np.testing.assert_array_equal(resample(samples, 16_000, 16_000, [7, 100]), samples)


@pytest.mark.parametrize(
    ("subtype", "sample_rate", "channels"),
    [
        ("PCM_U8", 16_000, 1),
        ("PCM_16", 8_000, 1),
        ("PCM_24", 44_100, 2),
        ("PCM_32", 48_000, 1),
        ("FLOAT", 96_000, 2),
        ("DOUBLE", 192_000, 1),
        ("PCM_16", 48_000, 6),
        ("PCM_24", 11_025, 1),
    ],
)
def test_any_wav_gives_the_mean_of_its_channels_at_16_khz(tmp_path, subtype, sample_rate, channels) -> None:
    path = write(tmp_path / "tone.wav", tone(1.0, sample_rate, channels), sample_rate, subtype=subtype)
    samples = read(path)
    expected = tone(1.0, 16_000)[:, 0]
    assert samples.dtype == np.float32
    assert abs(len(samples) - 16_000) <= 1
    inside = slice(800, 15_200)  # the filter rings at the edges
    np.testing.assert_allclose(samples[inside], expected[inside], atol=0.01 if subtype == "PCM_U8" else 1e-3)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("seconds", [0.1, 2.5])
def test_every_format_and_a_tenth_of_a_second(tmp_path, suffix, seconds) -> None:
    sample_rate = 44_100
    samples = tone(seconds, sample_rate, 2)
    path = write(tmp_path / f"tone.{suffix}", samples, sample_rate, subtype=FORMATS[suffix])
    assert abs(len(read(path)) - round(seconds * 16_000)) <= 1
    assert abs(np.abs(read(path)).max() - 0.25) < 0.02


@pytest.mark.parametrize("path", sorted(BANK.glob("background/*.flac"))[:2], ids=lambda path: path.name)
def test_blocks_of_any_length_give_the_samples_of_a_real_recording(path) -> None:
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    recording = Recording(path)
    assert recording.sample_rate == sample_rate
    for block_s in (0.01, 0.37, 100.0):
        blocks = list(recording.blocks(block_s))
        np.testing.assert_array_equal(np.concatenate(blocks), samples.mean(axis=1))
        assert max(map(len, blocks)) <= max(1, block_s * sample_rate)


def test_a_name_may_hold_anything(tmp_path) -> None:
    path = write(tmp_path / "kitchen\t café\n[日本].wav", noise(0.5))
    assert len(read(path)) == 8_000


@pytest.mark.parametrize("suffix", [".raw", ".mp3", ".sd2", ""])
def test_a_name_says_nothing_of_the_contents(tmp_path, suffix) -> None:
    """One ending in `.raw` would make the library ask for a rate, as for samples without a header."""
    path = write(tmp_path / "plain.wav", noise(0.5))
    assert len(read(path.rename(tmp_path / f"plain{suffix}"))) == 8_000


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("empty.wav", b"", "an empty file"),
        ("empty.mp3", b"", "an empty file"),
        ("text.wav", b"not a recording " * 20, "Format not recognised"),
        ("text.raw", b"not a recording " * 20, ""),
        ("byte.flac", b"f", ""),
        ("id3.mp3", b"ID3\x04\x00\x00\x00\x00\x00\x10" + bytes(40), ""),
        ("header.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ", ""),
    ],
)
def test_what_is_not_audio_is_refused(tmp_path, capfd, name, content, found) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert found in error_of(path)
    assert capfd.readouterr().err == ""


def test_what_is_not_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nothing.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    assert "no such file" in error_of(tmp_path / "missing.wav")
    assert "no such file" in error_of(tmp_path / "gone.wav")
    assert "links" in error_of(tmp_path / "loop.wav")
    assert "a folder" in error_of(tmp_path)
    assert "neither a file nor a folder" in error_of(Path("/dev/null"))


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch) -> None:
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    path = write(tmp_path / "private.wav", noise(0.5))
    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so permissions alone do not show it
    assert "Permission denied" in error_of(path)


def test_no_samples_are_not_a_recording(tmp_path) -> None:
    assert "no samples" in error_of(write(tmp_path / "none.wav", np.zeros(0)))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kept", [0.5, 0.97])
def test_a_truncated_file_is_refused_with_the_seconds_it_has(tmp_path, capfd, suffix, kept) -> None:
    whole = write(tmp_path / f"whole.{suffix}", noise(10.0), subtype=FORMATS[suffix]).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: int(len(whole) * kept)])
    message = error_of(path)
    if suffix != "caf":  # one cut early is no CAF at all for the decoder
        seconds = float(message.split("found ")[1].split(" s")[0])
        assert 0.35 * 10 <= seconds < 10
    if suffix not in ("ogg", "caf"):  # an Ogg file does not tell its length at its beginning
        assert "expected 10.000 s of sound" in message or "expected 9.9" in message
    assert capfd.readouterr().err == ""


def test_a_damaged_flac_is_refused(tmp_path) -> None:
    path = write(tmp_path / "damaged.flac", noise(10.0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 500] = bytes(500)
    path.write_bytes(content)
    assert "expected 10.000 s of sound" in error_of(path)


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_F000, 0x8000_0000])
def test_a_wav_whose_writer_could_not_know_its_length_is_whole(tmp_path, size) -> None:
    path = write(tmp_path / "piped.wav", noise(1.0))
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    assert len(read(path)) == 16_000


def test_a_flac_whose_writer_could_not_know_its_length_is_whole(tmp_path) -> None:
    path = write(tmp_path / "piped.flac", noise(1.0))
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert len(read(path)) == 16_000


def without_length_frame(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[content.index(content[:2], 50) :])


def test_an_mp3_that_does_not_tell_its_length(tmp_path, capfd) -> None:
    constant = write(tmp_path / "constant.mp3", noise(10.0), bitrate_mode="CONSTANT", compression_level=0.5)
    without_length_frame(constant)
    assert abs(len(read(constant)) - 160_000) < 3_000
    varying = write(tmp_path / "varying.mp3", noise(10.0), bitrate_mode="VARIABLE", compression_level=0.5)
    without_length_frame(varying)
    assert "varying bit rate" in error_of(varying)
    assert capfd.readouterr().err == ""


def id3(n_bytes: int) -> bytes:
    """A tag whose text is in UTF-16, with marks that look like the beginning of a frame."""
    size = bytes(n_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + size + (b"\xff\xfeA\0" * n_bytes)[:n_bytes]


@pytest.mark.parametrize("tags", [id3(6_000), id3(300) + id3(5_000)])
def test_tags_before_an_mp3_hide_nothing(tmp_path, tags) -> None:
    path = write(tmp_path / "tagged.mp3", noise(5.0))
    content = path.read_bytes()
    path.write_bytes(tags + content + b"TAG" + bytes(125))
    assert Recording(path).declared_s == pytest.approx(5, abs=0.1)
    assert abs(len(read(path)) - 80_000) < 10
    path.write_bytes(tags + content[: len(content) // 2])
    assert "truncated" in error_of(path)


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("mp3", "MPEG_LAYER_III"), ("ogg", "VORBIS"), ("ogg", "OPUS")]
)
@pytest.mark.parametrize("rates", [(16_000, 16_000), (48_000, 16_000)])
def test_recordings_joined_in_one_file_do_not_pass_for_the_first(tmp_path, suffix, subtype, rates) -> None:
    parts = [
        write(tmp_path / f"{place}.{suffix}", noise(2.0, rate), rate, subtype=subtype).read_bytes()
        for place, rate in enumerate(rates)
    ]
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(b"".join(parts))
    assert "found 2.000 s (more follows: several recordings in one file)" in error_of(path)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_numbers_are_refused_with_their_time(tmp_path, wrong) -> None:
    samples = noise(3.0)[:, None].repeat(2, axis=1)
    samples[40_000, 1] = wrong
    path = write(tmp_path / "wrong.wav", samples, subtype="FLOAT")
    assert "at 2.500 s" in error_of(path)


def test_a_sample_rate_out_of_all_bounds_is_refused(tmp_path) -> None:
    assert "768000 Hz, found 10" in error_of(write(tmp_path / "slow.wav", noise(0.1), 10))
