"""Where a set of clips has its audio and its tables, in the DESED folder layout."""

from dataclasses import dataclass
from pathlib import Path

CLIP_S = 10.0
"""Longest clip of a set; shorter ones are padded."""


@dataclass(frozen=True)
class DesedSet:
    """One set of clips: its folder of audio, its table of events, its table of durations."""

    audio: Path
    strong: Path
    durations: Path

    @classmethod
    def named(cls, folder: Path, split: str, name: str = "synthetic") -> "DesedSet":
        """The set `name` of a split: audio/<split>/<name>/ and metadata/<split>/<name>.tsv."""
        tables = folder / "metadata" / split
        return cls(folder / "audio" / split / name, tables / f"{name}.tsv", tables / f"{name}_durations.tsv")

    @classmethod
    def of(cls, folder: Path, split: str, name: str = "synthetic") -> "DesedSet":
        """The single set that a folder holds, or else a set of its layout; neither need exist."""
        flat = cls.flat(folder)
        return flat if flat.strong.is_file() else cls.named(folder, split, name)

    @classmethod
    def flat(cls, folder: Path) -> "DesedSet":
        """A folder of a single set: audio/, ground_truth.tsv, durations.tsv."""
        return cls(folder / "audio", folder / "ground_truth.tsv", folder / "durations.tsv")
