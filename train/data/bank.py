"""A sound bank: single recordings of each label, backgrounds and distractors, split by their source.

A bank is `foreground/<label>/*`, `background/*` and, where it has them, `distractors/*`, with a row
per file in `SOURCES.tsv`. Without that table (or with the label folders at the top level) it is
a bare bank: each file is a group of its own, and a hash of its name draws its split.
"""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from edge_app.core.errors import AudioError, SedgeError
from edge_app.core.labels import check_labels
from edge_app.core.logmel import LogMelConfig

SAMPLE_RATE = LogMelConfig().sample_rate
SOURCES = "SOURCES.tsv"
VALIDATION_SHARE = 0.2
AUDIO_SUFFIXES = (".flac", ".wav", ".ogg", ".mp3")

Role = Literal["foreground", "background", "distractor"]
Split = Literal["train", "validation"]
SPLITS: dict[str, Split] = {"train": "train", "validation": "validation"}
_ROLES: dict[str, Role] = {
    "foreground": "foreground",
    "background": "background",
    "distractors": "distractor",
}
_NOT_LABELS = ("background", "distractors", "continuous")


@dataclass(frozen=True)
class Recording:
    """One file of a bank; `group` names its source session, which is never on both sides of a split."""

    path: Path
    role: Role
    event_label: str | None
    group: str
    split: Split
    licence: str = "not recorded"
    source: str = "not recorded"
    name: str = ""

    def waveform(self) -> Float[np.ndarray, " sample"]:
        """The recording at 16 kHz, mono, read-only; decoded once in a process.

        Raises AudioError where it cannot be read, is empty or silent.
        """
        return _decode(self.path)


@cache
def _decode(path: Path) -> Float[np.ndarray, " sample"]:
    waveform = read_waveform(path)
    if not waveform.size or not waveform.any():
        raise AudioError(f"{path}: expected a sound, found {waveform.size} samples of silence")
    waveform.flags.writeable = False
    return waveform


def read_waveform(path: Path) -> Float[np.ndarray, " sample"]:
    """A whole audio file as float32 at 16 kHz, channels averaged.

    Raises AudioError where it is missing, is not audio, is cut short or holds NaN.
    """
    try:
        channels, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(
            f"{path}: expected an audio file, found one that cannot be read ({error})"
        ) from error
    waveform = channels.mean(axis=1)
    if not np.isfinite(waveform).all():
        raise AudioError(f"{path}: expected finite samples, found NaN or infinity")
    if rate != SAMPLE_RATE and waveform.size:
        waveform = soxr.resample(waveform, rate, SAMPLE_RATE)
    return np.ascontiguousarray(waveform, np.float32)


@dataclass(frozen=True)
class SoundBank:
    """The recordings of a bank in one split (or in both), and all labels of the bank, sorted."""

    folder: Path
    recordings: tuple[Recording, ...]
    event_labels: tuple[str, ...]

    def of_role(self, role: Role) -> tuple[Recording, ...]:
        """The recordings of one role, in the bank's order."""
        return tuple(recording for recording in self.recordings if recording.role == role)

    @cached_property
    def _groups(self) -> dict[str, list[list[Recording]]]:
        """Recordings by what is drawn (a label, or "background" or "distractor"), then by group."""
        groups: dict[str, dict[str, list[Recording]]] = defaultdict(lambda: defaultdict(list))
        for recording in self.recordings:
            groups[recording.event_label or recording.role][recording.group].append(recording)
        return {key: list(of_key.values()) for key, of_key in groups.items()}

    def has(self, role: Role) -> bool:
        """Whether there is a recording of this role."""
        return any(recording.role == role for recording in self.recordings)

    def draw(self, key: str, rng: np.random.Generator) -> Recording:
        """A recording of a label, or of "background" or "distractor": its group first, each equally likely."""
        groups = self._groups[key]
        group = groups[rng.integers(len(groups))]
        return group[rng.integers(len(group))]

    def draw_event(self, rng: np.random.Generator) -> Recording:
        """A foreground recording: each label equally likely, then each group, then each recording."""
        return self.draw(self.event_labels[rng.integers(len(self.event_labels))], rng)


def read_bank(folder: Path, split: str | None = None) -> SoundBank:
    """Recordings of `folder` that belong to `split` ("train", "validation", or None for all).

    Raises SedgeError where the folder, its labels or its backgrounds are missing, a file in the table is
    absent, a group is in both splits, or the split lacks a label.
    """
    if not folder.is_dir():
        raise SedgeError(f"{folder}: expected a sound bank, found no such folder")
    if split is not None and split not in SPLITS:
        raise SedgeError(f"split: expected one of {list(SPLITS)}, found {split!r}")
    table = folder / SOURCES
    recordings = _read_table(folder, table) if table.is_file() else _read_bare(folder)
    event_labels = (
        check_labels(sorted({r.event_label for r in recordings if r.event_label})) if recordings else ()
    )
    _check_groups(folder, recordings)
    chosen = tuple(recording for recording in recordings if split in (None, recording.split))
    _check_roles(folder, chosen, event_labels, split)
    return SoundBank(folder, chosen, event_labels)


