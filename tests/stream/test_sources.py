"""Recordings and pipes as sources: the same samples as the file, at the right pace, and clear errors."""

import io
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edge_app.core.audio import Recording
from edge_app.core.errors import AudioError, SedgeError
from edge_app.stream.pcm import FILE_MAGIC, WAV_MAGIC
from edge_app.stream.ring import SampleRing
from edge_app.stream.sources import REALTIME_BLOCK_S, FileSource, StdinSource
from tests.stream.fakes import bursts
from tests.stream.runs import next_samples

RATE = 16_000


def heard(source, stop: threading.Event | None = None) -> np.ndarray:
    ring = SampleRing(2_000_000)
    source.run(ring, stop or threading.Event())
    ring.close()
    return next_samples(ring)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "Küche 1.wav"
    soundfile.write(path, bursts(3 * RATE), RATE, subtype="PCM_16")
    return path


class StopAtOnce(threading.Event):
    """A stop that passes waits at once and remembers how long they were to be; it moves the clock."""

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock[0] += timeout or 0
        return self.is_set()


def test_a_recording_is_given_whole_as_fast_as_it_is_taken(recording):
    np.testing.assert_array_equal(
        heard(FileSource(recording)), np.concatenate(list(Recording(recording).blocks()))
    )


def test_in_real_time_a_block_comes_when_its_last_sample_would_have_been_heard(recording):
    clock, pace = [100.0], []
    source = FileSource(recording, realtime=True, clock=lambda: clock[0])

    class PacedRing(SampleRing):
        def write(self, samples) -> None:
            super().write(samples)
            pace.append((clock[0] - 100.0, self.backlog))

    ring = PacedRing(RATE * 10)
    source.run(ring, StopAtOnce(clock))
    assert source.live
    assert len(pace) == round(3 / REALTIME_BLOCK_S)
    assert [elapsed for elapsed, _ in pace] == pytest.approx([written / RATE for _, written in pace])


@pytest.mark.parametrize("realtime", [False, True])
def test_stopping_a_recording_is_immediate(recording, realtime):
    stop = threading.Event()
    stop.set()
    assert len(heard(FileSource(recording, realtime), stop)) == 0


def test_a_recording_that_is_not_there_or_cut_is_an_audio_error(tmp_path, recording):
    with pytest.raises(AudioError, match="no such file"):
        FileSource(tmp_path / "none.wav")
    content = recording.read_bytes()
    recording.write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match="truncated"):
        heard(FileSource(recording))


class Dribble(io.BytesIO):
    """Gives a few bytes at a time, as a pipe may."""

    def read(self, count=-1, /):
        return super().read(min(count, 1 + self.tell() % 7))


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_a_wav_stream_gives_what_the_file_gives(tmp_path, subtype, channels):
    path = tmp_path / "clip.wav"
    samples = np.stack([bursts(9_000, seed) for seed in range(channels)], axis=1) / 4
    soundfile.write(path, samples, 22_050, subtype=subtype, format="WAVEX" if channels > 2 else "WAV")
    source = StdinSource(Dribble(path.read_bytes()))
    assert source.sample_rate == 22_050
    np.testing.assert_array_equal(heard(source), np.concatenate(list(Recording(path).blocks())))


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFF000])
def test_a_header_of_a_program_that_did_not_know_the_length(recording, size):
    content = bytearray(recording.read_bytes())
    place = content.index(b"data")
    content[place + 4 : place + 8] = struct.pack("<I", size)
    content[4:8] = struct.pack("<I", 0xFFFFFFFF)
    np.testing.assert_array_equal(
        heard(StdinSource(io.BytesIO(content))), np.concatenate(list(Recording(recording).blocks()))
    )


def test_chunks_before_and_after_the_samples_are_no_sound(recording):
    content = recording.read_bytes()
    place = content.index(b"data")
    odd = struct.pack("<4sI", b"LIST", 5) + b"abcde\0"
    stream = io.BytesIO(content[:place] + odd + content[place:] + odd)
    np.testing.assert_array_equal(
        heard(StdinSource(stream)), np.concatenate(list(Recording(recording).blocks()))
    )


@given(
    st.binary(min_size=1, max_size=200).filter(lambda content: not content.startswith(WAV_MAGIC + FILE_MAGIC))
)
def test_anything_else_is_raw_samples(content):
    source = StdinSource(Dribble(content), raw_rate=8_000)
    assert source.sample_rate == 8_000
    whole = content[: len(content) // 2 * 2]
    if whole:
        np.testing.assert_array_equal(heard(source), np.frombuffer(whole, "<i2").astype(np.float32) / 2**15)
    else:
        with pytest.raises(AudioError, match="no samples"):
            heard(source)


def test_a_stream_that_ends_before_its_header_said_is_told_after_what_is_there(recording):
    content = recording.read_bytes()
    source, ring = StdinSource(io.BytesIO(content[:-1000])), SampleRing(RATE * 10)
    with pytest.raises(AudioError, match="cut"):
        source.run(ring, threading.Event())
    assert ring.backlog == 3 * RATE - 500


def header(tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16) -> bytes:
    moment = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * moment, moment, bits)
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + form + b"data\0\0\0\0"


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF",
        b"RIFF\0\0\0\0AVI ",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \2\0\0\0ab",
        header()[:-6],
        header(tag=2, bits=4),
        header(channels=0),
        header(rate=0),
        header(rate=10**9),
        header(bits=40),
    ],
)
def test_a_bad_header_is_one_clear_line(content):
    with pytest.raises(AudioError, match=r"^standard input: expected .* found [^\n]*$"):
        StdinSource(io.BytesIO(content))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_samples_that_are_no_numbers_are_refused(bad):
    content = header(tag=3, bits=32) + np.array([0, bad, 0], np.float32).tobytes()
    with pytest.raises(AudioError, match="finite"):
        heard(StdinSource(io.BytesIO(content)))


def test_an_empty_stream_is_an_error():
    with pytest.raises(AudioError, match="no samples"):
        heard(StdinSource(io.BytesIO()))


def test_a_terminal_is_refused():
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(SedgeError, match="terminal"):
        StdinSource(Terminal())


def test_waiting_for_a_pipe_that_gives_nothing_ends_when_stopped():
    reading, writing = os.pipe()
    stop = threading.Event()
    with os.fdopen(reading, "rb", 0) as stream, os.fdopen(writing, "wb", 0) as producer:
        producer.write(b"\0\0\0\0")
        source, ring = StdinSource(stream), SampleRing(100)
        listener = threading.Thread(target=source.run, args=(ring, stop))
        listener.start()
        assert next_samples(ring).tolist() == [0, 0]
        stop.set()
        listener.join(10)
        assert not listener.is_alive()


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "AIFF", "CAF"])
def test_a_compressed_recording_in_a_pipe_is_not_heard_as_noise(kind):
    stream = io.BytesIO()
    soundfile.write(stream, bursts(RATE), RATE, format=kind)
    stream.seek(0)
    with pytest.raises(AudioError, match="standard input: expected a WAV stream or raw samples"):
        StdinSource(stream)
