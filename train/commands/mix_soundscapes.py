"""`sedge mix-soundscapes`: annotated training clips from a bank of recordings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from edge_app.core.errors import EXIT_DONE
from train.data.mixes import mix_folder
from train.data.soundscape import MixSettings
from train.settings import checked


@dataclass(frozen=True)
class MixSoundscapes:
    """Arguments of `sedge mix-soundscapes`."""

    bank: tyro.conf.Positional[Path]
    """Sound bank: a folder with foreground/<label>/, background/ and, where it has them, distractors/, SOURCES.tsv."""
    out: Path
    """Where to write audio/<split>/synthetic/ and metadata/<split>/synthetic.tsv. What is there already is kept."""
    clips: int = 1000
    """Clips of 10 s to have in the end."""
    split: Literal["train", "validation"] = "train"
    """Which of the bank's recordings to mix; no source recording is in both."""
    seed: int = 1
    """Seed of every choice. A clip depends on the seed and its own number only."""
    workers: int = 2
    """Processes to mix with; the result does not depend on it."""


def main(argv: Sequence[str]) -> int:
    """`sedge mix-soundscapes`; returns 0, or raises SedgeError."""
    description = (
        "Mix 10 s soundscapes, their events exactly known, from a bank of recordings. Run it again to resume."
    )
    args = tyro.cli(MixSoundscapes, args=list(argv), prog="sedge mix-soundscapes", description=description)
    settings = checked(MixSettings, seed=args.seed)
    mixes = mix_folder(args.bank, args.out, args.clips, args.split, settings, args.workers)
    Console().print(f"{args.clips} clips: {mixes.audio}, {mixes.strong}", soft_wrap=True, highlight=False)
    return EXIT_DONE
