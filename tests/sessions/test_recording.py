"""The recording of a session: what was heard, sample for sample, whatever the disk does."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.core.errors import SedgeError
from edge_app.sessions.recording import FlacFile, Recorder
from edge_app.sessions.sound import SessionSound

RATE = 16_000
PATIENCE_S = 30.0
SOUND = np.random.default_rng(7).normal(0, 0.1, 10 * RATE).astype(np.float32)


def record(folder, pieces, rate=RATE):
    """The file of pieces (start, samples), read back as float."""
    paths: list = []
    recorder = Recorder(folder, rate, paths.append)
    for start, samples in pieces:
        recorder.write(start, samples)
    assert recorder.close(PATIENCE_S) is None
    [path] = paths
    assert list(folder.iterdir()) == [path]
    assert soundfile.info(path).subtype == "PCM_24"
    samples, found_rate = soundfile.read(path, dtype="float32")
    assert found_rate == rate
    return samples


@settings(max_examples=25)
@given(
    parts=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 3000)), min_size=1, max_size=6),
    seed=st.integers(0, 2**32 - 1),
    bits=st.sampled_from([16, 24]),
)
def test_sample_n_of_the_session_is_sample_n_of_the_file(parts, seed, bits, tmp_path_factory):
    rng, position, pieces = np.random.default_rng(seed), 0, []
    scale = 2.0 ** (bits - 1)
    for hole, length in parts:
        position += hole
        whole = rng.integers(-scale, scale, length) / scale
        pieces.append((position, whole.astype(np.float32)))
        position += length
    expected = np.zeros(position, np.float32)
    for start, samples in pieces:
        expected[start : start + len(samples)] = samples
    np.testing.assert_array_equal(record(tmp_path_factory.mktemp("sound"), pieces), expected)


def test_any_sample_is_within_a_24th_bit_and_a_louder_one_is_clipped(tmp_path):
    sound = np.random.default_rng(3).normal(size=RATE).astype(np.float32)
    kept = record(tmp_path, [(0, sound)])
    inside = np.abs(sound) < 1
    assert (~inside).sum() > 0
    assert np.abs(kept - sound)[inside].max() <= 2.0**-24
    assert set(np.sign(sound[~inside])) == set(np.sign(kept[~inside]))
    assert np.abs(kept[~inside]).min() >= 1 - 2.0**-23


def test_a_session_without_sound_has_no_file(tmp_path):
    recorder = Recorder(tmp_path / "clips", RATE, lambda _: pytest.fail("no file"))
    assert recorder.close() is None
    assert not (tmp_path / "clips").exists()


def test_two_sessions_of_a_second_have_two_files(tmp_path):
    paths: list = []
    for _ in range(3):
        recorder = Recorder(tmp_path, RATE, paths.append)
        recorder.write(0, np.zeros(10, np.float32))
        recorder.close()
    assert len(set(paths)) == 3


def test_a_slow_disk_leaves_silence_and_holds_nothing_up(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def wait(_):
        begun.set()
        assert go_on.wait(PATIENCE_S)

    recorder = Recorder(tmp_path, RATE, wait, waiting_s=2.0)
    ones = np.full(RATE, 0.5, np.float32)
    recorder.write(0, ones)
    assert begun.wait(PATIENCE_S)
    for second in range(1, 6):
        recorder.write(second * RATE, ones)  # two fit
    go_on.set()
    assert "3.0 s of the recording are silent" in (recorder.close() or "")


def test_pitfall_a_folder_that_cannot_be_made_is_told_and_ends_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    recorder = Recorder(tmp_path / "file", RATE, lambda _: None)
    recorder.write(0, np.zeros(10, np.float32))
    assert "the recording ends there" in (recorder.close() or "")
    recorder.write(10, np.zeros(10, np.float32))


def write_on(device: Path) -> None:
    with device.open("wb", buffering=0) as handle:
        flac = FlacFile(Path("sound.flac"), handle, RATE)
        flac.append(0, SOUND)
        flac.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_pitfall_a_full_disk_is_an_error_and_no_print_of_the_library(capfd):
    with pytest.raises(SedgeError, match=r"sound\.flac: cannot be written \(No space left on device\)"):
        write_on(Path("/dev/full"))
    gc.collect()
    assert capfd.readouterr() == ("", "")


def record_and_die(folder: str) -> None:
    """Be killed once there is sound in the file."""
    recorder = Recorder(Path(folder), RATE, lambda _: os.kill(os.getpid(), signal.SIGKILL))
    recorder.write(0, SOUND)
    recorder.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX systems")
def test_pitfall_the_file_of_a_killed_program_can_be_read(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=record_and_die, args=[str(tmp_path)])
    process.start()
    process.join(PATIENCE_S)
    [path] = tmp_path.iterdir()
    samples = np.concatenate(list(SessionSound(path, RATE, None, is_cut=True).blocks()))
    assert 9 * RATE <= len(samples) <= 10 * RATE
    assert np.abs(samples - SOUND[: len(samples)]).max() <= 2.0**-24
    cut = tmp_path / "cut.flac"
    cut.write_bytes(path.read_bytes()[:-100])
    assert sum(map(len, SessionSound(cut, RATE, None, is_cut=True).blocks())) >= RATE
    with pytest.raises(SedgeError):
        list(SessionSound(cut, RATE, None, is_cut=False).blocks())