def _read_table(folder: Path, table: Path) -> list[Recording]:
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = {"filename", "split", "group", "licence"} - set(reader.fieldnames or ())
        if missing:
            raise SedgeError(f"{table}: expected columns {sorted(missing)}, found {reader.fieldnames}")
        rows = list(reader)
    recordings = [_recording(folder, table, row) for row in rows if row["filename"].split("/")[0] in _ROLES]
    absent = [recording.name for recording in recordings if not recording.path.is_file()]
    if absent:
        raise SedgeError(f"{table}: {len(absent)} files named in the table are absent: {', '.join(absent)}")
    return recordings


def _recording(folder: Path, table: Path, row: dict[str, str]) -> Recording:
    name = row["filename"]
    parts = name.split("/")
    role = _ROLES[parts[0]]
    split = SPLITS.get(row["split"])
    if split is None:
        raise SedgeError(f"{table}: split of {name}: expected one of {list(SPLITS)}, found {row['split']!r}")
    if ".." in parts or (role == "foreground" and len(parts) != 3):
        raise SedgeError(f"{table}: filename: expected foreground/<label>/<file>, found {name!r}")
    label = parts[1] if role == "foreground" else None
    origin = (row.get("source_repo_or_package"), row.get("commit_or_version"))
    source = " ".join(part for part in origin if part) or "not recorded"
    return Recording(folder / name, role, label, row["group"], split, row["licence"], source, name)


def _read_bare(folder: Path) -> list[Recording]:
    top = folder / "foreground" if (folder / "foreground").is_dir() else folder
    labels = [path for path in sorted(top.iterdir()) if path.is_dir() and path.name not in _NOT_LABELS]
    recordings = [r for path in labels for r in _bare_folder(folder, path, "foreground", path.name)]
    recordings += _bare_folder(folder, folder / "background", "background", None)
    return recordings + _bare_folder(folder, folder / "distractors", "distractor", None)


def _bare_folder(folder: Path, inside: Path, role: Role, label: str | None) -> list[Recording]:
    paths = sorted(p for p in inside.glob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
    names = [path.relative_to(folder).as_posix() for path in paths]
    splits = draw_splits(names)
    return [Recording(path, role, label, n, splits[n], name=n) for path, n in zip(paths, names, strict=True)]


def draw_splits(groups: Sequence[str]) -> dict[str, Split]:
    """Split of each group by a hash of its name, a fifth for validation; two groups or more give one to each."""
    hashes = {group: int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 2**32 for group in groups}
    splits: dict[str, Split] = {
        g: "validation" if h < VALIDATION_SHARE else "train" for g, h in hashes.items()
    }
    if len(splits) > 1:
        splits[min(hashes, key=hashes.__getitem__)] = "validation"
        splits[max(hashes, key=hashes.__getitem__)] = "train"
    return splits


def _check_groups(folder: Path, recordings: Iterable[Recording]) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        splits[recording.group].add(recording.split)
    both = sorted(group for group, found in splits.items() if len(found) > 1)
    if both:
        raise SedgeError(f"{folder}: expected each group in one split, found in both: {', '.join(both)}")


def _check_roles(
    folder: Path, chosen: Sequence[Recording], event_labels: Sequence[str], split: str | None
) -> None:
    where = f"{folder}: {split} split" if split else str(folder)
    if not event_labels:
        raise SedgeError(f"{where}: expected foreground/<label>/<recordings>, found no labels")
    counts = Counter(recording.event_label for recording in chosen)
    lacking = [label for label in event_labels if not counts[label]]
    if lacking:
        raise SedgeError(f"{where}: expected a recording of every label, found none of {', '.join(lacking)}")
    if not any(recording.role == "background" for recording in chosen):
        raise SedgeError(f"{where}: expected recordings in background/, found none")


def attribution_lines(recordings: Iterable[Recording]) -> list[str]:
    """Markdown list of what the recordings come from: source, licence, files; sorted."""
    files: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for recording in recordings:
        files[recording.source][recording.licence].append(recording.name or recording.path.name)
    lines: list[str] = []
    for source, licences in sorted(files.items()):
        lines.append(f"- {source}")
        lines += [f"  - {licence}: {', '.join(sorted(names))}" for licence, names in sorted(licences.items())]
    return lines
