"""Waveforms of many clips as one memory-mapped array, decoded once; a run that was stopped goes on.

`waveforms.npy` is the array. `waveforms.txt` says what it was made from (first line), then the number of
samples of each clip; while the array is made it grows by a line per clip, and says where to go on.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16

from edge_app.core.errors import AudioError, SedgeError
from edge_app.core.logmel import LogMelConfig
from train.data.bank import SAMPLE_RATE, read_waveform
from train.data.desed import CLIP_S

HOP_LENGTH = LogMelConfig().hop_length
FULL_SCALE = 32_768
N_SAMPLES = round(CLIP_S * SAMPLE_RATE)
ARRAY = "waveforms.npy"
JOURNAL = "waveforms.txt"
_PART = "waveforms.npy.part"
_SLACK_S = 0.1  # recordings cut to 10 s by others' tools can be a little longer
_READ_AHEAD = 64  # clips: bounds what waits in memory for the disk

Track = Callable[[Iterable[Any], int], Iterable[Any]]


def audio_fingerprint(paths: Iterable[Path]) -> str:
    """Hash of the names, sizes and times of files, in their order; it does not depend on where they lie."""
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.name}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def decode_clips(
    paths: Sequence[Path], out: Path, check: Callable[[int, int], None], track: Track
) -> list[int]:
    """Bring `out`/waveforms.npy up to date with these files; returns the number of samples of each.

    `check` is told the index and the number of samples of each clip as it is decoded, and may raise.
    Raises AudioError where a file is broken, SedgeError where it is too long or the disk is full.
    """
    source = audio_fingerprint(paths)
    n_samples = _done(out, source, len(paths))
    for index, length in enumerate(n_samples):
        check(index, length)
    try:
        if len(n_samples) < len(paths) or not (out / ARRAY).is_file():
            _decode_rest(paths, out, source, n_samples, check, track)
    except OSError as error:
        raise SedgeError(f"{out / ARRAY}: cannot be written ({error.strerror or error})") from error
    return n_samples


def read_array(out: Path) -> Int16[np.ndarray, "clip sample"]:
    """The array that `decode_clips` wrote, memory-mapped."""
    array: Int16[np.ndarray, "clip sample"] = np.load(out / ARRAY, mmap_mode="r")
    return array


def _header(n_clips: int) -> bytes:
    file = BytesIO()
    shape = (n_clips, N_SAMPLES)
    np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _done(out: Path, source: str, n_clips: int) -> list[int]:
    """Numbers of samples of the clips that are in the array or in its part, as far as both go."""
    journal, array, part = out / JOURNAL, out / ARRAY, out / _PART
    if not journal.is_file():
        return []
    first, *lines = journal.read_text(encoding="utf-8").split("\n")
    written = array if array.is_file() else part
    if first != source or not written.is_file():
        return []
    whole = (written.stat().st_size - len(_header(n_clips))) // (2 * N_SAMPLES)
    return [int(line) for line in lines[:-1]][
        : max(0, whole)
    ]  # what follows the last line break was cut short


def _decode_rest(
    paths: Sequence[Path],
    out: Path,
    source: str,
    n_samples: list[int],
    check: Callable[[int, int], None],
    track: Track,
) -> None:
    """Add what is not there yet to the part of the array, and make it the array."""
    if n_samples and (out / ARRAY).is_file():
        (out / ARRAY).replace(out / _PART)  # an array cut short by others is a part
    (out / ARRAY).unlink(missing_ok=True)
    header, rest = _header(len(paths)), paths[len(n_samples) :]
    if not n_samples:
        (out / _PART).write_bytes(header)
    lines = "\n".join([source, *map(str, n_samples)])
    (out / JOURNAL).write_text(f"{lines}\n", encoding="utf-8")
    with (out / _PART).open("r+b") as part, (out / JOURNAL).open("a", encoding="utf-8") as journal:
        part.truncate(len(header) + 2 * N_SAMPLES * len(n_samples))
        part.seek(0, os.SEEK_END)
        for clip in track(_read_ahead(rest), len(rest)):
            check(len(n_samples), len(clip))
            part.write(np.pad(clip, (0, N_SAMPLES - len(clip))).tobytes())
            part.flush()  # before the journal says so
            journal.write(f"{len(clip)}\n")
            journal.flush()
            n_samples.append(len(clip))
    (out / _PART).replace(out / ARRAY)


def _read_ahead(paths: Sequence[Path]) -> Iterator[Int16[np.ndarray, " sample"]]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for start in range(0, len(paths), _READ_AHEAD):
            yield from threads.map(_read_clip, paths[start : start + _READ_AHEAD])


def _read_clip(path: Path) -> Int16[np.ndarray, " sample"]:
    waveform = read_waveform(path)
    if len(waveform) > (CLIP_S + _SLACK_S) * SAMPLE_RATE:
        raise SedgeError(f"{path}: expected at most {CLIP_S:g} s, found {len(waveform) / SAMPLE_RATE:.3f} s")
    if len(waveform) < HOP_LENGTH:
        raise AudioError(f"{path}: expected a frame of sound or more, found {len(waveform)} samples")
    scaled = np.round(waveform[:N_SAMPLES] * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")
