"""What FFmpeg reads: phones, cameras and browsers; and nothing that a file could make it open."""

import io
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_app.core.audio import Recording, read_blocks
from edge_app.core.errors import EXIT_SOME_FAILED, AudioError
from tests.core.media_files import MEDIA, WITH_PICTURES, tone_for, write_media

av = pytest.importorskip("av")

SECONDS = 3.0
TELL_NO_LENGTH = ("disc.ac3", "dvd.mpg")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name in MEDIA:
        write_media(folder / name, tone_for(folder / name, SECONDS))
    return folder


def read(path: Path) -> np.ndarray:
    return np.concatenate(list(read_blocks(path)))


def error_of(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        read(path)
    assert caught.value.exit_code == EXIT_SOME_FAILED
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ")
    assert ", found" in message
    assert "Errno" not in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", MEDIA)
def test_media_give_the_tone_that_was_written(media, name, capfd) -> None:
    recording, samples = Recording(media / name), read(media / name)
    assert recording.sample_rate == MEDIA[name][2]
    assert recording.n_channels == (1 if name.endswith(".amr") else 2)
    assert SECONDS - 0.01 < len(samples) / 16_000 < SECONDS + 0.08
    spectrum = np.abs(np.fft.rfft(samples[8_000:40_000] * np.hanning(32_000)))
    assert spectrum.argmax() / 2 == 440
    assert np.sqrt(np.mean(samples[8_000:40_000] ** 2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.25)
    assert capfd.readouterr().err == ""


LOSSLESS = ("lossless.m4a", "camera.mov", "exact.mka", "lossless.oga", "lossless.caf")


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("block_s", [0.013, 1.0, 100.0])
def test_lossless_media_are_exact_however_the_blocks_are_cut(media, name, block_s) -> None:
    recording = Recording(media / name)
    blocks = list(recording.blocks(block_s))
    expected = tone_for(media / name, SECONDS)[:, 0]
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1 / 2**15)
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * recording.sample_rate)}
    assert recording.declared_s == pytest.approx(SECONDS, abs=0.01)


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", [name for name in MEDIA if name not in TELL_NO_LENGTH])
def test_a_truncated_media_file_is_refused(media, tmp_path, name, kept, capfd) -> None:
    whole = (media / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert "no such file" not in error_of(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["phone.m4a", "pack.wv", "exact.mka", "lossless.oga"])
def test_eight_channels_are_averaged(tmp_path, name) -> None:
    """PyAV reads beyond the last of so many planes, which ends the process."""
    tone = tone_for(tmp_path / name, SECONDS)
    samples = np.concatenate([tone * level for level in (0.25, 0.75, 1.25, 1.75)], axis=1)
    path = write_media(tmp_path / name, samples)
    assert Recording(path).n_channels == 8
    found = read(path)
    assert SECONDS - 0.01 < len(found) / 16_000 < SECONDS + 0.08
    assert np.sqrt(np.mean(found[8_000:40_000] ** 2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.25)


ONSET_S = 1.0
TELL_NO_START = (
    "pieces.mp4",
    "old.avi",
    "old.flv",
    "raw.aac",
    "dvd.mpg",
    "phone.amr",
    "disc.ac3",
    "dictated.wav",
)


@pytest.mark.parametrize("name", MEDIA)
def test_a_sound_is_where_it_was(tmp_path, name) -> None:
    """What an encoder puts in front of the sound is taken off, or is under 50 ms where the file does not tell it."""
    tone = tone_for(tmp_path / name, 2.0)
    tone[: round(ONSET_S * MEDIA[name][2])] = 0
    samples = np.abs(read(write_media(tmp_path / name, tone)))
    late_s = np.flatnonzero(samples > 0.1)[0] / 16_000 - ONSET_S
    assert -0.005 < late_s < (0.05 if name in TELL_NO_START else 0.005)


@pytest.mark.parametrize("name", ["lossless.oga", "disc.ac3", "pack.wv"])
def test_check_sums_are_looked_at(tmp_path, name) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (96_000, 2)).astype(np.float32)
    path = write_media(tmp_path / name, noise)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    error_of(path)


def test_a_video_without_sound_is_refused(tmp_path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as output:
        pictures = output.add_stream("mpeg4", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        output.mux(pictures.encode(frame))
        output.mux(pictures.encode(None))
    assert "found a file without a sound stream" in error_of(path)


def write_streams(path: Path, starts: list[float], amplitudes: list[float], default: int = 0) -> Path:
    """A Matroska file of one sound stream for each amplitude, a second from each start on."""
    with av.open(str(path), "w", format="matroska") as output:
        streams = [output.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in amplitudes]
        for index, stream in enumerate(streams):
            kind = stream.disposition.__class__
            stream.disposition = kind.default if index == default else kind(0)
        for start in starts:
            for stream, amplitude in zip(streams, amplitudes, strict=True):
                samples = np.full((1, 16_000), round(amplitude * 2**15), np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate, frame.time_base = 16_000, Fraction(1, 16_000)
                frame.pts = round(start * 16_000)
                output.mux(stream.encode(frame))
        for stream in streams:
            output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("default", [0, 1])
def test_of_several_sound_streams_the_default_one_is_taken(tmp_path, default) -> None:
    path = write_streams(tmp_path / "two.mkv", [0.0, 1.0], [0.25, 0.5], default)
    assert read(path).mean() == pytest.approx(0.25 * (default + 1), abs=1e-3)


def test_missing_packets_are_silence_so_that_times_stay_right(tmp_path) -> None:
    samples = read(write_streams(tmp_path / "gap.mkv", [0.0, 1.5], [0.25]))
    assert len(samples) == 40_000
    assert not samples[16_100:23_900].any()
    np.testing.assert_allclose(samples[24_100:], 0.25)


def test_many_missing_packets_are_told(tmp_path) -> None:
    assert "found 1.000 s (the next 4.000 s are missing)" in error_of(
        write_streams(tmp_path / "gap.mkv", [0.0, 5.0], [0.25])
    )


@pytest.mark.parametrize("name", ["-x.m4a", "http:--host-x.m4a", "concat:a|b.m4a", "pipe:0.m4a", "%d.m4a"])
def test_a_name_is_never_an_option_or_an_address(media, tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    assert error_of(Path(name)).endswith("expected a recording, found no such file")
    Path(name).write_bytes((media / "phone.m4a").read_bytes())
    assert len(read(Path(name))) > 48_000


LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {path}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{path}</BaseURL></MPD>',
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".wav"])
def test_a_list_that_calls_itself_a_recording_opens_nothing(
    media, tmp_path, monkeypatch, kind, suffix
) -> None:
    path = tmp_path / f"list{suffix}"
    target = media / "raw.aac"
    path.write_text(LISTS[kind].format(path=target))
    opened = []
    sys.addaudithook(lambda event, values: opened.append(values[0]) if event == "open" else None)
    assert "found: " in error_of(path)
    assert str(path) in map(str, opened)
    assert str(target) not in map(str, opened)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see open files")
def test_files_are_let_go_of(media) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in WITH_PICTURES:
        next(Recording(media / name).blocks(0.1))
        read(media / name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


class _FailingFile(io.FileIO):
    """A file on a disk that cannot be read beyond its first bytes."""

    def readinto(self, buffer) -> int:
        if self.tell() > 16_000:
            raise OSError(5, "Input/output error")
        return super().readinto(buffer)


@pytest.mark.parametrize(
    "name", ["fast.mp4", "pieces.mp4", "video.mkv", "old.avi", "plain.wav", "plain.flac"]
)
def test_a_disk_that_fails_is_told_as_that(media, tmp_path, monkeypatch, name) -> None:
    path = media / name if name in MEDIA else tmp_path / name
    if name not in MEDIA:
        noise = np.random.default_rng(0).normal(0, 0.1, 48_000)
        soundfile.write(path, noise, 16_000)
    monkeypatch.setattr(Path, "open", lambda path, *_, **__: _FailingFile(path))
    assert "Input/output error" in error_of(path)


def test_without_ffmpeg_a_media_file_says_what_to_install(media, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install av" in error_of(media / "phone.m4a")


def test_a_damaged_ogg_is_not_read_by_the_more_lenient_decoder(tmp_path) -> None:
    path = tmp_path / "damaged.ogg"
    soundfile.write(path, tone_for(Path("disc.ac3"), 1.0), 48_000, subtype="VORBIS")
    content = bytearray(path.read_bytes())
    content[content.index(b"\x05vorbis") + 40] ^= 0xFF
    path.write_bytes(content)
    error_of(path)
