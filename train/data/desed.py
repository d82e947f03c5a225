"""Where sets of clips have their audio and their tables, in the DESED folder layout and in that of own mixes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_app.core.errors import SedgeError
from train.data.bank import AUDIO_SUFFIXES

CLIP_S = 10.0
"""Longest clip of a set; shorter ones are padded."""

Kind = Literal["strong", "weak", "unlabelled"]
KINDS: dict[str, Kind] = {
    "synthetic": "strong",
    "weak": "weak",
    "unlabelled": "unlabelled",
    "development": "strong",
    "validation": "strong",
    "public": "strong",
}
"""The sets that `find_sets` knows, in its order, and what their tables hold."""
SPLITS: dict[str, str] = {
    "synthetic": "train",
    "weak": "train",
    "unlabelled": "train",
    "development": "validation",
    "validation": "validation",
    "public": "eval",
}
"""Where own mixes have them: audio/<split>/<set>/, metadata/<split>/<set>.tsv, <set>_durations.tsv."""


@dataclass(frozen=True)
class DesedSet:
    """One set of clips: its folder of audio, its table, its table of durations.

    The table has events (strong: filename, onset, offset, event_label), tags (weak: filename, event_labels,
    separated by commas) or names (unlabelled: filename; where that table is absent, the set is the folder's files).
    """

    audio: Path
    table: Path
    durations: Path
    kind: Kind = "strong"

    @property
    def strong(self) -> Path:
        """The table, where it is one of events."""
        return self.table

    @classmethod
    def named(cls, folder: Path, split: str, name: str = "synthetic") -> "DesedSet":
        """The set `name` of a split as own mixes have it: audio/<split>/<name>/ and metadata/<split>/<name>.tsv."""
        tables = folder / "metadata" / split
        durations, kind = tables / f"{name}_durations.tsv", KINDS.get(name, "strong")
        return cls(folder / "audio" / split / name, tables / f"{name}.tsv", durations, kind)

    @classmethod
    def of(cls, folder: Path, split: str, name: str = "synthetic") -> "DesedSet":
        """The single set that a folder holds, or else a set of its layout; neither need exist."""
        flat = cls.flat(folder)
        return flat if flat.table.is_file() else cls.named(folder, split, name)

    @classmethod
    def flat(cls, folder: Path) -> "DesedSet":
        """A folder of a single set: audio/, ground_truth.tsv, durations.tsv."""
        return cls(folder / "audio", folder / "ground_truth.tsv", folder / "durations.tsv")


@dataclass(frozen=True)
class Place:
    """Where a set may lie under a root: its table, folders that may hold its audio, its table of durations."""

    table: str
    audio: tuple[str, ...]
    durations: str


def _own(name: str, *further_audio: str) -> Place:
    tables = f"metadata/{SPLITS[name]}/{name}"
    return Place(f"{tables}.tsv", (f"audio/{SPLITS[name]}/{name}", *further_audio), f"{tables}_durations.tsv")


def _generated(split: str) -> Place:
    name = f"{split}/synthetic21_{split}"
    folder = f"metadata/{name}"
    return Place(f"{folder}/soundscapes.tsv", (f"audio/{name}/soundscapes",), f"{folder}/durations.tsv")


PLACES: dict[str, tuple[Place, ...]] = {
    "synthetic": (_generated("train"), _own("synthetic")),
    "weak": (_own("weak"),),
    "unlabelled": (
        Place(
            "metadata/train/unlabel_in_domain.tsv",
            ("audio/train/unlabel_in_domain",),
            "metadata/train/unlabel_in_domain_durations.tsv",
        ),
        _own("unlabelled"),
    ),
    "development": (
        _generated("validation"),
        _own("development"),
        Place(  # own mixes of one set, from the validation recordings of a bank
            "metadata/validation/synthetic.tsv",
            ("audio/validation/synthetic",),
            "metadata/validation/synthetic_durations.tsv",
        ),
    ),
    "validation": (
        _own("validation", "audio/validation"),
        Place("ground_truth.tsv", ("audio",), "durations.tsv"),
    ),
    "public": (
        _own("public", "audio/public"),
        Place(
            "metadata/public/public.tsv",
            ("audio/public", "audio/eval/public"),
            "metadata/public/public_durations.tsv",
        ),
        Place("metadata/public.tsv", ("audio/public", "audio/eval/public"), "metadata/public_durations.tsv"),
    ),
}
"""Places of each set, the likeliest first."""
ROOTS = (
    "",
    "dataset",
    "dcase_synth",
    "dataset/dcase_synth",
    "dcase21_synth",
    "dcase2021/dataset",
    "real",
    "synthetic",
    "desed_real",
    "raw_datasets/desed_real",
    "DESEDpublic_eval/dataset",
    "DESED_public_eval/dataset",
)
"""Folders in which archives of DESED, unpacked side by side, have their audio/ and metadata/."""
RESAMPLED = "_16k"
"""Ending of the folders of 16 kHz copies beside those of 44.1 kHz."""


def find_sets(*folders: Path) -> dict[str, DesedSet]:
    """The sets of `KINDS` that are in these folders, looked for in all `PLACES` of all `ROOTS`, the first found kept.

    A set is there where its table is; an unlabelled one also where its folder has audio. Of several audio
    folders, the fullest is taken, copies at 16 kHz before equally full others.
    Raises SedgeError where one of `folders` is none.
    """
    roots = list(_roots(folders))
    found = {name: _find(name, roots) for name in KINDS}
    return {name: clips for name, clips in found.items() if clips is not None}


def find_set(folder: Path, split: str = "train", name: str = "synthetic") -> DesedSet:
    """The single set of clips in a folder: audio/ with ground_truth.tsv, or a set of the DESED layout or of own mixes.

    Raises SedgeError where none is there.
    """
    clips = DesedSet.of(folder, split, name)
    if not clips.table.is_file() and folder.is_dir() and SPLITS.get(name) == split:
        clips = find_sets(folder).get(name, clips)
    for path in (clips.table, clips.audio):
        if not path.exists():
            raise SedgeError(
                f"{folder}: expected ground_truth.tsv and audio/, or the DESED layout; found no {path}"
            )
    return clips


def audio_files(folder: Path) -> list[str]:
    """Names of the audio files directly in a folder, sorted; none where it is absent."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)


def _roots(folders: tuple[Path, ...]) -> Iterator[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise SedgeError(f"{folder}: expected a folder with the DESED layout, found no such folder")
        yield from (folder / root for root in ROOTS if (folder / root).is_dir())


def _find(name: str, roots: list[Path]) -> DesedSet | None:
    """The set where its table is, else an unlabelled one where its audio is."""
    places = [(root, place) for root in roots for place in PLACES[name]]
    for root, place in places:
        if (root / place.table).is_file():
            return _located(name, root, place, roots)
    for root, place in places if KINDS[name] == "unlabelled" else ():
        clips = _located(name, root, place, [])
        if audio_files(clips.audio):
            return clips
    return None


def _located(name: str, root: Path, place: Place, roots: list[Path]) -> DesedSet:
    """The set of a table, with the audio of its own root or else of the others (tables often lie elsewhere)."""
    audio = max(
        (_fullest(other, place) for other in (root, *roots)), key=lambda folder: len(audio_files(folder))
    )
    return DesedSet(audio, root / place.table, root / place.durations, KINDS[name])


def _fullest(root: Path, place: Place) -> Path:
    folders = [root / f"{audio}{ending}" for audio in place.audio for ending in (RESAMPLED, "")]
    counts = [len(audio_files(folder)) for folder in folders]
    return folders[counts.index(max(counts))] if any(counts) else root / place.audio[0]
