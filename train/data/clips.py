"""Clips ready for training: all waveforms in one memory-mapped array, with their events."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int16

from edge_app.core.errors import SedgeError
from edge_app.core.events import Event, rasterise
from edge_app.core.labels import check_labels
from edge_app.core.logmel import LogMelConfig
from edge_app.formats.desed_tsv import read_events
from edge_app.formats.whole_file import whole_file, write_whole
from train.data.bank import SAMPLE_RATE, read_waveform
from train.data.desed import CLIP_S, DesedSet

HOP_LENGTH = LogMelConfig().hop_length
FULL_SCALE = 32_768
WAVEFORMS = "waveforms.npy"
TABLE = "clips.json"
_SCHEMA = 1
_SLACK_S = 0.1  # recordings cut to 10 s by others' tools can be a little longer


@dataclass(frozen=True)
class ClipSet:
    """Clips of one length (padded with zeros) at 16 kHz and their events.

    `waveforms` is memory-mapped, 32768 being full scale; `n_samples` counts each clip's real samples.
    `source` is a hash of what they were made from.
    """

    waveforms: Int16[np.ndarray, "clip sample"]
    filenames: tuple[str, ...]
    events: tuple[tuple[Event, ...], ...]
    event_labels: tuple[str, ...]
    n_samples: Int[np.ndarray, " clip"]
    source: str

    @property
    def n_frames(self) -> int:
        """Frames in a clip, padding included."""
        return self.waveforms.shape[1] // HOP_LENGTH

    def frame_valid(self) -> Bool[np.ndarray, "clip frame"]:
        """Which frames are signal; the others are padding."""
        return np.arange(self.n_frames) < (self.n_samples // HOP_LENGTH)[:, None]

    def strong_labels(self) -> Bool[np.ndarray, "clip frame label"]:
        """Activity of each label in each 20 ms frame."""
        rows = [rasterise(events, self.event_labels, self.n_frames) for events in self.events]
        return np.stack(rows) & self.frame_valid()[:, :, None]


def find_set(folder: Path, split: str = "train", name: str = "synthetic") -> DesedSet:
    """The set of clips in a folder: audio/ with ground_truth.tsv, or the DESED layout.

    Raises SedgeError where neither is there.
    """
    found = DesedSet.of(folder, split, name)
    for path in (found.strong, found.audio):
        if not path.exists():
            raise SedgeError(
                f"{folder}: expected ground_truth.tsv and audio/, or the DESED layout; found no {path}"
            )
    return found


def prepare_clips(
    clips: DesedSet,
    out: Path,
    event_labels: Sequence[str] | None = None,
    track: Callable[[Iterable[Any], int], Iterable[Any]] = lambda done, _: done,
) -> ClipSet:
    """Decode a set into `out`/waveforms.npy and clips.json, or take what is there if it was made from the same.

    `event_labels` are those of the table unless given; `track` wraps the loop over clips, to show progress.
    Raises SedgeError where audio is missing or too long, or an event has an unknown label or ends after its clip.
    """
    events = read_events(clips.strong)
    found = sorted({event.event_label for of_clip in events.values() for event in of_clip})
    event_labels = check_labels(event_labels if event_labels is not None else found)
    paths = [clips.audio / filename for filename in events]
    _check_present(clips, paths)
    source = _fingerprint(clips, paths, event_labels)
    if not _is_made(out, source):
        out.mkdir(parents=True, exist_ok=True)
        n_samples = _decode_all(paths, out, track)
        _check_events(clips.strong, events, n_samples, event_labels)
        _write_table(out, source, events, n_samples, event_labels)
    return load_clips(out)


def load_clips(folder: Path) -> ClipSet:
    """The clips that `prepare_clips` wrote. Raises SedgeError where they are missing or of another version."""
    table, waveforms = folder / TABLE, folder / WAVEFORMS
    if not (table.is_file() and waveforms.is_file()):
        raise SedgeError(f"{folder}: expected {TABLE} and {WAVEFORMS} of prepared clips, found no such files")
    rows = json.loads(table.read_text(encoding="utf-8"))
    if rows["schema_version"] != _SCHEMA:
        raise SedgeError(f"{table}: schema_version: expected {_SCHEMA}, found {rows['schema_version']}")
    events = tuple(tuple(Event(*event) for event in of_clip) for of_clip in rows["events"])
    n_samples = np.array(rows["n_samples"], np.int64)
    array = np.load(waveforms, mmap_mode="r")
    return ClipSet(
        array, tuple(rows["filenames"]), events, tuple(rows["event_labels"]), n_samples, rows["source"]
    )


def _check_present(clips: DesedSet, paths: Sequence[Path]) -> None:
    if not paths:
        raise SedgeError(f"{clips.strong}: expected at least one clip, found none")
    absent = [path.name for path in paths if not path.is_file()]
    if absent:
        raise SedgeError(
            f"{clips.audio}: {len(absent)} files of {clips.strong} are absent: {', '.join(absent)}"
        )


def _fingerprint(clips: DesedSet, paths: Sequence[Path], event_labels: Sequence[str]) -> str:
    digest = hashlib.sha256(clips.strong.read_bytes())
    digest.update("\t".join(event_labels).encode())
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.name}\t{stat.st_size}\t{stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def _is_made(out: Path, source: str) -> bool:
    table = out / TABLE
    if not (table.is_file() and (out / WAVEFORMS).is_file()):
        return False
    found: dict[str, Any] = json.loads(table.read_text(encoding="utf-8"))
    return found.get("source") == source and found.get("schema_version") == _SCHEMA


def _decode_all(
    paths: Sequence[Path], out: Path, track: Callable[[Iterable[Any], int], Iterable[Any]]
) -> list[int]:
    """Write every clip into the array, two decoded at a time; returns their numbers of samples."""
    shape = (len(paths), round(CLIP_S * SAMPLE_RATE))
    (out / TABLE).unlink(missing_ok=True)
    n_samples: list[int] = []
    with whole_file(out / WAVEFORMS) as file, ThreadPoolExecutor(2) as threads:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": shape})
        for clip in track(threads.map(_read_clip, paths), len(paths)):
            padded = np.zeros(shape[1], "<i2")
            padded[: len(clip)] = clip
            file.write(padded.tobytes())
            n_samples.append(len(clip))
    return n_samples


def _read_clip(path: Path) -> Int16[np.ndarray, " sample"]:
    waveform = read_waveform(path)
    if len(waveform) > (CLIP_S + _SLACK_S) * SAMPLE_RATE:
        raise SedgeError(f"{path}: expected at most {CLIP_S:g} s, found {len(waveform) / SAMPLE_RATE:.3f} s")
    scaled = np.round(waveform[: round(CLIP_S * SAMPLE_RATE)] * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _check_events(
    table: Path, events: dict[str, list[Event]], n_samples: Sequence[int], event_labels: Sequence[str]
) -> None:
    for (filename, of_clip), length in zip(events.items(), n_samples, strict=True):
        for event in of_clip:
            where = f"{table}: {filename} {event.onset:.3f} {event.offset:.3f} {event.event_label}"
            if event.event_label not in event_labels:
                raise SedgeError(f"{where}: event label: expected one of {list(event_labels)}")
            if event.offset > length / SAMPLE_RATE + _SLACK_S:
                raise SedgeError(
                    f"{where}: offset: expected at most {length / SAMPLE_RATE:.3f} s, the clip's end"
                )


def _write_table(
    out: Path, source: str, events: dict[str, list[Event]], n_samples: list[int], event_labels: Sequence[str]
) -> None:
    rows = {
        "schema_version": _SCHEMA,
        "source": source,
        "event_labels": list(event_labels),
        "filenames": list(events),
        "n_samples": n_samples,
        "events": [[[e.onset, e.offset, e.event_label] for e in of_clip] for of_clip in events.values()],
    }
    write_whole(out / TABLE, json.dumps(rows) + "\n")
